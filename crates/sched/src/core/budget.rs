//! Device hours that a sweep may spend: what is promised to running attempts is not promised twice.

use std::time::Duration;

use spec::estimate::Estimator;

/// The account of a sweep, in device seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    limit: Option<f64>,
    /// What attempts that have ended were billed, those of earlier schedulers among them.
    pub(super) spent: f64,
    estimator: Estimator,
}

impl Budget {
    pub(super) fn new(limit: Option<f64>, spent: f64) -> Budget {
        Budget { limit, spent, estimator: Estimator::default() }
    }

    /// A run took `measured` seconds where `estimated` were expected.
    pub(super) fn learn(&mut self, estimated: f64, measured: f64) {
        self.estimator.learn(estimated, measured);
    }

    /// Device seconds to set aside for a run on `devices` that is estimated at `seconds`.
    pub(super) fn reservation(&self, seconds: f64, devices: u32, grace: Duration) -> f64 {
        self.estimator.reservation(seconds, devices, grace.as_secs_f64())
    }

    /// What has not been spent.
    pub(super) fn left(&self) -> f64 {
        self.limit.map_or(f64::INFINITY, |limit| (limit - self.spent).max(0.0))
    }

    /// Whether `need` more device seconds fit beside `promised` ones.
    pub(super) fn allows(&self, promised: f64, need: f64) -> bool {
        self.limit.is_none_or(|limit| self.spent + promised + need <= limit)
    }

    /// Whether running attempts have to stop now, so that they are over before the budget is: `billed` so far, and at most `ending`
    /// while they end.
    pub(super) fn is_over(&self, billed: f64, ending: f64) -> bool {
        self.limit.is_some_and(|limit| self.spent + billed + ending >= limit)
    }
}
