//! Which runs to do next: those that shrink an interval most for their cost, by the derivatives of the fitted law.
//!
//! A run with derivatives g and noise s turns the covariance V into V - V g g' V / (s^2 + g' V g). For one quantity with
//! derivatives c that lowers its variance c' V c (c-optimal design); for all parameters at once it multiplies det V by
//! s^2 / (s^2 + g' V g) (D-optimal; Fedorov 1972). The law is taken for true: runs that would test it are another matter.

use serde::Serialize;

use crate::dense::{Square, form};
use crate::interval::gradient;
use crate::regression::{Fitted, Jet};
use crate::stat::t975;

/// A run that lowers ln of the variance by less, 0.5 % of the half-width, is not worth its start.
const LEAST_GAIN: f64 = 0.01;

/// A run that could be done.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PossibleRun {
    /// What the caller wants back.
    pub row: usize,
    /// Size of the model, in the unit of the fit.
    pub size: f64,
    /// Samples it would see, repeats counted.
    pub samples: f64,
    /// Epochs it would take.
    pub epochs: f64,
    /// What it costs, in device hours or any one unit.
    pub cost: f64,
}

/// What the runs are to narrow.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// The exponent a of the best size N* = G (C/k)^a.
    Exponent,
    /// The lowest loss at this compute.
    Loss {
        /// The compute, in operations.
        compute: f64,
        /// Unique samples there are; without a number as many as are seen. Only laws of repeated data look at it.
        unique: Option<f64>,
    },
    /// All parameters together.
    Parameters,
}

/// A run that is suggested.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Suggested {
    /// The run.
    pub run: PossibleRun,
    /// Half-width of the 95 % interval of the goal after this run and those before it: of the exponent, or relative of the
    /// loss. For all parameters, the same of their geometric mean: the 2k-th root of det V.
    pub half_width: f64,
}

/// The runs to do next, in the order of their worth.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Suggestion {
    /// Half-width before any of them.
    pub before: f64,
    /// The runs.
    pub runs: Vec<Suggested>,
    /// Their cost in all.
    pub cost: f64,
}

/// What is to be narrowed: one direction of the parameters, or all.
pub(crate) enum Target<const K: usize> {
    Direction([f64; K]),
    Everything,
}

impl<const K: usize> Target<K> {
    pub(crate) fn of(fitted: &Fitted<K>, read: impl Fn(&[f64; K]) -> f64) -> Target<K> {
        Target::Direction(gradient(&fitted.theta, read))
    }
}

/// Chooses greedily within `budget`, once by gain per cost and once by gain alone, and keeps what ends narrower: the first
/// wastes no cheap run, the second does not fill the budget with crumbs. `None` when the fit has no covariance.
pub(crate) fn suggest<const K: usize>(
    fitted: &Fitted<K>,
    target: &Target<K>,
    runs: &[(PossibleRun, Jet<K>)],
    noise: f64,
    budget: f64,
) -> Option<Suggestion> {
    let covariance = fitted.covariance?;
    let greedy = |by_cost: bool| {
        let mut left: Vec<(PossibleRun, [f64; K])> = runs
            .iter()
            .filter(|(run, jet)| run.cost > 0.0 && run.cost.is_finite() && jet.value > 0.0)
            .map(|(run, jet)| (*run, jet.gradient.map(|slope| slope / jet.value)))
            .collect();
        let (mut v, mut spread, mut spent) = (covariance, spread(&covariance, target), 0.0);
        let mut chosen = Vec::new();
        loop {
            let worth = |(run, g): &(PossibleRun, [f64; K])| {
                let gain = gain(&v, target, g, noise);
                if by_cost { gain / run.cost } else { gain }
            };
            left.retain(|(run, _)| run.cost <= budget - spent);
            let best = (0..left.len())
                .max_by(|a, b| worth(&left[*a]).total_cmp(&worth(&left[*b])).then(left[*b].0.row.cmp(&left[*a].0.row)));
            let Some(best) = best.filter(|best| gain(&v, target, &left[*best].1, noise) >= LEAST_GAIN) else { break };
            let (run, g) = left.swap_remove(best);
            spread -= 0.5 * gain(&v, target, &g, noise);
            v = with(&v, &g, noise);
            spent += run.cost;
            chosen.push(Suggested { run, half_width: t975(fitted.df + chosen.len() + 1) * spread.exp() });
        }
        (chosen, spent)
    };
    let before = t975(fitted.df) * spread(&covariance, target).exp();
    let end = |chosen: &[Suggested]| chosen.last().map_or(before, |last| last.half_width);
    let (by_cost, by_gain) = (greedy(true), greedy(false));
    let (runs, cost) = if end(&by_gain.0) < 0.98 * end(&by_cost.0) { by_gain } else { by_cost };
    Some(Suggestion { before, runs, cost })
}

/// ln of the standard error of the target.
fn spread<const K: usize>(v: &Square<K>, target: &Target<K>) -> f64 {
    match target {
        Target::Direction(c) => 0.5 * form(c, v, c).ln(),
        Target::Everything => 0.5 * crate::dense::ln_det(v) / K as f64,
    }
}

/// By how much a run lowers ln of the variance of the target.
fn gain<const K: usize>(v: &Square<K>, target: &Target<K>, g: &[f64; K], noise: f64) -> f64 {
    let own = noise * noise + form(g, v, g);
    let gain = match target {
        Target::Direction(c) => -(-(form(c, v, g).powi(2) / own) / form(c, v, c)).ln_1p(),
        Target::Everything => (own / (noise * noise)).ln() / K as f64,
    };
    if gain.is_nan() { 0.0 } else { gain }
}

/// The covariance after a run.
fn with<const K: usize>(v: &Square<K>, g: &[f64; K], noise: f64) -> Square<K> {
    let vg: [f64; K] = std::array::from_fn(|i| (0..K).map(|j| v[i][j] * g[j]).sum());
    let own = noise * noise + (0..K).map(|i| g[i] * vg[i]).sum::<f64>();
    std::array::from_fn(|i| std::array::from_fn(|j| v[i][j] - vg[i] * vg[j] / own))
}
