//! The runs that a person means.

use serde_json::{Value, json};
use spec::run::{RunId, short};
use spec::selector::Selector;
use store::{RunView, Store, SweepRow};

use crate::args::Selected;
use crate::command::table::{duration, table};
use crate::exit::Failure;
use crate::place::Place;

/// A sweep, and those of its runs that were meant.
pub(crate) struct Selection {
    pub(crate) sweep: SweepRow,
    pub(crate) runs: Vec<RunView>,
}

/// The runs that a selector means. It is an error if there are none.
pub(crate) async fn select(place: &Place, store: &Store, selected: &Selected) -> Result<Selection, Failure> {
    among(place, store, selected.sweep.as_deref(), &selected.selector).await
}

/// The same; no selector means all runs.
pub(crate) async fn among(
    place: &Place,
    store: &Store,
    sweep: Option<&str>,
    selector: &[String],
) -> Result<Selection, Failure> {
    let selector = Selector::parse(selector).map_err(|error| Failure::usage(error.to_string()))?;
    // A run that is named is looked for in every sweep.
    let named = if sweep.is_none() { selector.only_run() } else { None };
    let sweep = match named {
        Some(named) if store.runs_beginning(named).await?.len() == 1 => one(store, named).await?.0,
        _ => place.choose(store, sweep).await?,
    };
    let views = store.views(sweep.sweep_id).await?;
    let of = views.iter().filter(|run| run.wanted).count();
    let runs: Vec<RunView> = views.into_iter().filter(|run| run.wanted && selector.matches(&run.candidate())).collect();
    if runs.is_empty() && !selector.is_empty() {
        let message = format!("{selector}: none of the {of} runs of {}; `scalelaw runs ls` lists them", sweep.name);
        return Err(Failure::usage(message));
    }
    Ok(Selection { sweep, runs })
}

/// One run, by its identity or as much of its beginning as tells it from others, and the sweep that asks for it.
pub(crate) async fn one(store: &Store, wanted: &str) -> Result<(SweepRow, RunView), Failure> {
    let is_beginning = (1..=16).contains(&wanted.len()) && wanted.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_beginning {
        let message =
            format!("{wanted:?} is no beginning of a run's identity, such as 00ab12cd; `scalelaw runs ls` lists them");
        return Err(Failure::usage(message));
    }
    let found = store.runs_beginning(&wanted.to_ascii_lowercase()).await?;
    let run = match found[..] {
        [run] => run,
        [] => return Err(Failure::usage(format!("no run begins with {wanted}; `scalelaw runs ls` lists them"))),
        ref several => {
            let some: Vec<String> = several.iter().take(4).map(ToString::to_string).collect();
            let more = if several.len() > some.len() { ", and more" } else { "" };
            let message =
                format!("several runs begin with {wanted} ({}{more}); give more of its digits", some.join(", "));
            return Err(Failure::usage(message));
        }
    };
    let missing = || Failure::usage(format!("no sweep has asked for run {run}"));
    let sweep = store.sweep_of(run).await?.ok_or_else(missing)?;
    let view = store.views(sweep.sweep_id).await?.into_iter().find(|view| view.run == run).ok_or_else(missing)?;
    Ok((sweep, view))
}

pub(crate) fn ids(runs: &[RunView]) -> Vec<RunId> {
    runs.iter().map(|run| run.run).collect()
}

/// A run as a line of JSON.
pub(crate) fn as_json(run: &RunView) -> Value {
    json!({
        "run_id": run.run,
        "model": run.model,
        "epochs": run.recipe.epochs,
        "lr": run.recipe.lr,
        "seed": run.recipe.seed,
        "pretraining_epochs": run.pretrained.map(|recipe| recipe.epochs),
        "pretraining_lr": run.pretrained.map(|recipe| recipe.lr),
        "state": run.state.word(),
        "failure": run.state.failure().map(|failure| failure.as_str()),
        "message": run.message,
        "attempts": run.attempt,
        "crashes": run.crashes,
        "priority": run.priority,
        "steps": run.steps,
        "steps_done": run.step,
        "estimated_device_hours": run.estimated_seconds / 3600.0,
        "device_hours": run.device_seconds / 3600.0,
        "heldout_loss_nats": run.heldout_loss,
        "heldout_accuracy": run.accuracy,
        "excluded": run.excluded,
    })
}

/// Runs as a table.
pub(crate) fn as_table(runs: &[RunView]) -> String {
    let header = ["run", "model", "epochs", "lr", "seed", "state", "steps", "loss", "attempts", "device time"];
    table(&header, runs.iter().map(row))
}

/// Epochs and learning rates of fine-tuning follow those of the pre-training, as in `2 + 50`.
fn row(run: &RunView) -> Vec<String> {
    let both = |before: Option<f64>, own: f64| {
        before.map_or_else(|| short(own), |before| format!("{} + {}", short(before), short(own)))
    };
    let mut state = run.state.to_string();
    if run.excluded.is_some() {
        state += ", excluded";
    }
    if run.priority != 0 && !run.state.is_final() {
        state += &format!(", priority {}", run.priority);
    }
    vec![
        run.run.to_string(),
        run.model.clone(),
        both(run.pretrained.map(|recipe| recipe.epochs), run.recipe.epochs),
        both(run.pretrained.map(|recipe| recipe.lr), run.recipe.lr),
        run.recipe.seed.to_string(),
        state,
        format!("{}/{}", run.step.min(run.steps), run.steps),
        run.heldout_loss.map_or_else(String::new, |loss| format!("{loss:.4}")),
        run.attempt.to_string(),
        duration(run.device_seconds),
    ]
}
