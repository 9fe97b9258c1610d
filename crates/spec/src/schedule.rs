//! The learning rate as a function of the step: nothing is remembered, so nothing can be restored wrongly.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// What the learning rate does between the warm-up and the last step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum Decay {
    /// Half a cosine down to 0 at the last step; one full run per epoch budget, as in arXiv 2310.16764 section 2.
    #[default]
    Cosine,
    /// None: the peak until the end.
    Constant,
    /// The peak over sqrt(1 + t / timescale), t steps behind the warm-up, then a cooldown (arXiv 2106.04560, section 3.5
    /// and appendix; the form with a timescale is that of its released code).
    Rsqrt {
        /// Steps after which the rate has fallen to 1 / sqrt(2) of its peak.
        timescale: u64,
        /// Last steps, over which the rate falls in a straight line to 0.
        cooldown_steps: u64,
    },
    /// Warm-up, stable, decay: the peak, then a cooldown (arXiv 2404.06395, section 4).
    Wsd {
        /// Last steps, over which the rate falls in a straight line to 0.
        cooldown_steps: u64,
    },
}

impl Decay {
    /// Whether it is the paper's, which a run's specification leaves out.
    pub(crate) fn is_cosine(&self) -> bool {
        *self == Decay::Cosine
    }
}

/// Linear warm-up from 0 to the peak, then a decay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Highest learning rate, reached at the end of the warm-up.
    pub peak: f64,
    /// Steps of the warm-up.
    pub warmup_steps: u64,
    /// All steps, the warm-up among them.
    pub steps: u64,
    /// What follows the warm-up.
    pub decay: Decay,
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
        let behind = (step - self.warmup_steps) as f64;
        let share = match self.decay {
            Decay::Cosine => {
                let done = behind / (self.steps - self.warmup_steps) as f64;
                0.5 * (1.0 + (PI * done).cos())
            }
            Decay::Constant => 1.0,
            Decay::Rsqrt { timescale, cooldown_steps } => {
                (1.0 + behind / timescale as f64).sqrt().recip() * self.cooled(step, cooldown_steps)
            }
            Decay::Wsd { cooldown_steps } => self.cooled(step, cooldown_steps),
        };
        self.peak * share
    }

    /// 1 before the last `cooldown_steps` steps; in them what is left of them, so that the step behind the last has 0.
    fn cooled(&self, step: u64, cooldown_steps: u64) -> f64 {
        let left = self.steps - step;
        if left > cooldown_steps { 1.0 } else { left as f64 / (cooldown_steps + 1) as f64 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schedule(decay: Decay) -> Schedule {
        Schedule { peak: 0.4, warmup_steps: 4, steps: 104, decay }
    }

    #[test]
    fn rises_to_the_peak_and_falls_to_zero() {
        let schedule = schedule(Decay::Cosine);
        assert!((schedule.rate(0) - 0.1).abs() < 1e-15);
        assert!((schedule.rate(3) - 0.4).abs() < 1e-15);
        assert!((schedule.rate(4) - 0.4).abs() < 1e-15);
        assert!((schedule.rate(54) - 0.2).abs() < 1e-12);
        assert!(schedule.rate(103) > 0.0 && schedule.rate(103) < 1e-3);
        assert_eq!(schedule.rate(104), 0.0);
    }

    #[test]
    fn the_other_decays_by_hand() {
        let constant = schedule(Decay::Constant);
        assert_eq!((constant.rate(4), constant.rate(103), constant.rate(104)), (0.4, 0.4, 0.0));
        // A cooldown of 19 steps begins at step 85 with 19 twentieths.
        let wsd = schedule(Decay::Wsd { cooldown_steps: 19 });
        assert_eq!((wsd.rate(84), wsd.rate(94)), (0.4, 0.4 * 0.5));
        assert!((wsd.rate(85) - 0.38).abs() < 1e-15 && (wsd.rate(103) - 0.02).abs() < 1e-15);
        // Three timescales behind the warm-up the rate is halved.
        let rsqrt = schedule(Decay::Rsqrt { timescale: 20, cooldown_steps: 0 });
        assert!((rsqrt.rate(64) - 0.2).abs() < 1e-15);
        let cooled = schedule(Decay::Rsqrt { timescale: 20, cooldown_steps: 79 });
        assert!((cooled.rate(64) - 0.2 * 40.0 / 80.0).abs() < 1e-15);
    }

    #[test]
    fn a_run_of_one_step_still_learns() {
        for decay in [
            Decay::Cosine,
            Decay::Constant,
            Decay::Wsd { cooldown_steps: 0 },
            Decay::Rsqrt { timescale: 1, cooldown_steps: 0 },
        ] {
            assert_eq!(Schedule { peak: 0.4, warmup_steps: 0, steps: 1, decay }.rate(0), 0.4, "{decay:?}");
        }
    }

    proptest! {
        #[test]
        fn every_step_learns_and_none_behind_the_warm_up_faster_than_the_one_before(
            steps in 1_u64..400, warmup in 0_u64..400, cooldown in 0_u64..400, timescale in 1_u64..1000, kind in 0..4,
        ) {
            let warmup_steps = warmup % steps;
            let cooldown_steps = cooldown % (steps - warmup_steps);
            let decay = match kind {
                0 => Decay::Cosine,
                1 => Decay::Constant,
                2 => Decay::Wsd { cooldown_steps },
                _ => Decay::Rsqrt { timescale, cooldown_steps },
            };
            let schedule = Schedule { peak: 1.0, warmup_steps, steps, decay };
            for step in 0..steps {
                let rate = schedule.rate(step);
                prop_assert!(rate > 0.0 && rate <= 1.0);
                if step > warmup_steps {
                    prop_assert!(rate <= schedule.rate(step - 1));
                }
            }
            prop_assert_eq!(schedule.rate(steps), 0.0);
        }
    }
}
