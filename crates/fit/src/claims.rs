//! What is said of optimal learning rates (arXiv 2310.16764, section 3 and figure 3), put to the test on other runs: yes,
//! no, or cannot tell, with numbers.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::lr_law::{Inside, MODEL_ERROR, optimum_of};
use crate::noise::NOISE_FLOOR;
use crate::solve::least_squares;
use crate::stat::{Z975, t975};
use crate::{Estimate, LrPoint, Trial};

/// Optima that differ by less than this many octaves are in common: one step of the paper's grid.
const COMMON: f64 = 1.0;

/// A loss that is this share above the best is not good enough, whatever the noise.
const BAD: f64 = 0.05;

/// The answer to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The runs bear it out.
    Yes,
    /// The runs contradict it.
    No,
    /// The runs are too few or too noisy.
    CannotTell,
}

/// A claim with its answer.
#[derive(Clone, Debug, Serialize)]
pub struct Claim {
    /// The claim, as a sentence.
    pub claim: &'static str,
    /// The answer.
    pub verdict: Verdict,
    /// Why, in words with the numbers.
    pub because: String,
    /// The numbers, by name.
    pub numbers: BTreeMap<&'static str, f64>,
}

impl Claim {
    pub(crate) fn new(
        claim: &'static str,
        verdict: Verdict,
        because: String,
        numbers: &[(&'static str, f64)],
    ) -> Claim {
        Claim { claim, verdict, because, numbers: numbers.iter().copied().collect() }
    }
}

/// "At a small epoch budget all models share one optimal learning rate." Yes when, at the smallest budget that several sizes
/// have an optimum for, the extremes differ by less than an octave with 95 % confidence, no when by more.
pub fn common_at_small_budgets(points: &[LrPoint]) -> Claim {
    const CLAIM: &str = "at small epoch budgets models of every size share one optimal learning rate";
    let optima = sized(points);
    let mut budgets: Vec<f64> = optima.iter().map(|o| o.budget).collect();
    budgets.sort_by(f64::total_cmp);
    for budget in budgets {
        let at: Vec<&Inside> = optima.iter().filter(|o| (o.budget - budget).abs() < 1e-9).collect();
        let by_lr = |a: &&&Inside, b: &&&Inside| a.lr.total_cmp(&b.lr);
        let (Some(low), Some(high)) = (at.iter().min_by(by_lr), at.iter().max_by(by_lr)) else { continue };
        if at.iter().all(|o| o.size == at[0].size) {
            continue;
        }
        let (between, half) = (high.lr - low.lr, Z975 * error(low).hypot(error(high)));
        let verdict = judge(between + half < COMMON, between - half > COMMON);
        let because = format!(
            "at {:?} epochs {} optima lie within {between:.2} octaves (95 %: up to {:.2})",
            budget.exp2(),
            at.len(),
            between + half
        );
        let numbers =
            [("epochs", budget.exp2()), ("optima", at.len() as f64), ("octaves", between), ("half_width", half)];
        return Claim::new(CLAIM, verdict, because, &numbers);
    }
    Claim::new(CLAIM, Verdict::CannotTell, "no epoch budget has the optima of two sizes".to_owned(), &[])
}

/// "The optimal learning rate falls slowly but monotonically with size and epoch budget." No when it rises with confidence
/// from a cell to one of twice the budget or the next size, or falls by more than the budget or size grows; yes when it
/// falls over all with both, and nothing contradicts.
pub fn slow_monotone_fall(points: &[LrPoint]) -> Claim {
    const CLAIM: &str = "the optimal learning rate falls slowly and monotonically with size and epoch budget";
    let optima = sized(points);
    let pairs = neighbours(&optima);
    let (steps, mut rises, mut steep) = (pairs.len(), 0, 0);
    // Of many steps some rise by chance. The normal tail beyond z is below exp(-z^2 / 2) / 2: all together 2.5 %.
    let confident = (2.0 * (20.0 * steps as f64).ln()).sqrt();
    for (a, b) in pairs {
        let (fall, half) = (a.lr - b.lr, confident * error(a).hypot(error(b)));
        let grown = (b.budget - a.budget) + (b.size.unwrap_or(0.0) - a.size.unwrap_or(0.0));
        rises += usize::from(fall + half < 0.0);
        steep += usize::from(fall - half > grown);
    }
    let mut numbers = vec![("steps", steps as f64), ("rises", rises as f64), ("steep_falls", steep as f64)];
    let slopes = regress(&optima, |o, size| vec![1.0, o.budget, size]);
    let because =
        |text: String| format!("of {steps} steps to a larger budget or size {rises} rise with confidence{text}");
    let Some(slopes) = slopes else {
        let verdict = judge(false, rises + steep > 0);
        return Claim::new(CLAIM, verdict, because("; too few optima for a trend".to_owned()), &numbers);
    };
    let (budget, size) = (slopes[1], slopes[2]);
    numbers.extend([("budget_exponent", budget.value), ("size_exponent", size.value)]);
    numbers.extend([("budget_exponent_high", budget.high), ("size_exponent_high", size.high)]);
    let text = format!(
        "; it goes with epochs^{:.2} ({:.2} to {:.2}) and size^{:.2} ({:.2} to {:.2})",
        budget.value, budget.low, budget.high, size.value, size.low, size.high
    );
    let slow = budget.low > -1.0 && size.low > -1.0;
    let yes = slow && budget.high < 0.0 && size.high < 0.0 && rises + steep == 0;
    let no = rises + steep > 0 || budget.low > 0.0 || size.low > 0.0;
    Claim::new(CLAIM, judge(yes, no), because(text), &numbers)
}

/// "It falls faster for larger models": the exponent of the epoch budget falls with the logarithm of the size.
pub fn faster_for_larger(points: &[LrPoint]) -> Claim {
    const CLAIM: &str = "the optimal learning rate falls faster with the epoch budget for larger models";
    let optima = sized(points);
    let Some(slopes) = regress(&optima, |o, size| vec![1.0, o.budget, size, o.budget * size]) else {
        return Claim::new(
            CLAIM,
            Verdict::CannotTell,
            "it takes five optima over two sizes and budgets".to_owned(),
            &[],
        );
    };
    let change = slopes[3];
    let because = format!(
        "per doubling of the size the exponent of the epochs changes by {:+.3} ({:+.3} to {:+.3})",
        change.value, change.low, change.high
    );
    let numbers = [("change", change.value), ("low", change.low), ("high", change.high)];
    Claim::new(CLAIM, judge(change.high < 0.0, change.low > 0.0), because, &numbers)
}

/// The learning rates tried for one model and epoch budget.
#[derive(Clone, Debug, PartialEq)]
pub struct TriedCell {
    /// Size of the model.
    pub size: f64,
    /// Epoch budget, in epochs.
    pub budget: f64,
    /// The trials, several of one rate being seeds.
    pub trials: Vec<Trial>,
}

/// "Two trials suffice": for each model and budget the best rate found for the nearest smaller one, and half of it. Plays
/// that on full grids and compares the better of the two with the grid's best. `noise` is the standard deviation of ln loss
/// between seeds. Yes when no cell loses more than the noise of a difference admits (95 %), which has to be below 5 %; no when two do, or one by 5 %.
pub fn two_trials_suffice(cells: &[TriedCell], noise: Option<f64>) -> Claim {
    const CLAIM: &str =
        "two trials per model and epoch budget suffice: the best rate of the next smaller one, and half of it";
    let allowed = Z975 * std::f64::consts::SQRT_2 * noise.unwrap_or(0.0).max(NOISE_FLOOR);
    let mut order: Vec<&TriedCell> = cells.iter().filter(|c| c.size > 0.0 && c.budget > 0.0).collect();
    order.sort_by(|a, b| (a.size * a.budget).total_cmp(&(b.size * b.budget)).then(a.size.total_cmp(&b.size)));
    let mut found: Vec<(&TriedCell, f64)> = Vec::new();
    let mut regrets = Vec::new();
    for cell in order {
        let losses = mean_losses(&cell.trials);
        let Some(best) = losses.iter().min_by(|a, b| a.1.total_cmp(&b.1)).copied() else { continue };
        let far = |other: &TriedCell| (cell.size / other.size).log2() + (cell.budget / other.budget).log2();
        let before = found.iter().filter(|(c, _)| c.size <= cell.size && c.budget <= cell.budget);
        let nearest = before.min_by(|a, b| far(a.0).total_cmp(&far(b.0))).map(|(_, lr)| *lr);
        let at = |lr: f64| losses.iter().find(|l| (l.0 / lr).ln().abs() < 1e-6).copied();
        let tried: Option<Vec<(f64, f64)>> = nearest.map(|lr| [at(lr), at(lr / 2.0)].into_iter().flatten().collect());
        let chosen = tried.and_then(|tried| {
            // A rate that diverged has no loss; one that was never run cannot be played.
            let known = |lr: f64| cell.trials.iter().any(|t| (t.lr / lr).ln().abs() < 1e-6);
            let played = nearest.is_some_and(|lr| known(lr) && known(lr / 2.0));
            tried.into_iter().min_by(|a, b| a.1.total_cmp(&b.1)).filter(|_| played)
        });
        if let Some(chosen) = chosen {
            regrets.push((chosen.1 / best.1).ln());
        }
        found.push((cell, chosen.unwrap_or(best).0));
    }
    if regrets.is_empty() {
        return Claim::new(CLAIM, Verdict::CannotTell, "no cell has both rates among its trials".to_owned(), &[]);
    }
    let lost = regrets.iter().filter(|regret| **regret > allowed).count();
    let worst = regrets.iter().copied().fold(0.0, f64::max);
    let mean = regrets.iter().sum::<f64>() / regrets.len() as f64;
    let because = format!(
        "over {} cells two trials end {:.2} % above the best of the grid on average, {:.2} % at most; {lost} by more than noise ({:.2} %)",
        regrets.len(),
        100.0 * mean,
        100.0 * worst,
        100.0 * allowed
    );
    let numbers = [
        ("cells", regrets.len() as f64),
        ("mean_regret", mean),
        ("worst_regret", worst),
        ("beyond_noise", lost as f64),
    ];
    // Few cells have not seen much, and much noise hides any loss.
    let yes = lost == 0 && regrets.len() >= 4 && allowed < BAD;
    Claim::new(CLAIM, judge(yes, lost >= 2 || worst > BAD.max(allowed)), because, &numbers)
}

pub(crate) fn judge(yes: bool, no: bool) -> Verdict {
    match (yes, no) {
        (_, true) => Verdict::No,
        (true, false) => Verdict::Yes,
        (false, false) => Verdict::CannotTell,
    }
}

/// Optima inside their brackets of models whose size is known, by size and budget.
fn sized(points: &[LrPoint]) -> Vec<Inside> {
    let mut optima: Vec<Inside> =
        points.iter().filter_map(|point| optimum_of(point).ok()).filter(|o| o.size.is_some()).collect();
    optima.sort_by(|a, b| {
        let size = |o: &Inside| o.size.unwrap_or(0.0);
        size(a).total_cmp(&size(b)).then(a.budget.total_cmp(&b.budget)).then(a.point.cmp(&b.point))
    });
    optima
}

fn error(optimum: &Inside) -> f64 {
    optimum.error.hypot(MODEL_ERROR)
}

/// Pairs of which the second is the next larger budget of the same size, or the next size of the same budget.
fn neighbours(optima: &[Inside]) -> Vec<(&Inside, &Inside)> {
    let mut pairs = Vec::new();
    for a in optima {
        let next = |same: &dyn Fn(&Inside) -> bool, grown: &dyn Fn(&Inside) -> f64| {
            let larger = optima.iter().filter(|b| same(b) && grown(b) > 1e-9);
            larger.min_by(|b, c| grown(b).total_cmp(&grown(c)))
        };
        let size = |o: &Inside| o.size.unwrap_or(0.0);
        let budget = next(&|b| size(b) == size(a), &|b| b.budget - a.budget);
        let bigger = next(&|b| b.budget == a.budget, &|b| size(b) - size(a));
        pairs.extend(budget.into_iter().chain(bigger).map(|b| (a, b)));
    }
    pairs
}

/// Weighted least squares of log2 lr on a row of the optimum and its size about the mean; intervals as those of the law.
fn regress(optima: &[Inside], row: impl Fn(&Inside, f64) -> Vec<f64>) -> Option<Vec<Estimate>> {
    let mean = optima.iter().filter_map(|o| o.size).sum::<f64>() / optima.len() as f64;
    let rows: Vec<Vec<f64>> = optima.iter().map(|o| row(o, o.size.unwrap_or(mean) - mean)).collect();
    let k = rows.first()?.len();
    let df = optima.len().checked_sub(k).filter(|df| *df > 0)?;
    let columns: Vec<Vec<f64>> =
        (0..k).map(|j| rows.iter().zip(optima).map(|(row, o)| row[j] / error(o)).collect()).collect();
    let target: Vec<f64> = optima.iter().map(|o| o.lr / error(o)).collect();
    let solution = least_squares(&columns, &target)?;
    let scatter: f64 =
        rows.iter().zip(optima).map(|(row, o)| ((o.lr - solution.predict(row)) / error(o)).powi(2)).sum();
    let width = (t975(df) * (scatter / df as f64).sqrt()).max(Z975);
    let along = |j: usize| {
        let at: Vec<f64> = (0..k).map(|i| f64::from(u8::from(i == j))).collect();
        let (value, half) = (solution.predict(&at), width * solution.variance(&at).sqrt());
        Estimate { value, low: value - half, high: value + half }
    };
    Some((0..k).map(along).collect())
}

/// Rates with the mean loss over their seeds; those of which a seed diverged are left out.
fn mean_losses(trials: &[Trial]) -> Vec<(f64, f64)> {
    let mut sorted: Vec<&Trial> = trials.iter().filter(|t| t.lr > 0.0 && t.lr.is_finite()).collect();
    sorted.sort_by(|a, b| a.lr.total_cmp(&b.lr));
    let seeds = sorted.chunk_by(|a, b| (b.lr / a.lr).ln().abs() < 1e-9);
    seeds
        .filter_map(|seeds| {
            let losses: Option<Vec<f64>> =
                seeds.iter().map(|t| t.loss.filter(|loss| *loss > 0.0 && loss.is_finite())).collect();
            let mut losses = losses?;
            losses.sort_by(f64::total_cmp);
            Some((seeds[0].lr, losses.iter().sum::<f64>() / losses.len() as f64))
        })
        .collect()
}
