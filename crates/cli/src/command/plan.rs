//! `scalelaw plan`: every run with its price, and what applying the file would change.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::json;
use spec::estimate::Estimator;
use spec::plan::{Outcomes, Plan, PlannedRun, WaitingRuns};
use spec::run::{RunId, RunSpec, short};
use spec::state::RunState;
use spec::trunk::Trunk;
use store::{Applied, StateRow};

use super::fits;
use super::table::{bytes, count, duration, hours, si, si_of, table};
use crate::args::SweepFile;
use crate::exit::{BUDGET, Failure, print, say};
use crate::place::Place;
use crate::sweepfile;

pub(crate) async fn run(place: &Place, options: &SweepFile) -> Result<u8, Failure> {
    let loaded = sweepfile::load(&options.sweep)?;
    let facts = loaded.facts()?;
    let blind = loaded.plan(&facts, &Outcomes::new())?;
    let Known { states: known, outcomes, spent, estimator } = known(place, &loaded.sweep.name).await?;
    let mut plan = if outcomes.is_empty() { blind } else { loaded.plan(&facts, &outcomes)? };
    for run in &mut plan.runs {
        // Who is done and has kept no trunk will not train one.
        let gone =
            |trunk: &Trunk| outcomes.contains_key(&trunk.run) && !place.state.run(trunk.run).join("trunk").exists();
        run.trunk = run.trunk.filter(|trunk| !gone(trunk));
    }
    let change = Change::between(&known, &plan);
    let fit = fits::Fit::of(&loaded.sweep, &plan, |run| change.is_done(run), spent, &estimator);
    if place.json {
        let mut whole = as_json(&loaded.sweep.name, &plan, &change);
        whole["fit"] = fit.as_json();
        print(&whole.to_string());
    } else {
        print(&(as_text(&loaded.sweep.name, &plan, &change) + &fit.as_text()));
        for skipped in &plan.skipped {
            say(&format!("left out: {} ({})", skipped.cell, skipped.reason));
        }
    }
    Ok(if fit.is_hopeless() { BUDGET } else { 0 })
}

/// What applying the plan would change.
struct Change {
    known: BTreeMap<RunId, RunState>,
    applied: Applied,
}

impl Change {
    fn between(rows: &[StateRow], plan: &Plan) -> Change {
        let wanted: BTreeMap<RunId, bool> = rows.iter().map(|row| (row.run, row.wanted)).collect();
        let known = rows.iter().map(|row| (row.run, row.state)).collect();
        Change { known, applied: Applied::between(&wanted, plan) }
    }

    /// Whether `scalelaw run` would not train it.
    fn is_done(&self, run: RunId) -> bool {
        matches!(self.known.get(&run), Some(RunState::Completed | RunState::Diverged))
    }

    fn word(&self, run: RunId) -> &'static str {
        match self.known.get(&run) {
            None => "new",
            Some(RunState::Completed | RunState::Diverged) => "done",
            Some(RunState::Failed(_)) => "failed, to be tried again",
            Some(_) => "kept",
        }
    }
}

/// What the database has of a sweep: nothing, where there is none.
#[derive(Default)]
struct Known {
    states: Vec<StateRow>,
    /// What all runs in the database have come to.
    outcomes: Outcomes,
    /// Device seconds that the runs of the sweep were billed.
    spent: f64,
    estimator: Estimator,
}

async fn known(place: &Place, name: &str) -> Result<Known, Failure> {
    if !place.state.database().exists() {
        return Ok(Known::default());
    }
    let store = place.read().await?;
    let outcomes = store.outcomes().await?;
    let Some(sweep) = store.sweeps().await?.into_iter().find(|sweep| sweep.name == name) else {
        return Ok(Known { outcomes, ..Known::default() });
    };
    let id = sweep.sweep_id;
    let (states, estimator) = (store.states(id).await?, store.estimator(id).await?);
    Ok(Known { states, outcomes, spent: store.ledger(id).await?.billed(), estimator })
}

fn as_text(name: &str, plan: &Plan, change: &Change) -> String {
    let header = [
        "model",
        "epochs",
        "lr",
        "seed",
        "parameters",
        "w/o head",
        "MACs",
        "FLOPs",
        "samples",
        "steps",
        "memory",
        "time",
        "",
    ];
    let specs: BTreeMap<RunId, &RunSpec> = plan.runs.iter().map(|run| (run.id, &run.spec)).collect();
    let mut text = table(&header, plan.runs.iter().map(|run| row(run, &specs, change)));
    let later = |part: fn(&WaitingRuns) -> f64| plan.waiting.iter().map(|one| one.runs as f64 * part(one)).sum::<f64>();
    let (later_seconds, later_flops) = (later(|one| one.price.seconds), later(|one| one.price.flops));
    let later_runs: usize = plan.waiting.iter().map(|one| one.runs).sum();
    if later_runs > 0 {
        let _ = writeln!(
            text,
            "\nto follow once pre-training is done: {} of fine-tuning, {}, about {} on one device",
            count(later_runs, "run"),
            si_of(later_flops, "FLOPs"),
            duration(later_seconds),
        );
    }
    let [fewest, most] = plan.following(|_| 1.0).map(|runs| runs as usize);
    if most > 0 {
        let _ = writeln!(
            text,
            "\nto follow as the search of learning rates goes on: {}, {}, about {} on one device",
            from_to(fewest.to_string(), count(most, "run")),
            range(plan.following(|price| price.flops), |flops| si_of(flops, "FLOPs")),
            range(plan.following(|price| price.seconds), duration),
        );
    }
    // What is certain to follow.
    let later_runs = later_runs + fewest;
    let later_seconds = later_seconds + plan.following(|price| price.seconds)[0];
    let later_flops = later_flops + plan.following(|price| price.flops)[0];
    let seconds: f64 = plan.runs.iter().map(|run| run.price.seconds).sum::<f64>() + later_seconds;
    let left: f64 = later_seconds
        + plan
            .runs
            .iter()
            .filter(|run| !change.is_done(run.id))
            .map(|run| run.own_share() * run.price.seconds)
            .sum::<f64>();
    let flops: f64 = plan.runs.iter().map(|run| run.price.flops).sum::<f64>() + later_flops;
    let bytes_of_runs = plan.runs.iter().map(|run| run.price.bytes);
    let largest = bytes_of_runs.chain(plan.waiting.iter().map(|one| one.price.bytes)).max().unwrap_or(0);
    let _ = writeln!(
        text,
        "\n{name}: {}, {}, about {} of device time ({} still to run), at most {} a run",
        count(plan.runs.len() + later_runs, "run"),
        si_of(flops, "FLOPs"),
        hours(seconds),
        hours(left),
        bytes(largest),
    );
    if plan.runs.iter().any(|run| run.trunk.is_some()) {
        let own = |part: fn(&PlannedRun) -> f64| plan.runs.iter().map(|run| run.own_share() * part(run)).sum::<f64>();
        let _ = writeln!(
            text,
            "with shared trunks: {}, about {} of device time",
            si_of(own(|run| run.price.flops) + later_flops, "FLOPs"),
            hours(own(|run| run.price.seconds) + later_seconds),
        );
    }
    let _ = writeln!(
        text,
        "{} new, {} kept, {} dropped, {} skipped",
        change.applied.new,
        change.applied.kept,
        change.applied.dropped,
        plan.skipped.len()
    );
    text
}

/// `2 to 5`, or once where they are the same.
fn from_to(low: String, high: String) -> String {
    if low == high { high } else { format!("{low} to {high}") }
}

fn range(parts: [f64; 2], shown: impl Fn(f64) -> String) -> String {
    from_to(shown(parts[0]), shown(parts[1]))
}

/// Epochs and learning rates of fine-tuning follow those of the pre-training, as in `2 + 50`; `specs` are all runs.
fn row(run: &PlannedRun, specs: &BTreeMap<RunId, &RunSpec>, change: &Change) -> Vec<String> {
    let (train, price) = (&run.spec.train, &run.price);
    let before = run.spec.pretrained.and_then(|parent| specs.get(&parent));
    let both = |own: f64, of: fn(&RunSpec) -> f64| {
        before.map_or_else(|| short(own), |parent| format!("{} + {}", short(of(parent)), short(own)))
    };
    vec![
        run.model.clone(),
        both(train.epochs, |parent| parent.train.epochs),
        both(train.lr, |parent| parent.train.lr),
        run.spec.seed.to_string(),
        si(price.parameters as f64),
        si(price.parameters_without_head as f64),
        si(price.macs as f64),
        si(price.flops),
        si(price.samples as f64),
        price.steps.to_string(),
        bytes(price.bytes),
        duration(price.seconds),
        change.word(run.id).to_owned(),
    ]
}

fn as_json(name: &str, plan: &Plan, change: &Change) -> serde_json::Value {
    let runs = plan.runs.iter().map(|run| {
        json!({
            "run_id": run.id,
            "cell_key": run.cell,
            "model": run.model,
            "pretrained_run_id": run.spec.pretrained,
            "epochs": run.spec.train.epochs,
            "lr": run.spec.train.lr,
            "seed": run.spec.seed,
            "parameters": run.price.parameters,
            "parameters_without_head": run.price.parameters_without_head,
            "macs_per_example": run.price.macs,
            "training_flops": run.price.flops,
            "samples": run.price.samples,
            "steps": run.price.steps,
            "memory_bytes": run.price.bytes,
            "estimated_device_hours": run.price.seconds / 3600.0,
            "trunk": run.trunk,
            "share_of_own_steps": run.own_share(),
            "status": change.word(run.id),
        })
    });
    let waiting = plan.waiting.iter().map(|one| {
        json!({
            "model": one.model,
            "pretraining_epochs": one.pretraining_epochs,
            "runs": one.runs,
            "training_flops_per_run": one.price.flops,
            "estimated_device_hours_per_run": one.price.seconds / 3600.0,
        })
    });
    let searched = plan.to_follow.iter().map(|one| {
        json!({
            "model": one.model,
            "epochs": one.epochs,
            "runs_at_least": one.at_least,
            "runs_at_most": one.at_most,
            "repeats": one.repeats,
            "training_flops_per_run": one.price.flops,
            "estimated_device_hours_per_run": one.price.seconds / 3600.0,
        })
    });
    let skipped = plan.skipped.iter().map(|skipped| json!({"cell": skipped.cell, "reason": skipped.reason}));
    json!({
        "schema_version": 1,
        "sweep": name,
        "runs": runs.collect::<Vec<_>>(),
        "search_to_follow": searched.collect::<Vec<_>>(),
        "finetuning_to_follow": waiting.collect::<Vec<_>>(),
        "skipped": skipped.collect::<Vec<_>>(),
        // Without what is to follow.
        "totals": {
            "runs": plan.runs.len(),
            "training_flops": plan.runs.iter().map(|run| run.price.flops).sum::<f64>(),
            "estimated_device_hours": plan.runs.iter().map(|run| run.price.seconds).sum::<f64>() / 3600.0,
            "training_flops_with_shared_trunks":
                plan.runs.iter().map(|run| run.own_share() * run.price.flops).sum::<f64>(),
            "estimated_device_hours_with_shared_trunks":
                plan.runs.iter().map(|run| run.own_share() * run.price.seconds).sum::<f64>() / 3600.0,
        },
        "change": {"new": change.applied.new, "kept": change.applied.kept, "dropped": change.applied.dropped},
    })
}
