//! Robust regression of ln y on a positive function of a few parameters: what all laws of several parameters share.

#![allow(clippy::needless_range_loop, reason = "matrices share their indices")]

use serde::{Deserialize, Serialize};

use crate::dense::{Square, condition, inverse};
use crate::huber::{EFFICIENT, SMALLEST_DELTA, huber, robust_scale};
use crate::newton::{Local, Minimum, Search, minimise};

/// How a residual of ln y counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// By its square: best for normal noise, led astray by outliers.
    Squares,
    /// Huber's loss, delta being 1.345 robust standard deviations of the residuals.
    Robust,
    /// Huber's loss with this delta, in units of ln y, 1e-6 at least. 1e-3 is the published choice for language models.
    Huber(f64),
}

/// How the search ended, for whoever has to trust it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Convergence {
    /// Starts of the search: the valleys of a grid over the exponents.
    pub starts: usize,
    /// How many of them ended at the best objective, within 1e-6 of it.
    pub reached_best: usize,
    /// What a further Newton step promises to gain, as a fraction of the objective.
    pub decrement: f64,
    /// Whether no parameter moved any more at the end.
    pub converged: bool,
    /// Condition number of the derivatives by the parameters, columns at length one: beyond about 1e4 single
    /// parameters mean little, though predictions may.
    pub condition: f64,
}

/// Where the intervals come from. One is chosen and stated; they are not mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Intervals {
    /// Student's t on the standard error of the delta method.
    Delta,
    /// Percentiles over fits to runs drawn with replacement.
    Runs,
    /// Percentiles over fits to whole cells drawn with replacement: for several checkpoints of a run.
    Cells,
}

/// A positive function S at a place, with its derivatives by the parameters; of the second ones the lower triangle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Jet<const K: usize> {
    pub(crate) value: f64,
    pub(crate) gradient: [f64; K],
    pub(crate) hessian: Square<K>,
}

/// A law: a positive function of K parameters.
pub(crate) trait Model<const K: usize> {
    type Place: Copy;
    fn jet(&self, theta: &[f64; K], place: &Self::Place) -> Jet<K>;
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<P> {
    pub(crate) place: P,
    /// ln y, about a centre that brings it near 0.
    pub(crate) v: f64,
    pub(crate) weight: f64,
}

/// The best parameters, and what is uncertain about them.
#[derive(Clone, Debug)]
pub(crate) struct Fitted<const K: usize> {
    pub(crate) theta: [f64; K],
    pub(crate) objective: f64,
    /// Huber's delta in the end; infinite for squares.
    pub(crate) delta: f64,
    /// Standard deviation of the residuals, for intervals: Huber's own, which counts a far residual as delta.
    pub(crate) scale: f64,
    /// Twice a rise of the objective by this counts as one unit of chi-square (Schrader and Hettmansperger 1980).
    pub(crate) dispersion: f64,
    pub(crate) df: usize,
    pub(crate) covariance: Option<Square<K>>,
    pub(crate) intervals: Intervals,
    pub(crate) draws: Vec<[f64; K]>,
    pub(crate) convergence: Convergence,
}

/// Where parameters may lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds<const K: usize> {
    pub(crate) low: [f64; K],
    pub(crate) high: [f64; K],
}

impl<const K: usize> Bounds<K> {
    /// The fit itself, to the last digit.
    pub(crate) fn exactly(&self, rows: usize) -> Search<K> {
        Search { low: self.low, high: self.high, tolerance: 1e-12, rounding: 1e-29 * rows as f64, steps: 300 }
    }

    /// A resample, as far as its percentile shows.
    pub(crate) fn roughly(&self) -> Search<K> {
        Search { low: self.low, high: self.high, tolerance: 1e-5, rounding: 0.0, steps: 60 }
    }
}

/// The objective: the sum of Huber's loss of ln y - ln S, each times its weight.
pub(crate) fn objective<const K: usize, M: Model<K>>(
    model: &M,
    rows: &[Row<M::Place>],
    theta: &[f64; K],
    delta: f64,
) -> Local<K> {
    let mut local = Local { value: 0.0, gradient: [0.0; K], hessian: [[0.0; K]; K], damping: [0.0; K] };
    for row in rows {
        let jet = model.jet(theta, &row.place);
        let inverse = 1.0 / jet.value;
        let residual = row.v - jet.value.ln();
        let (value, slope, bent) = huber(residual, delta);
        // As reweighted least squares would count it: positive also where the loss is straight.
        let reweighted = row.weight * if bent > 0.0 { 1.0 } else { slope / residual };
        local.value += row.weight * value;
        let (slope, both) = (row.weight * slope, row.weight * (slope + bent));
        let relative: [f64; K] = std::array::from_fn(|i| jet.gradient[i] * inverse);
        for i in 0..K {
            local.gradient[i] -= slope * relative[i];
            local.damping[i] += reweighted * relative[i] * relative[i];
            for j in 0..=i {
                local.hessian[i][j] += both * relative[i] * relative[j] - slope * inverse * jet.hessian[i][j];
            }
        }
    }
    for i in 0..K {
        for j in 0..i {
            local.hessian[j][i] = local.hessian[i][j];
        }
    }
    if local.value.is_nan() {
        local.value = f64::INFINITY;
    }
    local
}

/// Fits from every start and keeps the best; `None` when no start has a finite objective.
///
/// Least squares first, since their valleys are wide; then Huber's loss, its delta falling in steps of 4 to the one asked
/// for, each from the last optimum: near absolute values an optimiser started afar stalls.
pub(crate) fn fit<const K: usize, M: Model<K>>(
    model: &M,
    rows: &[Row<M::Place>],
    starts: &[[f64; K]],
    bounds: &Bounds<K>,
    loss: Loss,
) -> Option<Fitted<K>> {
    let search = bounds.exactly(rows.len());
    let from = |start: &[f64; K], delta: f64| minimise(*start, &search, |theta| objective(model, rows, theta, delta));
    let mut ends: Vec<Minimum<K>> = starts.iter().map(|start| from(start, f64::INFINITY)).collect();
    let mut delta = f64::INFINITY;
    match loss {
        Loss::Squares => {}
        Loss::Robust => {
            let mut current = *best(&ends)?;
            for _ in 0..20 {
                let next = (EFFICIENT * scale_at(model, rows, &current.at)).max(SMALLEST_DELTA);
                if (next / delta - 1.0).abs() < 1e-6 {
                    break;
                }
                delta = next;
                current = from(&current.at, delta);
            }
            ends.iter_mut().for_each(|end| *end = from(&end.at, delta));
            ends.push(current);
        }
        Loss::Huber(asked) => {
            // Also where it is no number.
            let asked = asked.max(SMALLEST_DELTA);
            let first = (EFFICIENT * scale_at(model, rows, &best(&ends)?.at)).max(asked);
            let mut steps = vec![asked];
            while steps[steps.len() - 1] < first {
                steps.push(steps[steps.len() - 1] * 4.0);
            }
            for step in steps.into_iter().rev() {
                ends.iter_mut().for_each(|end| *end = from(&end.at, step));
            }
            delta = asked;
        }
    }
    let end = *best(&ends)?;
    // Within the rounding of exact data every optimum is the best.
    let same = |other: &&Minimum<K>| other.value <= end.value * (1.0 + 1e-6) + 1e-26 * rows.len() as f64;
    let gram = gram(model, rows, &end.at, |_| 1.0);
    let (scale, inside, df) = noise(model, rows, &end.at, delta);
    let convergence = Convergence {
        starts: starts.len(),
        reached_best: ends.iter().take(starts.len()).filter(same).count(),
        decrement: end.decrement,
        converged: end.converged,
        condition: condition(&gram),
    };
    let covariance = covariance(model, rows, &end.at, scale);
    let dispersion = scale * scale * inside;
    let intervals = Intervals::Delta;
    Some(Fitted {
        theta: end.at,
        objective: end.value,
        delta,
        scale,
        dispersion,
        df,
        covariance,
        intervals,
        draws: Vec::new(),
        convergence,
    })
}

fn best<const K: usize>(ends: &[Minimum<K>]) -> Option<&Minimum<K>> {
    ends.iter().filter(|end| end.value.is_finite()).min_by(|a, b| a.value.total_cmp(&b.value))
}

fn residuals<'a, const K: usize, M: Model<K>>(
    model: &'a M,
    rows: &'a [Row<M::Place>],
    theta: &'a [f64; K],
) -> impl Iterator<Item = f64> + 'a {
    rows.iter().map(|row| row.v - model.jet(theta, &row.place).value.ln())
}

fn scale_at<const K: usize, M: Model<K>>(model: &M, rows: &[Row<M::Place>], theta: &[f64; K]) -> f64 {
    robust_scale(residuals(model, rows, theta), K)
}

/// Sum of weight `factor(weight)` g g', g being the derivatives of ln S.
pub(crate) fn gram<const K: usize, M: Model<K>>(
    model: &M,
    rows: &[Row<M::Place>],
    theta: &[f64; K],
    factor: impl Fn(f64) -> f64,
) -> Square<K> {
    let mut gram = [[0.0; K]; K];
    for row in rows {
        let jet = model.jet(theta, &row.place);
        let weight = row.weight * factor(row.weight);
        for i in 0..K {
            for j in 0..K {
                gram[i][j] += weight * jet.gradient[i] * jet.gradient[j] / (jet.value * jet.value);
            }
        }
    }
    gram
}

/// Of the robust standard deviation: with a delta below it nearly all residuals within are those that the fit brings to
/// zero, so that their share is taken from a window of this width, in which the density of the noise is nearly level.
const WINDOW: f64 = 0.5;

/// The standard deviation of the noise as the covariance of a Huber estimate needs it (Huber 1981, equations 7.6.1 and
/// 7.6.10), which for squares is the usual one, the share of residuals within delta, and degrees of freedom. Residuals beyond delta are not counted among
/// the latter (unless they are more than half): with all of them the intervals of 16 runs hold the truth too seldom.
fn noise<const K: usize, M: Model<K>>(
    model: &M,
    rows: &[Row<M::Place>],
    theta: &[f64; K],
    delta: f64,
) -> (f64, f64, usize) {
    let n = rows.len();
    let df = n.saturating_sub(K);
    let window = if delta.is_finite() { delta.max(WINDOW * scale_at(model, rows, theta)) } else { delta };
    let (mut squares, mut within) = (0.0, 0.0);
    for residual in residuals(model, rows, theta) {
        squares += huber(residual, delta).1.powi(2);
        within += huber(residual, window).2 / n as f64;
    }
    if df == 0 || within <= 0.0 {
        return (f64::INFINITY, 1.0, df);
    }
    let counted = ((n as f64 * within.max(0.5)).round() as usize).saturating_sub(K).max(1);
    let correction = 1.0 + K as f64 / n as f64 * (1.0 - within) / within;
    let inside = if window > delta { within * delta / window } else { within };
    (correction * (squares / df as f64).sqrt() / inside, inside, counted)
}

/// s^2 (J'WJ)^-1 J'W^2J (J'WJ)^-1, which without weights is s^2 (J'J)^-1.
fn covariance<const K: usize, M: Model<K>>(
    model: &M,
    rows: &[Row<M::Place>],
    theta: &[f64; K],
    scale: f64,
) -> Option<Square<K>> {
    let bread = inverse(&gram(model, rows, theta, |_| 1.0))?;
    let meat = gram(model, rows, theta, |weight| weight);
    let half: Square<K> =
        std::array::from_fn(|i| std::array::from_fn(|j| (0..K).map(|k| bread[i][k] * meat[k][j]).sum()));
    let variance = scale * scale;
    Some(std::array::from_fn(|i| {
        std::array::from_fn(|j| variance * (0..K).map(|k| half[i][k] * bread[k][j]).sum::<f64>())
    }))
}

/// Checks the derivatives of a model against finite differences, for the tests of every model.
#[cfg(test)]
#[track_caller]
pub(crate) fn check_derivatives<const K: usize, M: Model<K>>(model: &M, theta: [f64; K], place: M::Place) {
    let jet = model.jet(&theta, &place);
    let close = |found: f64, expected: f64, what: &str| {
        assert!((found - expected).abs() <= 1e-5 * (1.0 + expected.abs()), "{what}: {found} against {expected}");
    };
    use crate::interval::gradient;
    let slope = gradient(&theta, |theta| model.jet(theta, &place).value);
    for i in 0..K {
        close(jet.gradient[i], slope[i], &format!("derivative {i}"));
        let second = gradient(&theta, |theta| model.jet(theta, &place).gradient[i]);
        for j in 0..=i {
            close(jet.hessian[i][j], second[j], &format!("second derivative {i} {j}"));
        }
    }
}
