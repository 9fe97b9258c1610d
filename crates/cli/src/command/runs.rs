//! `scalelaw runs`: list runs, look at one, change what is to become of them.

use std::fmt::Write;

use serde_json::json;
use spec::state::{RunState, Transition};
use store::{AttemptView, RunView, Wish};

use super::table::{count, duration, table};
use super::{logs, wishes};
use crate::args::{Change, ListRuns, OneRun, Prioritise, RunsCommand};
use crate::exit::{Failure, print, say};
use crate::place::Place;
use crate::selection::{self, Selection, among, select};

pub(crate) async fn run(place: &Place, command: &RunsCommand) -> Result<u8, Failure> {
    match command {
        RunsCommand::Ls(options) => list(place, options).await,
        RunsCommand::Show(options) => show(place, options).await,
        RunsCommand::Logs(options) => logs::run(place, options).await,
        RunsCommand::Retry(options) => change(place, options, Transition::Retry).await,
        RunsCommand::Cancel(options) => change(place, options, Transition::Cancel).await,
        RunsCommand::Prioritise(options) => prioritise(place, options).await,
    }
}

async fn list(place: &Place, options: &ListRuns) -> Result<u8, Failure> {
    let store = place.read().await?;
    let Selection { sweep, runs } = among(place, &store, options.sweep.as_deref(), &options.selector).await?;
    if place.json {
        let runs: Vec<_> = runs.iter().map(selection::as_json).collect();
        print(&json!({"schema_version": 1, "sweep": sweep.name, "runs": runs}).to_string());
    } else {
        print(&selection::as_table(&runs));
    }
    Ok(0)
}

async fn show(place: &Place, options: &OneRun) -> Result<u8, Failure> {
    let store = place.read().await?;
    let (sweep, run) = selection::one(&store, &options.run).await?;
    let attempts = store.attempts(run.run).await?;
    let folder = place.state.run(run.run);
    if place.json {
        let spec = store.spec_json(run.run).await?.unwrap_or_default();
        let spec: serde_json::Value = serde_json::from_str(&spec).unwrap_or_default();
        let attempts: Vec<_> = attempts.iter().map(attempt_json).collect();
        let mut whole = selection::as_json(&run);
        whole["schema_version"] = json!(1);
        whole["sweep"] = json!(sweep.name);
        whole["folder"] = json!(folder);
        whole["attempt_list"] = json!(attempts);
        whole["spec"] = spec;
        print(&whole.to_string());
        return Ok(0);
    }
    let mut text = format!("run {} of {}: {}\n", run.run, sweep.name, run.label());
    let message = run.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
    let _ = writeln!(text, "  {}{message}", run.state);
    let _ = writeln!(
        text,
        "  {} of {} steps; {} billed, estimated at {}",
        run.step.min(run.steps),
        run.steps,
        duration(run.device_seconds),
        duration(run.estimated_seconds),
    );
    if let Some(loss) = run.heldout_loss {
        let accuracy = run.accuracy.map(|share| format!(", accuracy {:.2} %", 100.0 * share)).unwrap_or_default();
        let _ = writeln!(text, "  held-out loss {loss:.4}{accuracy}");
    }
    if let Some(reason) = &run.excluded {
        let _ = writeln!(text, "  excluded from fits and figures: {reason}");
    }
    let _ = writeln!(text, "  in {}", folder.display());
    if !attempts.is_empty() {
        text += &format!("\n{}", attempt_table(&attempts));
    }
    print(&text);
    Ok(0)
}

/// An attempt for scripts.
pub(crate) fn attempt_json(attempt: &AttemptView) -> serde_json::Value {
    json!({
        "attempt": attempt.attempt,
        "started_ms": attempt.started_ms,
        "ended_ms": attempt.ended_ms,
        "outcome": attempt.outcome,
        "failure": attempt.failure,
        "message": attempt.message,
        "devices": attempt.devices,
        "node": attempt.node,
        "resumed_step": attempt.resumed_step,
        "step": attempt.step,
        "device_hours": attempt.device_seconds.map(|seconds| seconds / 3600.0),
        "accumulate": attempt.accumulate,
    })
}

/// Attempts for people.
pub(crate) fn attempt_table(attempts: &[AttemptView]) -> String {
    let row = |attempt: &AttemptView| {
        let step = |step: Option<i64>| step.map_or_else(|| "?".to_owned(), |step| step.to_string());
        let outcome = attempt.outcome.clone().unwrap_or_else(|| "at work".to_owned());
        let class = attempt.failure.as_ref().map(|class| format!(" ({class})")).unwrap_or_default();
        vec![
            attempt.attempt.to_string(),
            outcome + &class,
            format!("{} to {}", attempt.resumed_step.unwrap_or(0), step(attempt.step)),
            attempt.device_seconds.map_or_else(String::new, duration),
            attempt.node.clone().or_else(|| attempt.devices.clone()).unwrap_or_default(),
            attempt.message.clone().unwrap_or_default(),
        ]
    };
    table(&["attempt", "", "steps", "device time", "on", ""], attempts.iter().map(row))
}

/// Retries or cancels.
async fn change(place: &Place, options: &Change, transition: Transition) -> Result<u8, Failure> {
    let again = transition == Transition::Retry;
    let verb = if again { "retry" } else { "cancel" };
    let may = |run: &RunView| match again {
        true => matches!(run.state, RunState::Failed(_) | RunState::Cancelled),
        false => !run.state.is_final(),
    };
    let store = place.read().await?;
    let Selection { sweep, mut runs } = select(place, &store, &options.selected).await?;
    store.close().await;
    let of = runs.len();
    runs.retain(may);
    if runs.is_empty() {
        let why = if again { "failed or was cancelled" } else { "waits or runs" };
        return Err(Failure::usage(format!("{}: none {why}", count(of, "selected run"))));
    }
    if runs.len() > 1 && !options.yes {
        print(&selection::as_table(&runs));
        return Err(Failure::usage(format!("these are {}; --yes to {verb} them", count(runs.len(), "run"))));
    }
    if runs.len() < of {
        let past = if again { "retried" } else { "cancelled" };
        say(&format!("{} of {} selected cannot be {past}", of - runs.len(), count(of, "run")));
    }
    let wanted: Vec<Wish> =
        runs.iter().map(|run| if again { Wish::Retry(run.run) } else { Wish::Cancel(run.run) }).collect();
    let answers = wishes::make(place, sweep.sweep_id, &wanted).await?;
    wishes::show(place, &sweep.name, &answers);
    Ok(0)
}

async fn prioritise(place: &Place, options: &Prioritise) -> Result<u8, Failure> {
    let store = place.read().await?;
    let Selection { sweep, mut runs } = select(place, &store, &options.selected).await?;
    store.close().await;
    let of = runs.len();
    runs.retain(|run| !run.state.is_final());
    if runs.is_empty() {
        return Err(Failure::usage(format!("{}: none waits or runs", count(of, "selected run"))));
    }
    let wanted: Vec<Wish> = runs.iter().map(|run| Wish::Prioritise(run.run, options.priority)).collect();
    let answers = wishes::make(place, sweep.sweep_id, &wanted).await?;
    wishes::show(place, &sweep.name, &answers);
    Ok(0)
}
