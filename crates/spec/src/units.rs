//! Numbers with an invariant and one door.

use serde::{Deserialize, Serialize};

/// A loss in nats: always finite, so that no fit, figure, JSON line or row of the database ever meets a NaN.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Loss(f64);

impl Loss {
    /// `None` for a loss that is not finite: the run has diverged.
    pub fn new(nats: f64) -> Option<Loss> {
        nats.is_finite().then_some(Loss(nats))
    }

    /// The loss in nats.
    pub fn nats(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Loss {
    type Error = &'static str;

    fn try_from(nats: f64) -> Result<Self, Self::Error> {
        Loss::new(nats).ok_or("a loss must be finite")
    }
}

impl From<Loss> for f64 {
    fn from(loss: Loss) -> f64 {
        loss.0
    }
}
