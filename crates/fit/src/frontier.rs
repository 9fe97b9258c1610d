//! The frontier: the lowest held-out loss reached at each compute, over models, epoch budgets and learning rates.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::law::not_positive;
use crate::{Excluded, Side};

/// A finished run as the frontier sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunPoint {
    /// What the caller wants back in the lists of used and excluded runs.
    pub row: usize,
    /// The model's name. Runs of one group and budget differ in learning rate or seed.
    pub group: String,
    /// Epoch budget, in epochs. Without one the run shares its cell with no other.
    pub budget: Option<f64>,
    /// Compute, in any one unit. That of a diverged run is not looked at.
    pub compute: f64,
    /// Held-out loss in nats; `None` when the run diverged.
    pub loss: Option<f64>,
    /// Learning rate; `None` when unknown, for example because it was tuned elsewhere.
    pub lr: Option<f64>,
    /// Seed; `None` when unknown.
    pub seed: Option<u64>,
}

/// The best of one model and epoch budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrontierPoint {
    /// The runs behind the point, one per seed, ascending.
    pub rows: Vec<usize>,
    /// The model's name.
    pub group: String,
    /// Epoch budget, in epochs.
    pub budget: Option<f64>,
    /// Compute, in the unit of the runs: the mean over seeds.
    pub compute: f64,
    /// Held-out loss in nats: the mean over seeds.
    pub loss: f64,
    /// The best learning rate, where known.
    pub lr: Option<f64>,
    /// The edge of the tried learning rates at which the best one lies: the loss may then be improved upon.
    pub at_edge: Option<Side>,
}

impl FrontierPoint {
    /// The point in words: its model and budget, or its row where there is no budget.
    pub(crate) fn name(&self) -> String {
        match (self.budget, self.group.as_str()) {
            (Some(budget), "") => format!("row {} at {budget:?} epochs", self.rows[0]),
            (Some(budget), group) => format!("{group} at {budget:?} epochs"),
            (None, "") => format!("row {}", self.rows[0]),
            (None, group) => format!("{group} (row {})", self.rows[0]),
        }
    }
}

/// The best runs, and why every other run is not among them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Frontier {
    /// The best learning rate's result for every group and budget, by group and then budget.
    pub optimal: Vec<FrontierPoint>,
    /// Those of `optimal` that no other beats at the same or less compute; compute ascends and loss falls.
    pub pareto: Vec<FrontierPoint>,
    /// Every run that is behind no Pareto point, ascending by row.
    pub excluded: Vec<Excluded>,
}

/// Finds the best learning rate of every (group, budget), and among those the Pareto points.
///
/// Several seeds of a learning rate count by their mean loss, so that a lucky seed does not win. A learning rate of
/// which any seed diverged cannot be the best: the mean over its survivors would flatter it. Runs without learning rate
/// and seed are each a candidate of their own.
///
/// The lowest of noisy losses is a little too low, by about the noise of one run; the law through the frontier
/// (`frontier_law`) inherits that.
pub fn frontier(runs: &[RunPoint]) -> Frontier {
    let mut excluded = Vec::new();
    // Positive floats order like their bits. A key ends in the row where nothing says that two runs belong together.
    type Cell<'a> = (&'a str, Option<u64>, Option<usize>);
    type Rate = (Option<u64>, Option<usize>);
    let mut cells: BTreeMap<Cell<'_>, BTreeMap<Rate, Vec<&RunPoint>>> = BTreeMap::new();
    for run in runs {
        match unusable(run) {
            Some(reason) => excluded.push(Excluded { row: run.row, reason }),
            None => {
                let alone = (run.lr.is_none() && run.seed.is_none()).then_some(run.row);
                let rate = (run.lr.map(f64::to_bits), alone);
                let lonely = run.budget.is_none().then_some(run.row);
                let cell = (run.group.as_str(), run.budget.map(f64::to_bits), lonely);
                cells.entry(cell).or_default().entry(rate).or_default().push(run);
            }
        }
    }
    let optimal: Vec<FrontierPoint> =
        cells.values().filter_map(|rates| best_of_cell(rates.values(), &mut excluded)).collect();
    let pareto = pareto(&optimal, &mut excluded);
    excluded.sort_by_key(|e| e.row);
    Frontier { optimal, pareto, excluded }
}

fn unusable(run: &RunPoint) -> Option<String> {
    run.budget
        .and_then(|budget| not_positive("epoch budget", budget))
        .or_else(|| run.loss.and_then(|_| not_positive("compute", run.compute)))
        .or_else(|| run.lr.and_then(|lr| not_positive("learning rate", lr)))
        .or_else(|| run.loss.and_then(|loss| not_positive("loss", loss)))
}

/// The best learning rate of a cell, whose rates come in ascending order; the others are excluded.
fn best_of_cell<'a>(
    rates: impl Iterator<Item = &'a Vec<&'a RunPoint>>,
    excluded: &mut Vec<Excluded>,
) -> Option<FrontierPoint> {
    let rates: Vec<&Vec<&RunPoint>> = rates.collect();
    let losses: Vec<Option<f64>> = rates.iter().map(|runs| mean(runs.iter().map(|run| run.loss))).collect();
    let best = (0..rates.len()).filter(|i| losses[*i].is_some()).min_by(|a, b| {
        let loss = |i: usize| losses[i].unwrap_or(f64::INFINITY);
        loss(*a).total_cmp(&loss(*b))
    });
    for (i, runs) in rates.iter().enumerate().filter(|(i, _)| Some(*i) != best) {
        for run in runs.iter() {
            excluded.push(Excluded {
                row: run.row,
                reason: why_not_best(run, losses[i], best.and_then(|b| rates[b][0].lr)),
            });
        }
    }
    let best = best?;
    let runs = rates[best];
    let mut rows: Vec<usize> = runs.iter().map(|run| run.row).collect();
    rows.sort_unstable();
    // A single rate was presumably tuned elsewhere, and says nothing of edges.
    let known = rates.len() > 1 && runs[0].lr.is_some();
    let at_edge = if !known {
        None
    } else if best + 1 == rates.len() {
        Some(Side::High)
    } else {
        losses[..best].iter().all(Option::is_none).then_some(Side::Low)
    };
    Some(FrontierPoint {
        rows,
        group: runs[0].group.clone(),
        budget: runs[0].budget,
        compute: mean(runs.iter().map(|run| Some(run.compute)))?,
        loss: losses[best]?,
        lr: runs[0].lr,
        at_edge,
    })
}

fn why_not_best(run: &RunPoint, mean_loss: Option<f64>, best_lr: Option<f64>) -> String {
    match (run.loss, mean_loss, run.lr, best_lr) {
        (None, ..) => "diverged".to_owned(),
        (Some(_), None, ..) => "another seed of the same learning rate diverged".to_owned(),
        (.., Some(lr), Some(best)) => {
            format!("learning rate {lr:?} is not the best of its model and epoch budget: {best:?} is")
        }
        _ => "another run of the same model and epoch budget has a lower loss".to_owned(),
    }
}

/// The points that improve on every cheaper one.
fn pareto(optimal: &[FrontierPoint], excluded: &mut Vec<Excluded>) -> Vec<FrontierPoint> {
    let mut order: Vec<&FrontierPoint> = optimal.iter().collect();
    order.sort_by(|a, b| a.compute.total_cmp(&b.compute).then(a.loss.total_cmp(&b.loss)));
    let mut front: Vec<FrontierPoint> = Vec::new();
    for point in order {
        match front.last() {
            Some(last) if point.loss >= last.loss => {
                let reason = format!("not on the frontier: {} has no higher loss for no more compute", last.name());
                excluded.extend(point.rows.iter().map(|&row| Excluded { row, reason: reason.clone() }));
            }
            _ => front.push(point.clone()),
        }
    }
    front
}

/// The mean, or `None` when any value is missing. Sorted first, so that the order of the rows leaves no trace; and
/// divided first, so that the sum of huge values stays finite.
fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect::<Option<_>>()?;
    values.sort_by(f64::total_cmp);
    let n = values.len() as f64;
    Some(values.iter().map(|value| value / n).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(row: usize, group: &str, compute: f64, loss: impl Into<Option<f64>>, lr: f64, seed: u64) -> RunPoint {
        let (group, loss) = (group.to_owned(), loss.into());
        RunPoint { row, group, budget: Some(1.0), compute, loss, lr: Some(lr), seed: Some(seed) }
    }

    #[test]
    fn the_mean_over_seeds_decides() {
        let runs = [
            run(0, "a", 1.0, 2.0, 0.1, 0),
            run(1, "a", 1.0, 2.8, 0.1, 1),
            run(2, "a", 1.0, 2.3, 0.2, 0),
            run(3, "a", 1.0, 2.3, 0.2, 1),
            run(4, "a", 1.0, 1.0, 0.4, 0),
            run(5, "a", 1.0, None, 0.4, 1),
        ];
        let found = frontier(&runs);
        assert_eq!(found.pareto[0].rows, [2, 3]);
        assert_eq!(found.pareto[0].at_edge, None);
        let reasons: Vec<&str> = found.excluded.iter().map(|e| e.reason.as_str()).collect();
        assert_eq!(reasons[0], "learning rate 0.1 is not the best of its model and epoch budget: 0.2 is");
        assert_eq!(reasons[2..], ["another seed of the same learning rate diverged", "diverged"]);
    }

    #[test]
    fn a_dearer_run_must_be_better() {
        let runs = [run(0, "b", 2.0, 2.0, 0.1, 0), run(1, "a", 1.0, 3.0, 0.1, 0), run(2, "c", 3.0, 2.0, 0.1, 0)];
        let found = frontier(&runs);
        assert_eq!(found.pareto.iter().map(|p| p.rows[0]).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(
            found.excluded[0].reason,
            "not on the frontier: b at 1.0 epochs has no higher loss for no more compute"
        );
        assert_eq!(found.optimal.len(), 3);
    }

    #[test]
    fn an_optimum_at_the_edge_is_marked() {
        let runs = [run(0, "a", 1.0, 2.0, 0.1, 0), run(1, "a", 1.0, 2.1, 0.2, 0)];
        assert_eq!(frontier(&runs).pareto[0].at_edge, Some(Side::Low));
        let runs = [run(0, "a", 1.0, 2.2, 0.1, 0), run(1, "a", 1.0, 2.1, 0.2, 0)];
        assert_eq!(frontier(&runs).pareto[0].at_edge, Some(Side::High));
    }

    #[test]
    fn runs_without_a_budget_are_cells_of_their_own() {
        let alone = |row, compute, loss, lr| RunPoint { budget: None, ..run(row, "a", compute, loss, lr, 0) };
        let found = frontier(&[alone(0, 1.0, 3.0, 0.1), alone(1, 1.0, 2.9, 0.2), alone(2, 4.0, 3.5, 0.1)]);
        assert_eq!(found.pareto.iter().map(|p| p.rows[0]).collect::<Vec<_>>(), [1]);
        assert_eq!(found.excluded[1].reason, "not on the frontier: a (row 1) has no higher loss for no more compute");
    }

    #[test]
    fn nothing_comes_of_nothing() {
        assert_eq!(frontier(&[]), Frontier::default());
    }
}
