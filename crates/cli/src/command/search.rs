//! `scalelaw search`: what a search strategy would have tried and found, told from the results of a finished grid.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::json;
use spec::run::short;
use spec::search::replay::{Measured, Replayed, replay};
use spec::state::RunState;
use spec::sweep::Strategy;
use store::RunRow;

use super::status;
use crate::args::{Search, Searched};
use crate::exit::{Failure, print};
use crate::place::Place;

/// One-sided 95 % of a normal distribution.
const ONE_SIDED: f64 = 1.645;

pub(crate) async fn run(place: &Place, options: &Search) -> Result<u8, Failure> {
    let store = place.read().await?;
    let sweep = place.choose(&store, options.chosen.sweep.as_deref()).await?;
    let rows = store.runs(sweep.sweep_id).await?;
    let grid: Vec<&RunRow> = rows.iter().filter(|row| row.wanted && row.spec.pretrained.is_none()).collect();
    if let Some(open) = grid.iter().find(|row| !matches!(row.state, RunState::Completed | RunState::Diverged)) {
        return Err(Failure::usage(format!(
            "{}: {} is {}; a search is told from a grid whose runs all have results",
            sweep.name,
            open.label(),
            open.state
        )));
    }
    if store
        .source(sweep.sweep_id)
        .await
        .is_ok_and(|source| status::parsed(&source).is_some_and(|sweep| sweep.search.strategy != Strategy::Grid))
    {
        return Err(Failure::usage(format!(
            "{}: its learning rates were searched, so it is no grid that a search could be judged by; run one without [search]",
            sweep.name
        )));
    }
    let measured: Vec<Measured> = grid.iter().map(|row| measured(row)).collect();
    let strategy = match options.strategy {
        Searched::TwoTrial => Strategy::TwoTrial,
        Searched::Refine => Strategy::Refine,
    };
    let found = replay(strategy, &measured);
    let told = Told { noise: noise(&measured, &found), flops_share: flops_share(&grid, &found), found };
    print(&if place.json { told.as_json(&sweep.name).to_string() } else { told.as_markdown(&sweep.name) });
    Ok(0)
}

fn measured(row: &RunRow) -> Measured {
    Measured {
        family: row.spec.model.family().to_owned(),
        model: row.model.clone(),
        size: row.parameters as f64,
        epochs: row.spec.train.epochs,
        lr: row.spec.train.lr,
        loss: row.result.as_ref().map(|result| result.heldout_loss),
        cost: row.device_seconds,
    }
}

/// Share of the operations of the grid that the search takes; a run that diverged has done those of its steps.
fn flops_share(grid: &[&RunRow], found: &[Replayed]) -> f64 {
    let tried = |run: &RunRow| {
        let of_run = |cell: &&Replayed| cell.model == run.model && cell.epochs == run.spec.train.epochs;
        found.iter().find(of_run).is_some_and(|cell| cell.tried.contains(&run.spec.train.lr))
    };
    let sum = |counts: &dyn Fn(&RunRow) -> bool| -> f64 {
        let runs = grid.iter().filter(|run| counts(run));
        runs.map(|run| run.flops * run.step as f64 / run.steps.max(1) as f64).sum()
    };
    sum(&tried) / sum(&|_| true).max(f64::MIN_POSITIVE)
}

/// Standard deviations of the held-out loss between seeds at the best rates of the grid, by epoch budget, pooled over models; budgets
/// without several seeds have none. Rates near divergence, where seeds differ most, would excuse everything.
fn noise(runs: &[Measured], found: &[Replayed]) -> Vec<(f64, f64)> {
    let mut budgets: BTreeMap<u64, BTreeMap<&str, Vec<f64>>> = BTreeMap::new();
    let is_best = |run: &&Measured| {
        let of_run = |cell: &&Replayed| cell.model == run.model && cell.epochs == run.epochs;
        found.iter().find(of_run).and_then(|cell| cell.best).is_some_and(|best| best.lr == run.lr)
    };
    for run in runs.iter().filter(is_best) {
        let models = budgets.entry(run.epochs.to_bits()).or_default();
        models.entry(&run.model).or_default().extend(run.loss);
    }
    let pooled = |models: &BTreeMap<&str, Vec<f64>>| {
        let (mut squares, mut freedom) = (0.0, 0.0);
        for losses in models.values().filter(|losses| losses.len() > 1) {
            let mean = losses.iter().sum::<f64>() / losses.len() as f64;
            squares += losses.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>();
            freedom += losses.len() as f64 - 1.0;
        }
        (freedom > 0.0).then(|| f64::sqrt(squares / freedom))
    };
    budgets.iter().filter_map(|(epochs, models)| Some((f64::from_bits(*epochs), pooled(models)?))).collect()
}

struct Told {
    /// Epoch budgets that have several seeds, with the standard deviation between them.
    noise: Vec<(f64, f64)>,
    flops_share: f64,
    found: Vec<Replayed>,
}

impl Told {
    /// The noise of the nearest budget that has one; it falls with the budget.
    fn noise(&self, epochs: f64) -> Option<f64> {
        let far = |(budget, _): &&(f64, f64)| (budget / epochs).ln().abs();
        self.noise.iter().min_by(|a, b| far(a).total_cmp(&far(b))).map(|(_, noise)| *noise)
    }

    /// How much higher the loss of the rate that was found is, and whether seeds differ by as much.
    fn gap(&self, cell: &Replayed) -> Option<(f64, bool)> {
        let (found, best) = (cell.found?, cell.best?);
        let gap = found.loss - best.loss;
        let seeds = (1.0 / found.seeds as f64 + 1.0 / best.seeds as f64).sqrt();
        Some((gap, gap <= 0.0 || self.noise(cell.epochs).is_some_and(|noise| gap <= ONE_SIDED * noise * seeds)))
    }

    fn good(&self) -> usize {
        self.found.iter().filter(|cell| self.gap(cell).is_some_and(|(_, good)| good)).count()
    }

    fn share(&self) -> f64 {
        let sum = |part: fn(&Replayed) -> f64| self.found.iter().map(part).sum::<f64>();
        sum(|cell| cell.cost) / sum(|cell| cell.full_cost).max(f64::MIN_POSITIVE)
    }

    fn as_markdown(&self, name: &str) -> String {
        let mut text = String::from(
            "| model | epochs | tried, of the grid's | found | best | loss above the best | within the noise of seeds | share of device time |\n\
             |---|---|---|---|---|---|---|---|\n",
        );
        for cell in &self.found {
            let rates = |list: &[f64]| list.iter().map(|lr| short(*lr)).collect::<Vec<_>>().join(", ");
            let lr =
                |optimum: Option<spec::search::replay::Optimum>| optimum.map_or("-".to_owned(), |one| short(one.lr));
            let (gap, good) = self.gap(cell).map_or(("-".to_owned(), "-"), |(gap, good)| {
                (
                    format!("{gap:.4}"),
                    if gap <= 0.0 {
                        "the best"
                    } else if good {
                        "yes"
                    } else {
                        "no"
                    },
                )
            });
            let _ = writeln!(
                text,
                "| {} | {} | {} of {} | {} | {} | {gap} | {good} | {:.0} % |",
                cell.model,
                short(cell.epochs),
                rates(&cell.tried),
                cell.rates.len(),
                lr(cell.found),
                lr(cell.best),
                100.0 * cell.cost / cell.full_cost.max(f64::MIN_POSITIVE),
            );
        }
        let noise = self.noise.iter().map(|(epochs, noise)| format!("{noise:.4} at {} epochs", short(*epochs)));
        let noise = noise.collect::<Vec<_>>().join(", ");
        let noise = if noise.is_empty() { "not known, no best rate has several seeds".to_owned() } else { noise };
        let _ = writeln!(
            text,
            "\n{name}: the best learning rate of the grid, or one within the noise of seeds, in {} of {} cells ({:.0} %), for {:.0} % of its \
             device time and {:.0} % of its FLOPs. Standard deviation between seeds in nats: {noise}.",
            self.good(),
            self.found.len(),
            100.0 * self.good() as f64 / self.found.len().max(1) as f64,
            100.0 * self.share(),
            100.0 * self.flops_share,
        );
        text
    }

    fn as_json(&self, name: &str) -> serde_json::Value {
        let cells = self.found.iter().map(|cell| {
            let gap = self.gap(cell);
            json!({
                "model": cell.model,
                "epochs": cell.epochs,
                "rates": cell.rates,
                "tried": cell.tried,
                "found_lr": cell.found.map(|one| one.lr),
                "best_lr": cell.best.map(|one| one.lr),
                "loss_above_best_nats": gap.map(|(gap, _)| gap),
                "within_seed_noise": gap.map(|(_, good)| good),
                "device_hours": cell.cost / 3600.0,
                "grid_device_hours": cell.full_cost / 3600.0,
            })
        });
        json!({
            "schema_version": 1,
            "sweep": name,
            "seed_noise_nats": self.noise.iter().map(|(epochs, noise)| json!({"epochs": epochs, "value": noise})).collect::<Vec<_>>(),
            "cells": cells.collect::<Vec<_>>(),
            "good_cells": self.good(),
            "share_of_device_time": self.share(),
            "share_of_training_flops": self.flops_share,
        })
    }
}
