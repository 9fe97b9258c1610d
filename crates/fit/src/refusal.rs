//! Why a fit was refused, and which runs would mend it. A refusal is a result, not a failure.

/// Why the data cannot carry the fit. `Display` gives the reason, [`Refusal::mend`] the way out.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Fewer usable points than the law has parameters, plus one to judge it by.
    #[error("{got} usable points, and the fit needs {needed}")]
    TooFewPoints {
        /// Points needed at least.
        needed: usize,
        /// Points left after exclusions.
        got: usize,
    },
    /// Enough points, at too few places.
    #[error("{got} distinct values of {what}, and the fit needs {needed}")]
    TooFewDistinct {
        /// The variable, in words: "x", "compute", "learning rate", "epoch budget".
        what: &'static str,
        /// Distinct values needed at least.
        needed: usize,
        /// Distinct values found.
        got: usize,
    },
    /// Too few runs improve on every cheaper run.
    #[error(
        "the frontier has {got} points out of {candidates} (model, epoch budget) pairs, and the fit needs {needed}"
    )]
    FrontierTooShort {
        /// Frontier points needed at least.
        needed: usize,
        /// Frontier points found.
        got: usize,
        /// Pairs of model and epoch budget with a usable run.
        candidates: usize,
    },
    /// A number that must be positive and finite is not.
    #[error("{what} of row {row} is {value}: it must be positive and finite")]
    NotPositive {
        /// The variable, in words.
        what: &'static str,
        /// The caller's row.
        row: usize,
        /// What was found.
        value: f64,
    },
    /// The measurements do not fall as the variable grows.
    #[error("the losses do not fall: the best straight line through ln y against ln x has slope {slope:+.3e}")]
    NotDecreasing {
        /// Slope of ln y against ln x.
        slope: f64,
    },
    /// The bracket of the best learning rate does not curve upwards.
    #[error("the losses at learning rates {low} to {high} do not form a valley")]
    WrongCurvature {
        /// Lowest learning rate of the bracket.
        low: f64,
        /// Highest learning rate of the bracket.
        high: f64,
    },
    /// The data leave a parameter open.
    #[error("{what} is not identified: {why}")]
    NotIdentified {
        /// The parameter, in words.
        what: &'static str,
        /// What was seen.
        why: String,
        /// Which runs would close it.
        mend: &'static str,
    },
    /// Every trial of a learning rate diverged.
    #[error("every learning rate diverged, the lowest being {lowest}")]
    AllDiverged {
        /// Lowest learning rate tried.
        lowest: f64,
    },
    /// Two laws are to be compared that have points at different computes.
    #[error(
        "they have no compute in common: one law has points from {} to {}, the other from {} to {}",
        short(one.0), short(one.1), short(other.0), short(other.1)
    )]
    NoCommonRange {
        /// Smallest and largest compute of the first law.
        one: (f64, f64),
        /// Smallest and largest compute of the other law.
        other: (f64, f64),
    },
    /// The law's numbers leave the range of double precision.
    #[error("{what} is outside the range of floating-point numbers")]
    OutOfRange {
        /// The quantity, in words.
        what: &'static str,
    },
}

impl Refusal {
    /// Which runs, or which change, would make the fit possible.
    pub fn mend(&self) -> String {
        match self {
            Refusal::TooFewPoints { needed, got } => {
                let missing = needed.saturating_sub(*got);
                format!("add {missing} more finished {}", plural(missing, "run"))
            }
            Refusal::TooFewDistinct { what, needed, got } => {
                let missing = needed.saturating_sub(*got);
                format!(
                    "add runs at {missing} more {} of {what}; repeats of the same value do not help",
                    plural(missing, "value")
                )
            }
            Refusal::FrontierTooShort { needed, got, .. } => {
                let missing = needed.saturating_sub(*got);
                format!(
                    "add one more epoch budget or one larger model, until {missing} more {} at a new compute beat every cheaper run",
                    plural(missing, "run")
                )
            }
            Refusal::NotPositive { what, row, .. } => {
                format!("correct or drop row {row}: {what} must be positive and finite")
            }
            Refusal::NotDecreasing { .. } => {
                "add runs at larger compute, and check that the learning rate of the largest runs was tuned".to_owned()
            }
            Refusal::WrongCurvature { low, high } => {
                format!("add a learning rate below {low} and one above {high}, or a second seed of each")
            }
            Refusal::NotIdentified { mend, .. } => (*mend).to_owned(),
            Refusal::AllDiverged { lowest } => {
                format!("add a learning rate below {lowest}, for example {}", lowest / 4.0)
            }
            Refusal::NoCommonRange { one, other } => {
                let (below, above) = if one.1 <= other.0 { (one.1, other.0) } else { (other.1, one.0) };
                match below < above {
                    true => format!("add runs of either between {} and {}, or beyond", short(below), short(above)),
                    false => format!("add runs of either beyond {}", short(below)),
                }
            }
            Refusal::OutOfRange { what } => format!("give {what} in a unit that brings the numbers nearer to 1"),
        }
    }
}

/// Four digits of a number of any size.
fn short(number: f64) -> String {
    if (1e-3..1e6).contains(&number) { format!("{}", (number * 1e4).round() / 1e4) } else { format!("{number:.3e}") }
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { noun.to_owned() } else { format!("{noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_why_and_what_to_do() {
        let refusal = Refusal::TooFewDistinct { what: "compute", needed: 3, got: 2 };
        assert_eq!(refusal.to_string(), "2 distinct values of compute, and the fit needs 3");
        assert_eq!(refusal.mend(), "add runs at 1 more value of compute; repeats of the same value do not help");
    }
}
