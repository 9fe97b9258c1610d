//! What a search would have tried and found, told from the results of a full grid.

use std::collections::BTreeMap;

use super::{Group, Ladder, Rating, Standing, standings};
use crate::sweep::Strategy;

/// A finished run of the grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Models of other families are searched on their own.
    pub family: String,
    /// What figures call the model.
    pub model: String,
    /// What models of a family are ordered by, such as the number of parameters.
    pub size: f64,
    /// Epoch budget.
    pub epochs: f64,
    /// Learning rate.
    pub lr: f64,
    /// Held-out loss; `None`: diverged.
    pub loss: Option<f64>,
    /// What it took, in any unit.
    pub cost: f64,
}

/// The search of one model and budget.
#[derive(Clone, Debug, PartialEq)]
pub struct Replayed {
    /// What figures call the model.
    pub model: String,
    /// Epoch budget.
    pub epochs: f64,
    /// Learning rates of the grid, ascending.
    pub rates: Vec<f64>,
    /// Those that the search tried, ascending.
    pub tried: Vec<f64>,
    /// The best of those; `None`: all diverged.
    pub found: Option<Optimum>,
    /// The best of the grid.
    pub best: Option<Optimum>,
    /// Cost of the search.
    pub cost: f64,
    /// Cost of the grid.
    pub full_cost: f64,
}

/// A learning rate with the lowest held-out loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Optimum {
    /// The rate.
    pub lr: f64,
    /// The mean over its seeds.
    pub loss: f64,
    /// How many these are.
    pub seeds: usize,
}

/// What the runs of one learning rate have come to.
#[derive(Clone, Copy, Debug)]
struct Cell {
    lr: f64,
    rating: Rating,
    seeds: usize,
    cost: f64,
}

/// What `strategy` would have tried, if it had known of `runs` only those that it asked for: by family, the smallest model and the
/// shortest budget first. It stays within the rates that there are.
pub fn replay(strategy: Strategy, runs: &[Measured]) -> Vec<Replayed> {
    let mut families: BTreeMap<&str, Vec<&Measured>> = BTreeMap::new();
    for run in runs {
        families.entry(&run.family).or_default().push(run);
    }
    families.values().flat_map(|runs| of_family(strategy, runs)).collect()
}

fn of_family(strategy: Strategy, runs: &[&Measured]) -> Vec<Replayed> {
    let sizes: BTreeMap<&str, f64> = runs.iter().map(|run| (run.model.as_str(), run.size)).collect();
    let mut models: Vec<(&str, f64)> = sizes.into_iter().collect();
    models.sort_by(|a, b| a.1.total_cmp(&b.1));
    let budgets = distinct(runs.iter().map(|run| run.epochs));
    let cells: Vec<Vec<Vec<Cell>>> = models
        .iter()
        .map(|(model, _)| {
            let of_model: Vec<&Measured> = runs.iter().filter(|run| run.model == *model).copied().collect();
            budgets.iter().map(|epochs| cells(of_model.iter().filter(|run| run.epochs == *epochs).copied())).collect()
        })
        .collect();
    let mut groups: Vec<Vec<Group>> =
        cells.iter().map(|row| row.iter().map(|cells| unknown(cells)).collect()).collect();
    let searched = loop {
        let searched = standings(strategy, &groups);
        let mut more = false;
        for ((groups, searched), cells) in groups.iter_mut().zip(&searched).zip(&cells) {
            for ((group, standing), cells) in groups.iter_mut().zip(searched).zip(cells) {
                for rung in &standing.tried {
                    more |= group.ratings[*rung] == Rating::Open;
                    group.ratings[*rung] = cells[*rung].rating;
                }
            }
        }
        if !more {
            break searched;
        }
    };
    let mut replayed = Vec::new();
    for (((model, _), cells), searched) in models.iter().zip(&cells).zip(&searched) {
        for ((epochs, cells), standing) in budgets.iter().zip(cells).zip(searched) {
            if !cells.is_empty() {
                replayed.push(told(model, *epochs, cells, standing));
            }
        }
    }
    replayed
}

/// Each of `values` once, ascending.
fn distinct(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    values
}

fn cells<'a>(runs: impl Iterator<Item = &'a Measured> + Clone) -> Vec<Cell> {
    let rates = distinct(runs.clone().map(|run| run.lr));
    let cell = |lr: f64| {
        let seeds: Vec<&Measured> = runs.clone().filter(|run| run.lr == lr).collect();
        let losses: Option<Vec<f64>> = seeds.iter().map(|run| run.loss).collect();
        let mean = |losses: Vec<f64>| Rating::Loss(losses.iter().sum::<f64>() / losses.len() as f64);
        let rating = losses.map_or(Rating::Diverged, mean);
        Cell { lr, rating, seeds: seeds.len(), cost: seeds.iter().map(|run| run.cost).sum() }
    };
    rates.into_iter().map(cell).collect()
}

fn unknown(cells: &[Cell]) -> Group {
    let rates: Vec<f64> = cells.iter().map(|cell| cell.lr).collect();
    Group { ladder: Ladder::new(&rates, 0, |_| false), ratings: vec![Rating::Open; rates.len()] }
}

fn told(model: &str, epochs: f64, cells: &[Cell], standing: &Standing) -> Replayed {
    let tried: Vec<Cell> = standing.tried.iter().map(|rung| cells[*rung]).collect();
    let rates = |cells: &[Cell]| cells.iter().map(|cell| cell.lr).collect();
    let cost = |cells: &[Cell]| cells.iter().map(|cell| cell.cost).sum();
    Replayed {
        model: model.to_owned(),
        epochs,
        rates: rates(cells),
        tried: rates(&tried),
        found: optimum(&tried),
        best: optimum(cells),
        cost: cost(&tried),
        full_cost: cost(cells),
    }
}

fn optimum(cells: &[Cell]) -> Option<Optimum> {
    let rated = cells.iter().filter_map(|cell| match cell.rating {
        Rating::Loss(loss) => Some(Optimum { lr: cell.lr, loss, seeds: cell.seeds }),
        _ => None,
    });
    rated.min_by(|a, b| a.loss.total_cmp(&b.loss))
}
