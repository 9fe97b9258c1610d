//! The learning rate as a function of the step: nothing is remembered, so nothing can be restored wrongly.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// Linear warm-up from 0 to the peak, then half a cosine down to 0 at the last step; one full run per epoch budget, as
/// in arXiv 2310.16764 section 2.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Highest learning rate, reached at the end of the warm-up.
    pub peak: f64,
    /// Steps of the warm-up.
    pub warmup_steps: u64,
    /// All steps, the warm-up among them.
    pub steps: u64,
}

impl Schedule {
    /// The learning rate with which step `step` (from 0) is taken; 0 from `steps` on.
    pub fn rate(&self, step: u64) -> f64 {
        if step >= self.steps {
            return 0.0;
        }
        if step < self.warmup_steps {
            return self.peak * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let done = (step - self.warmup_steps) as f64 / (self.steps - self.warmup_steps) as f64;
        self.peak * 0.5 * (1.0 + (PI * done).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_to_the_peak_and_falls_to_zero() {
        let schedule = Schedule { peak: 0.4, warmup_steps: 4, steps: 104 };
        assert!((schedule.rate(0) - 0.1).abs() < 1e-15);
        assert!((schedule.rate(3) - 0.4).abs() < 1e-15);
        assert!((schedule.rate(4) - 0.4).abs() < 1e-15);
        assert!((schedule.rate(54) - 0.2).abs() < 1e-12);
        assert!(schedule.rate(103) > 0.0 && schedule.rate(103) < 1e-3);
        assert_eq!(schedule.rate(104), 0.0);
    }

    #[test]
    fn a_run_of_one_step_still_learns() {
        let schedule = Schedule { peak: 0.4, warmup_steps: 0, steps: 1 };
        assert_eq!(schedule.rate(0), 0.4);
    }
}
