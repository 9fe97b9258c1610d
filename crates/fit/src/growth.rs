//! How the best size and the best number of samples or epochs grow with compute.

use serde::Serialize;

use crate::claims::{Claim, judge};
use crate::interval::Scale;
use crate::trend::{Found, Trend, trend};
use crate::{Estimate, Refusal, SurfaceFit};

/// At the same rate: the interval of the difference of the exponents includes 0 and is within this of it, between C^0.4 and
/// C^0.6 each; at different rates: it excludes 0; otherwise the runs cannot tell.
const SAME: f64 = 0.2;

/// How size and epochs grow along a frontier.
#[derive(Clone, Debug, Serialize)]
pub struct Growth {
    /// The size of the best model.
    pub size: Trend,
    /// The epochs (or samples) of the best run.
    pub epochs: Trend,
    /// Whether both grow at the same rate, as arXiv 2310.16764 recommends.
    pub same_rate: Claim,
}

/// The growth along the best runs, each given by its compute, size and epochs: no law of the loss is assumed.
///
/// # Errors
/// [`Refusal::TooFewDistinct`] below three runs.
pub fn growth(best: &[(f64, f64, f64)]) -> Result<Growth, Refusal> {
    let finite = |run: &&(f64, f64, f64)| [run.0, run.1, run.2].iter().all(|x| *x > 0.0 && x.is_finite());
    let mut runs: Vec<(f64, f64, f64)> = best.iter().filter(finite).copied().collect();
    runs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.total_cmp(&b.2)));
    let along = |read: fn(&(f64, f64, f64)) -> f64| {
        let found: Vec<Found> = runs.iter().map(|run| Found { u: run.0.ln(), v: read(run), error: 0.0 }).collect();
        trend(&found, "compute on the frontier")
    };
    let (size, epochs) = (along(|run| run.1.ln())?, along(|run| run.2.ln())?);
    let between = along(|run| run.1.ln() - run.2.ln())?.exponent;
    Ok(Growth { same_rate: same_rate(between, &size.exponent, &epochs.exponent), size, epochs })
}

impl SurfaceFit {
    /// Whether the best size and the best number of samples grow at the same rate with compute, by the fitted exponents.
    pub fn same_rate(&self) -> Claim {
        let between = self.fitted.estimate(Scale::Plain, 0.0, |theta| (theta[4] - theta[3]) / (theta[3] + theta[4]));
        same_rate(between, &self.summary.params["a"], &self.summary.params["b"])
    }
}

fn same_rate(between: Estimate, size: &Estimate, epochs: &Estimate) -> Claim {
    let because = format!(
        "the best size grows as C^{:.2} ({:.2} to {:.2}), samples and epochs as C^{:.2} ({:.2} to {:.2}); the exponents differ by {:+.2} ({:+.2} to {:+.2})",
        size.value,
        size.low,
        size.high,
        epochs.value,
        epochs.low,
        epochs.high,
        between.value,
        between.low,
        between.high
    );
    let no = between.low > 0.0 || between.high < 0.0;
    let yes = !no && between.low > -SAME && between.high < SAME;
    let numbers = [("difference", between.value), ("low", between.low), ("high", between.high)];
    Claim::new("size and epochs should grow at the same rate with compute", judge(yes, no), because, &numbers)
}
