//! y = K x^exponent through numbers that each have an error of their own.

use serde::Serialize;

use crate::interval::finite;
use crate::solve::{Solution, least_squares};
use crate::stat::{Z975, distinct, t975};
use crate::{Estimate, Refusal};

/// A number that was found with an error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// ln x
    pub(crate) u: f64,
    /// ln y
    pub(crate) v: f64,
    /// Standard error of ln y.
    pub(crate) error: f64,
}

/// A fitted power law through such numbers; it may rise or fall.
#[derive(Clone, Debug, Serialize)]
pub struct Trend {
    /// The exponent, no unit.
    pub exponent: Estimate,
    /// K, in the unit of y, at x = 1.
    pub coefficient: Estimate,
    #[serde(skip)]
    solution: Solution,
    #[serde(skip)]
    mean_u: f64,
    /// Half-width of a 95 % interval per unit of standard error.
    #[serde(skip)]
    width: f64,
}

/// Weighted least squares in logarithms. The intervals are Student's t on the scatter about the line, but never narrower
/// than the errors of the numbers themselves allow.
///
/// # Errors
/// [`Refusal::TooFewPoints`] below three numbers, [`Refusal::TooFewDistinct`] below two places.
pub(crate) fn trend(found: &[Found], what: &'static str) -> Result<Trend, Refusal> {
    if found.len() < 3 {
        return Err(Refusal::TooFewDistinct { what, needed: 3, got: found.len() });
    }
    let mut places: Vec<f64> = found.iter().map(|f| f.u).collect();
    places.sort_by(f64::total_cmp);
    let got = distinct(places.into_iter());
    if got < 2 {
        return Err(Refusal::TooFewDistinct { what, needed: 3, got });
    }
    // Exact numbers have no error; then all count alike.
    let largest = found.iter().map(|f| f.error).fold(0.0, f64::max);
    let weight = |f: &Found| if largest > 0.0 { 1.0 / f.error.max(1e-3 * largest) } else { 1.0 };
    let mean_u = found.iter().map(|f| f.u).sum::<f64>() / found.len() as f64;
    let columns = vec![
        found.iter().map(weight).collect(),
        found.iter().map(|f| (f.u - mean_u) * weight(f)).collect::<Vec<f64>>(),
    ];
    let target: Vec<f64> = found.iter().map(|f| f.v * weight(f)).collect();
    let solution = least_squares(&columns, &target).ok_or(Refusal::OutOfRange { what })?;
    let scatter: f64 = found.iter().map(|f| ((f.v - solution.predict(&[1.0, f.u - mean_u])) * weight(f)).powi(2)).sum();
    let df = found.len() - 2;
    let known = if largest > 0.0 { Z975 } else { 0.0 };
    let width = (t975(df) * (scatter / df as f64).sqrt()).max(known);
    let mut trend = Trend { exponent: NONE, coefficient: NONE, solution, mean_u, width };
    trend.exponent = trend.along(&[0.0, 1.0]);
    trend.coefficient = exponential(trend.along(&[1.0, -mean_u]));
    Ok(trend)
}

const NONE: Estimate = Estimate { value: f64::NAN, low: f64::NAN, high: f64::NAN };

impl Trend {
    /// The law at `x` with the 95 % interval of its mean. NaN where `x` has no logarithm.
    pub fn predict(&self, x: f64) -> Estimate {
        if x > 0.0 && x.is_finite() { exponential(self.along(&[1.0, x.ln() - self.mean_u])) } else { NONE }
    }

    fn along(&self, at: &[f64; 2]) -> Estimate {
        let value = self.solution.predict(at);
        let half = self.width * self.solution.variance(at).sqrt();
        Estimate { value, low: value - half, high: value + half }
    }
}

fn exponential(log: Estimate) -> Estimate {
    finite(log.value.exp(), log.low.exp(), log.high.exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_law_comes_back_and_errors_widen_it() {
        let found = |error: f64| -> Vec<Found> {
            [1.0, 2.0, 4.0].iter().map(|u| Found { u: *u, v: 3.0 + 0.5 * u, error }).collect()
        };
        let exact = trend(&found(0.0), "compute").unwrap();
        assert!((exact.exponent.value - 0.5).abs() < 1e-12 && exact.exponent.high - exact.exponent.low < 1e-12);
        assert!((exact.coefficient.value / 3f64.exp() - 1.0).abs() < 1e-12);
        let noisy = trend(&found(0.1), "compute").unwrap();
        // Spread about the mean 7/3: 14/3.
        let half = Z975 * 0.1 / (14.0_f64 / 3.0).sqrt();
        assert!((noisy.exponent.high - 0.5 - half).abs() < 1e-9, "{noisy:?}");
        assert!(matches!(trend(&found(0.1)[..2], "compute"), Err(Refusal::TooFewDistinct { got: 2, .. })));
    }
}
