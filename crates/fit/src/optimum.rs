//! The optimal learning rate of one model and epoch budget, from a small grid.
//!
//! Near its minimum the loss is close to a parabola in the logarithm of the learning rate, and rises like a cliff above
//! it. So three points decide: the best tried and its two neighbours. On a factor-2 grid (144 slices of the Step Law
//! data, arXiv 2503.04715) their parabola comes within 0.08 octave; wider ones are worse than taking the best tried.

use serde::{Deserialize, Serialize};

use crate::law::not_positive;
use crate::noise::{NOISE_FLOOR, seed_noise};
use crate::stat::Z975;
use crate::{Estimate, Refusal};

/// A neighbour this much above the best (in ln loss) is on the cliff, where the parabola no longer holds.
const CLIFF: f64 = 0.05;

/// One learning rate that was tried; several of the same rate are seeds of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The caller's row.
    pub row: usize,
    /// Learning rate.
    pub lr: f64,
    /// Held-out loss in nats. `None`, or a loss that is not finite, means diverged: a bound, not a number.
    pub loss: Option<f64>,
}

/// An end of the learning rates that were tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The lowest learning rate.
    Low,
    /// The highest learning rate.
    High,
}

/// Where the optimal learning rate lies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "where", rename_all = "snake_case")]
pub enum Optimum {
    /// Between learning rates that were tried and are both worse.
    Inside {
        /// The optimal learning rate; its interval never leaves the bracket.
        lr: Estimate,
        /// The best learning rate that was tried.
        best_tried: f64,
        /// The parabola's lowest loss, in nats.
        loss: f64,
        /// Second derivative of the loss by log2 of the learning rate, in nats per octave squared.
        curvature: f64,
    },
    /// At an end of the rates with a numeric loss: nothing says where it lies beyond.
    AtEdge {
        /// Which end. High also when the next higher rate diverged: a parabola needs a number there.
        side: Side,
        /// The best learning rate that was tried.
        best_tried: f64,
        /// Its loss, in nats.
        loss: f64,
        /// The lowest learning rate above the best that diverged: the optimum is below it.
        bounded_by_divergence: Option<f64>,
    },
}

impl Optimum {
    /// Which learning rate to try so that the optimum comes inside; `None` when it is.
    pub fn mend(&self) -> Option<String> {
        let Optimum::AtEdge { side, best_tried, bounded_by_divergence, .. } = *self else {
            return None;
        };
        Some(match (side, bounded_by_divergence) {
            (Side::Low, _) => format!("add a learning rate below {best_tried:?}, for example {:?}", best_tried / 2.0),
            (Side::High, None) => {
                format!("add a learning rate above {best_tried:?}, for example {:?}", best_tried * 2.0)
            }
            (Side::High, Some(bound)) => format!(
                "add a learning rate between {best_tried:?} and {bound:?}, which diverged, for example {:.3e}",
                (best_tried.ln() / 2.0 + bound.ln() / 2.0).exp()
            ),
        })
    }
}

/// Finds the optimal learning rate of one model and epoch budget: the vertex of the parabola through the best rate and
/// its two neighbours, in log2 of the learning rate.
///
/// `noise` is the standard deviation of ln loss between seeds. Without it, it is taken from the trials that repeat a
/// learning rate, but never below [`NOISE_FLOOR`]; a noise that is negative or not finite counts as not given. The
/// interval holds every rate at which the slope of the parabola is zero within that noise (Fieller 1954: exact also when
/// the curvature is uncertain), cut to the bracket. Where the higher neighbour is 5 % worse or more, the cliff bends the
/// parabola and puts the vertex too low: the interval then reaches at least up to the best rate tried. The interval
/// covers noise, not the difference between the loss and a parabola (about 0.1 octave on a factor-2 grid).
///
/// A learning rate with a diverged seed counts as diverged.
///
/// # Errors
/// [`Refusal::NotPositive`] for a rate or a loss that is not positive, [`Refusal::TooFewDistinct`] below two rates,
/// [`Refusal::AllDiverged`], and [`Refusal::WrongCurvature`] when the bracket is flat.
pub fn optimal_lr(trials: &[Trial], noise: Option<f64>) -> Result<Optimum, Refusal> {
    let rates = by_rate(trials)?;
    if rates.len() < 2 {
        return Err(Refusal::TooFewDistinct { what: "learning rate", needed: 3, got: rates.len() });
    }
    let loss = |i: usize| rates[i].loss.unwrap_or(f64::INFINITY);
    let numeric = |i: &usize| rates[*i].loss.is_some();
    let below = |i: usize| (0..i).rev().find(numeric);
    let above = |i: usize| (i + 1 < rates.len()).then_some(i + 1).filter(numeric);
    // Of equal losses, one with neighbours on both sides says most.
    let open = |i: usize| below(i).is_none() || above(i).is_none();
    let Some(best) =
        (0..rates.len()).filter(numeric).min_by(|a, b| loss(*a).total_cmp(&loss(*b)).then(open(*a).cmp(&open(*b))))
    else {
        return Err(Refusal::AllDiverged { lowest: rates[0].lr });
    };
    let edge = |side| Optimum::AtEdge {
        side,
        best_tried: rates[best].lr,
        loss: rates[best].loss.unwrap_or(f64::NAN),
        bounded_by_divergence: rates[best + 1..].iter().find(|r| r.loss.is_none()).map(|r| r.lr),
    };
    match (below(best), above(best)) {
        (None, _) => Ok(edge(Side::Low)),
        (Some(_), None) => Ok(edge(Side::High)),
        (Some(below), Some(above)) => {
            inside([&rates[below], &rates[best], &rates[above]], relative_noise(&rates, noise))
        }
    }
}

/// A learning rate with all its seeds.
struct Rate {
    lr: f64,
    /// Mean over seeds; `None` when any diverged.
    loss: Option<f64>,
    seeds: Vec<f64>,
}

fn by_rate(trials: &[Trial]) -> Result<Vec<Rate>, Refusal> {
    let mut sorted: Vec<(f64, Option<f64>)> = Vec::with_capacity(trials.len());
    for trial in trials {
        let refuse = |what, value| Refusal::NotPositive { what, row: trial.row, value };
        if not_positive("", trial.lr).is_some() {
            return Err(refuse("learning rate", trial.lr));
        }
        let loss = trial.loss.filter(|loss| loss.is_finite());
        if let Some(loss) = loss.filter(|loss| *loss <= 0.0) {
            return Err(refuse("loss", loss));
        }
        sorted.push((trial.lr, loss));
    }
    sorted.sort_by(|a, b| {
        a.0.total_cmp(&b.0).then(a.1.unwrap_or(f64::INFINITY).total_cmp(&b.1.unwrap_or(f64::INFINITY)))
    });
    Ok(sorted
        .chunk_by(|a, b| b.0.ln() - a.0.ln() < 1e-9)
        .map(|seeds| {
            let losses: Vec<f64> = seeds.iter().filter_map(|s| s.1).collect();
            let mean = losses.iter().map(|loss| loss / losses.len() as f64).sum();
            Rate { lr: seeds[0].0, loss: (losses.len() == seeds.len()).then_some(mean), seeds: losses }
        })
        .collect())
}

/// The half-width of the 95 % interval of one run's ln loss.
fn relative_noise(rates: &[Rate], noise: Option<f64>) -> f64 {
    if let Some(noise) = noise.filter(|noise| noise.is_finite() && *noise >= 0.0) {
        return Z975 * noise;
    }
    let repeated = rates.iter().filter(|rate| rate.loss.is_some()).map(|rate| rate.seeds.as_slice());
    Z975 * seed_noise(repeated).map_or(0.0, |noise| noise.for_intervals()).max(NOISE_FLOOR)
}

fn inside(bracket: [&Rate; 3], noise: f64) -> Result<Optimum, Refusal> {
    // Octaves from the middle, and losses in units of its loss: the numbers of the parabola stay near 1.
    let [low, best, high] = bracket;
    let scale = best.loss.unwrap_or(f64::NAN);
    let x = bracket.map(|rate| rate.lr.log2() - best.lr.log2());
    let y = bracket.map(|rate| rate.loss.unwrap_or(f64::NAN) / scale);
    let half = bracket.map(|rate| noise * rate.loss.unwrap_or(f64::NAN) / scale / (rate.seeds.len() as f64).sqrt());
    let wrong = || Refusal::WrongCurvature { low: low.lr, high: high.lr };

    // Lagrange: the slope at v is the sum of y_i (constant_i + slope_i v).
    let denominator = |i: usize, j: usize, k: usize| (x[i] - x[j]) * (x[i] - x[k]);
    let parts = [(0, 1, 2), (1, 0, 2), (2, 0, 1)].map(|(i, j, k)| {
        let d = denominator(i, j, k);
        (-(x[j] + x[k]) / d, 2.0 / d)
    });
    let sum = |f: &dyn Fn(usize) -> f64| (0..3).map(f).sum::<f64>();
    let (p, q) = (sum(&|i| y[i] * parts[i].0), sum(&|i| y[i] * parts[i].1));
    if q.is_nan() || q <= 0.0 || !q.is_finite() || !p.is_finite() {
        return Err(wrong());
    }
    let vertex = (-p / q).clamp(x[0], x[2]);

    // Fieller: (p + q v)^2 <= sum half_i^2 (constant_i + slope_i v)^2, a quadratic in v.
    let a = q * q - sum(&|i| (half[i] * parts[i].1).powi(2));
    let b = p * q - sum(&|i| half[i].powi(2) * parts[i].0 * parts[i].1);
    let c = p * p - sum(&|i| (half[i] * parts[i].0).powi(2));
    let (mut from, mut to) = (x[0], x[2]);
    // Otherwise the curvature may be zero: anything in the bracket will do.
    if a > 0.0 {
        let root = (b * b - a * c).max(0.0).sqrt();
        (from, to) = (from.max((-b - root) / a).min(vertex), to.min((-b + root) / a).max(vertex));
    }
    if y[2].ln() > CLIFF {
        to = to.max(0.0);
    }
    let rate = |octaves: f64| (best.lr.log2() + octaves).exp2().clamp(low.lr, high.lr);
    let value = rate(vertex);
    Ok(Optimum::Inside {
        lr: Estimate { value, low: rate(from).min(value), high: rate(to).max(value) },
        best_tried: best.lr,
        loss: (scale * (1.0 - 0.5 * q * vertex * vertex)).clamp(0.0, scale),
        curvature: (q * scale).min(f64::MAX),
    })
}
