//! Device hours that a sweep may spend: what is promised to running attempts is not promised twice.

use std::time::Duration;

/// The account of a sweep, in device seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    limit: Option<f64>,
    /// What attempts that have ended were billed, those of earlier schedulers among them.
    pub(super) spent: f64,
    /// Logarithms of measured over estimated seconds: number, sum, sum of squares.
    ratios: (f64, f64, f64),
}

/// How far estimates may be off before a run has shown it: they are reserved so many times.
const UNKNOWN: f64 = 1.5;

/// Standard deviations that a reservation lies above the mean: nine runs in ten take less.
const CAUTION: f64 = 1.28;

/// An attempt that is told to stop may take its grace, and this for the scheduler to notice and to act.
pub(super) const LATENESS: Duration = Duration::from_secs(1);

impl Budget {
    pub(super) fn new(limit: Option<f64>, spent: f64) -> Budget {
        Budget { limit, spent, ratios: (0.0, 0.0, 0.0) }
    }

    /// A run took `measured` seconds where `estimated` were expected.
    pub(super) fn learn(&mut self, estimated: f64, measured: f64) {
        if estimated > 0.0 && measured > 0.0 {
            let ratio = (measured / estimated).ln();
            let (count, sum, squares) = self.ratios;
            self.ratios = (count + 1.0, sum + ratio, squares + ratio * ratio);
        }
    }

    /// Seconds to set aside for a run that is estimated at `seconds`.
    pub(super) fn reserve(&self, seconds: f64) -> f64 {
        let (count, sum, squares) = self.ratios;
        if count == 0.0 {
            return UNKNOWN * seconds;
        }
        let mean = sum / count;
        let deviation = (squares / count - mean * mean).max(0.0).sqrt();
        // Of one run nobody knows how far the next is off.
        let doubt = if count < 2.0 { UNKNOWN } else { 1.0 };
        doubt * seconds * (mean + CAUTION * deviation).exp()
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
