//! Where device time went: what brought results, what was computed twice, what came to nothing.

/// What an attempt was billed and what it came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Billed {
    /// Device seconds.
    pub seconds: f64,
    /// The step that it went on from.
    pub from: u64,
    /// The last step that it reached.
    pub to: u64,
}

/// Device seconds by their use; they add up to what was billed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Split {
    /// Steps that the run still has.
    pub useful: f64,
    /// Steps that a later attempt had to compute again, and starting for no step at all.
    pub repeated: f64,
    /// All attempts of runs that were given up.
    pub failed: f64,
}

impl Split {
    /// What was billed.
    pub fn total(&self) -> f64 {
        self.useful + self.repeated + self.failed
    }

    /// With what another run used.
    pub fn and(self, other: Split) -> Split {
        Split {
            useful: self.useful + other.useful,
            repeated: self.repeated + other.repeated,
            failed: self.failed + other.failed,
        }
    }
}

/// Splits what the attempts of one run were billed, the first one first. An attempt's time counts for its steps alike; a step that a
/// later attempt has not gone on from is repeated. Of a run that was given up, all is failed.
pub fn split(attempts: &[Billed], given_up: bool) -> Split {
    let mut split = Split::default();
    if given_up {
        split.failed = attempts.iter().map(|attempt| attempt.seconds).sum();
        return split;
    }
    for (index, attempt) in attempts.iter().enumerate() {
        let done = attempt.to.saturating_sub(attempt.from);
        let kept_to = attempts[index + 1..].iter().map(|later| later.from).min().unwrap_or(u64::MAX);
        let kept = attempt.to.min(kept_to).saturating_sub(attempt.from);
        let is_last = index + 1 == attempts.len();
        let share = match done {
            // What came to a result, or still works, without a step: an evaluation.
            0 if is_last => 1.0,
            0 => 0.0,
            _ => kept as f64 / done as f64,
        };
        let useful = share * attempt.seconds;
        split.useful += useful;
        split.repeated += attempt.seconds - useful;
    }
    split
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn billed(seconds: f64, from: u64, to: u64) -> Billed {
        Billed { seconds, from, to }
    }

    #[test]
    fn steps_behind_the_checkpoint_are_repeated() {
        let attempts = [billed(10.0, 0, 100), billed(8.0, 80, 160), billed(4.0, 160, 200)];
        assert_eq!(split(&attempts, false), Split { useful: 20.0, repeated: 2.0, failed: 0.0 });
        assert_eq!(split(&attempts, true), Split { useful: 0.0, repeated: 0.0, failed: 22.0 });
    }

    #[test]
    fn an_attempt_without_a_step_is_lost_unless_it_is_the_last() {
        let attempts = [billed(3.0, 0, 0), billed(10.0, 0, 50), billed(1.0, 50, 50)];
        assert_eq!(split(&attempts, false), Split { useful: 11.0, repeated: 3.0, failed: 0.0 });
        // A start from nothing loses all that went before.
        let attempts = [billed(5.0, 0, 50), billed(10.0, 0, 100)];
        assert_eq!(split(&attempts, false), Split { useful: 10.0, repeated: 5.0, failed: 0.0 });
    }

    proptest! {
        #[test]
        fn the_parts_add_up(
            attempts in prop::collection::vec((0.0..1e6_f64, 0_u64..500, 0_u64..500), 0..12), given_up: bool,
        ) {
            let attempts: Vec<Billed> =
                attempts.into_iter().map(|(seconds, from, to)| billed(seconds, from, to)).collect();
            let parts = split(&attempts, given_up);
            let total: f64 = attempts.iter().map(|attempt| attempt.seconds).sum();
            prop_assert!((parts.total() - total).abs() <= 1e-9 * total.max(1.0));
            prop_assert!(parts.useful >= 0.0 && parts.repeated >= -1e-9 && parts.failed >= 0.0);
        }

        #[test]
        fn attempts_that_go_on_where_the_last_ended_waste_nothing(steps in prop::collection::vec(1_u64..100, 1..10)) {
            let mut at = 0;
            let attempts: Vec<Billed> = steps.iter().map(|step| { at += step; billed(*step as f64, at - step, at) }).collect();
            let parts = split(&attempts, false);
            prop_assert!(parts.repeated.abs() < 1e-9);
        }
    }
}
