//! The words that every fit shares.

use serde::{Deserialize, Serialize};

/// A number from data with its 95 % interval; `low <= value <= high`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The best single number.
    pub value: f64,
    /// Lower end of the 95 % interval, in the unit of `value`.
    pub low: f64,
    /// Upper end of the 95 % interval, in the unit of `value`.
    pub high: f64,
}

/// One point for a law in one variable.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// What the caller wants back in the lists of used and excluded points.
    pub row: usize,
    /// The variable, for example compute, in any positive unit.
    pub x: f64,
    /// The measurement, for example the held-out loss in nats.
    pub y: f64,
}

/// A point that took no part in a fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excluded {
    /// The caller's row.
    pub row: usize,
    /// Why, in words for the user.
    pub reason: String,
}

/// Settings of every fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Seed of the resampling; the same seed gives the same intervals.
    pub seed: u64,
    /// How many resampled fits an interval rests on. Used within 200 and 100 000: fewer give no 95 % interval.
    pub resamples: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { seed: 0, resamples: 2000 }
    }
}

impl Settings {
    /// The number of resamples within its useful range.
    pub(crate) fn resamples(&self) -> usize {
        self.resamples.clamp(200, 100_000)
    }
}

/// How well a law describes the points it was fitted to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// 1 - (residual sum of squares) / (total sum of squares about the mean), both of the logarithm of y.
    pub r2: f64,
    /// Root mean square of the residuals of ln y: 0.01 is about one per cent.
    pub rmse_log: f64,
}

impl Quality {
    /// The quality of `fitted` as a description of `observed`, both logarithms.
    pub(crate) fn of(observed: &[f64], fitted: &[f64]) -> Quality {
        let n = observed.len() as f64;
        let mean = observed.iter().sum::<f64>() / n;
        let total: f64 = observed.iter().map(|o| (o - mean).powi(2)).sum();
        let residual: f64 = observed.iter().zip(fitted).map(|(o, f)| (o - f).powi(2)).sum();
        // Without spread there is nothing to explain; an exact description of it is still an exact one.
        let r2 = if total > 0.0 { 1.0 - residual / total } else { f64::from(u8::from(residual == 0.0)) };
        Quality { r2, rmse_log: (residual / n).sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r2_of_a_known_answer() {
        // Mean 2, total 2, residuals .1, -.2, .1: 1 - .06 / 2.
        let quality = Quality::of(&[1.0, 2.0, 3.0], &[0.9, 2.2, 2.9]);
        assert!((quality.r2 - 0.97).abs() < 1e-12);
        assert!((quality.rmse_log - 0.02_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn r2_of_a_bad_description_is_negative() {
        assert!((Quality::of(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]).r2 - -3.0).abs() < 1e-12);
    }
}
