//! How the optimal learning rate moves with the epoch budget and the size of the model.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::law::not_positive;
use crate::solve::{Solution, least_squares};
use crate::stat::{Z975, distinct, t975};
use crate::{Estimate, Excluded, Optimum, Quality, Refusal};

/// What a power law leaves unexplained of an optimal learning rate, in octaves; added to every point's own error.
pub(crate) const MODEL_ERROR: f64 = 0.1;

/// The optimal learning rate of one model and epoch budget.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LrPoint {
    /// The caller's row.
    pub row: usize,
    /// Epoch budget, in epochs.
    pub budget: f64,
    /// Size of the model (parameters or MACs), where known.
    pub size: Option<f64>,
    /// The answer of [`optimal_lr`](crate::optimal_lr).
    pub optimum: Optimum,
}

/// What is assumed of the optimal learning rate beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LrTrend {
    /// Nothing.
    Free,
    /// It does not rise with the epoch budget or the size (arXiv 2310.16764, section 3): an exponent that would be positive
    /// is held at 0.
    Falling,
}

/// lr* = K budget^b (size / size_reference)^a
#[derive(Clone, Debug, Serialize)]
pub struct LrLaw {
    /// "K" (the optimal learning rate at one epoch and the reference size), "b" (exponent of the epoch budget) and,
    /// where sizes differ, "a" (exponent of the size).
    pub params: BTreeMap<&'static str, Estimate>,
    /// Geometric mean size of the used points, when the law has a size.
    pub size_reference: Option<f64>,
    /// Rows that were fitted, ascending.
    pub used: Vec<usize>,
    /// Rows that were not, and why, ascending.
    pub excluded: Vec<Excluded>,
    /// How well the law describes the optima, in ln lr.
    pub quality: Quality,
    /// What a reader of the numbers should know.
    pub warnings: Vec<String>,
    /// Over the columns of the design that are not held at 0.
    #[serde(skip)]
    solution: Solution,
    #[serde(skip)]
    held: [bool; 3],
    /// Half-width of the 95 % interval per unit of standard error.
    #[serde(skip)]
    width: f64,
}

impl LrLaw {
    /// The optimal learning rate at an epoch budget and, where the law has a size, a size (the reference size when
    /// `None`), with the 95 % band of the law. NaN where the arguments have no logarithm.
    pub fn predict(&self, budget: f64, size: Option<f64>) -> Estimate {
        let mut at = vec![1.0, log2(budget)];
        if let Some(reference) = self.size_reference {
            at.push(size.map_or(0.0, |size| log2(size) - log2(reference)));
        }
        exponential(self.along(&at))
    }

    fn along(&self, at: &[f64]) -> Estimate {
        let at: Vec<f64> = at.iter().zip(self.held).filter(|(_, held)| !held).map(|(at, _)| *at).collect();
        let value = self.solution.predict(&at);
        let half = self.width * self.solution.variance(&at).sqrt();
        Estimate { value, low: value - half, high: value + half }
    }
}

/// Fits lr* = K budget^b (size / reference)^a by weighted least squares on log2 lr*, over the optima that lie inside.
///
/// The weights are 1 / (sd^2 + 0.1^2) with sd the standard error of each optimum in octaves: with a tenth of an octave
/// for what the law itself leaves out, no point dominates. The size takes part when every used point has one
/// and at least two differ. The intervals are Student's with the scatter about the law, or those of the points' own
/// errors where these are wider, so that a few optima that happen to line up do not look exact.
///
/// # Errors
/// [`Refusal::TooFewPoints`] when fewer optima lie inside than the law has parameters, plus one;
/// [`Refusal::TooFewDistinct`] for a single epoch budget; [`Refusal::NotIdentified`] when budget and size move together.
pub fn lr_law(points: &[LrPoint]) -> Result<LrLaw, Refusal> {
    lr_law_with(points, LrTrend::Free)
}

/// The same, with what is assumed beforehand. An exponent that is held at 0 keeps the lower end of its free interval;
/// the bands of predictions are those of the law without it.
///
/// # Errors
/// As [`lr_law`].
pub fn lr_law_with(points: &[LrPoint], trend: LrTrend) -> Result<LrLaw, Refusal> {
    let mut held = [false; 3];
    let free = weighted(points, held)?;
    if trend == LrTrend::Free {
        return Ok(free);
    }
    let mut law = free.clone();
    // Holding one may turn the other.
    for _ in 0..2 {
        for (index, name) in [(1, "b"), (2, "a")] {
            held[index] |= law.params.get(name).is_some_and(|exponent| exponent.value > 0.0);
        }
        law = weighted(points, held)?;
    }
    for (_, name) in [(1, "b"), (2, "a")].into_iter().filter(|(index, _)| held[*index]) {
        let without = free.params[name];
        law.params.insert(name, Estimate { value: 0.0, low: without.low.min(0.0), high: 0.0 });
        law.warnings.retain(|warning| !warning.starts_with(&format!("{name} (")));
        law.warnings.push(format!(
            "{name} is held at 0, for the optimal learning rate is assumed not to rise; free it would be {:+.2} ({:.2} to {:.2})",
            without.value, without.low, without.high
        ));
    }
    Ok(law)
}

fn weighted(points: &[LrPoint], held: [bool; 3]) -> Result<LrLaw, Refusal> {
    let (mut optima, mut excluded) = (Vec::new(), Vec::new());
    for point in points {
        match optimum_of(point) {
            Ok(optimum) => optima.push(optimum),
            Err(reason) => excluded.push(Excluded { row: point.row, reason }),
        }
    }
    optima.sort_by(|a, b| {
        let key = |o: &Inside| (o.budget, o.size.unwrap_or(0.0), o.lr, o.error);
        let (a, b) = (key(a), key(b));
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.total_cmp(&b.2)).then(a.3.total_cmp(&b.3))
    });
    excluded.sort_by_key(|e| e.row);

    let sizes: Option<Vec<f64>> = optima.iter().map(|o| o.size).collect();
    let sizes = sizes.filter(|sizes| distinct_of(sizes) > 1);
    let needed = if sizes.is_some() { 4 } else { 3 };
    if optima.len() < needed {
        return Err(Refusal::TooFewPoints { needed, got: optima.len() });
    }
    let budgets = distinct(optima.iter().map(|o| o.budget));
    if budgets < 2 {
        return Err(Refusal::TooFewDistinct { what: "epoch budget", needed: 2, got: budgets });
    }
    let centre = sizes.as_ref().map(|sizes| sizes.iter().sum::<f64>() / sizes.len() as f64);
    let row = |o: &Inside| match (centre, o.size) {
        (Some(centre), Some(size)) => vec![1.0, o.budget, size - centre],
        _ => vec![1.0, o.budget],
    };
    let weight = |o: &Inside| 1.0 / o.error.hypot(MODEL_ERROR);
    let columns: Vec<Vec<f64>> =
        (0..needed - 1).filter(|k| !held[*k]).map(|k| optima.iter().map(|o| row(o)[k] * weight(o)).collect()).collect();
    let target: Vec<f64> = optima.iter().map(|o| o.lr * weight(o)).collect();
    let solution = least_squares(&columns, &target).ok_or(Refusal::NotIdentified {
        what: "the exponent of the size",
        why: "epoch budget and size move together".to_owned(),
        mend: "add a small model at a large epoch budget, or a large model at a small one",
    })?;

    let df = optima.len() + 1 - needed;
    let free =
        |row: Vec<f64>| row.into_iter().zip(held).filter(|(_, held)| !held).map(|(at, _)| at).collect::<Vec<f64>>();
    let fitted: Vec<f64> = optima.iter().map(|o| solution.predict(&free(row(o)))).collect();
    let scatter: f64 = optima.iter().zip(&fitted).map(|(o, f)| ((o.lr - f) * weight(o)).powi(2)).sum();
    let natural = |values: Vec<f64>| values.into_iter().map(|v| v * std::f64::consts::LN_2).collect::<Vec<f64>>();
    let mut law = LrLaw {
        params: BTreeMap::new(),
        size_reference: centre.map(f64::exp2),
        used: optima.iter().map(|o| o.point).collect(),
        excluded,
        quality: Quality::of(&natural(optima.iter().map(|o| o.lr).collect()), &natural(fitted)),
        warnings: Vec::new(),
        width: (t975(df) * (scatter / df as f64).sqrt()).max(Z975),
        solution,
        held,
    };
    law.used.sort_unstable();
    law.params = BTreeMap::from([
        ("K", exponential(law.along(&[1.0, 0.0, 0.0][..needed - 1]))),
        ("b", law.along(&[0.0, 1.0, 0.0][..needed - 1])),
    ]);
    if centre.is_some() {
        law.params.insert("a", law.along(&[0.0, 0.0, 1.0]));
    }
    law.warnings = warnings(&law, optima.len());
    Ok(law)
}

/// An optimum inside its bracket, all in log2.
pub(crate) struct Inside {
    pub(crate) point: usize,
    pub(crate) budget: f64,
    pub(crate) size: Option<f64>,
    pub(crate) lr: f64,
    /// Standard error in octaves.
    pub(crate) error: f64,
}

pub(crate) fn optimum_of(point: &LrPoint) -> Result<Inside, String> {
    let lr = match point.optimum {
        Optimum::Inside { lr, .. } => lr,
        Optimum::AtEdge { best_tried, .. } => {
            return Err(format!(
                "the optimum is at the edge of the learning rates tried ({best_tried:?}): a bound, not a number"
            ));
        }
    };
    let wrong = not_positive("epoch budget", point.budget)
        .or_else(|| point.size.and_then(|size| not_positive("size", size)))
        .or_else(|| [lr.low, lr.value, lr.high].into_iter().find_map(|rate| not_positive("learning rate", rate)));
    match wrong {
        Some(reason) => Err(reason),
        None => Ok(Inside {
            point: point.row,
            budget: log2(point.budget),
            size: point.size.map(log2),
            lr: log2(lr.value),
            error: (log2(lr.high) - log2(lr.low)).abs() / (2.0 * Z975),
        }),
    }
}

fn warnings(law: &LrLaw, used: usize) -> Vec<String> {
    let mut warnings = Vec::new();
    let b = law.params["b"];
    if b.low > 0.0 {
        warnings.push(format!(
            "the optimal learning rate rises with the epoch budget (b = {:.2}): it usually falls",
            b.value
        ));
    } else if b.high >= 0.0 {
        warnings.push(format!("b ({:.2} to {:.2}) may be 0: no trend with the epoch budget is certain", b.low, b.high));
    }
    if law.excluded.len() > used {
        warnings.push(format!("only {used} of {} optima could be used", used + law.excluded.len()));
    }
    warnings
}

fn log2(value: f64) -> f64 {
    if value > 0.0 && value.is_finite() { value.log2() } else { f64::NAN }
}

fn distinct_of(logs: &[f64]) -> usize {
    let mut logs = logs.to_vec();
    logs.sort_by(f64::total_cmp);
    distinct(logs.into_iter())
}

fn exponential(octaves: Estimate) -> Estimate {
    let exp2 = |value: f64| value.exp2().min(f64::MAX);
    Estimate { value: exp2(octaves.value), low: exp2(octaves.low), high: exp2(octaves.high) }
}
