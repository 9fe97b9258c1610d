//! `scalelaw explain RUN`: why a run waits, why it failed, and what can be done.

use std::fmt::Write;

use serde_json::json;
use spec::state::{Failure as Class, RunState};
use store::{MoveView, RunView, Store};

use super::runs::{attempt_json, attempt_table};
use super::table::{count, duration};
use crate::args::OneRun;
use crate::exit::{Failure, print};
use crate::growth::now_ms;
use crate::place::Place;
use crate::selection;

/// Lines of its log that are shown of a run that failed.
const LOG_LINES: usize = 5;

/// Moves that are shown; the latest.
const MOVES: usize = 8;

pub(crate) async fn run(place: &Place, options: &OneRun) -> Result<u8, Failure> {
    let store = place.read().await?;
    let (sweep, run) = selection::one(&store, &options.run).await?;
    let why = why(place, &store, sweep.sweep_id, &run).await?;
    let (attempts, moves) = (store.attempts(run.run).await?, store.moves(run.run).await?);
    let log = match run.state {
        RunState::Failed(_) => last_lines(place, &run),
        _ => Vec::new(),
    };
    if place.json {
        let moves = moves.iter().map(|one| {
            json!({"at_ms": one.at_ms, "transition": one.transition, "attempt": one.attempt, "failure": one.failure, "message": one.message})
        });
        let answer = json!({
            "schema_version": 1,
            "run_id": run.run,
            "sweep": sweep.name,
            "state": run.state.to_string(),
            "reasons": why.iter().map(|one| json!({"what": one.what, "remedy": one.remedy})).collect::<Vec<_>>(),
            "attempts": attempts.iter().map(attempt_json).collect::<Vec<_>>(),
            "moves": moves.collect::<Vec<_>>(),
            "log": log,
        });
        print(&answer.to_string());
        return Ok(0);
    }
    let mut text = format!("run {} of {}: {}: {}\n", run.run, sweep.name, run.label(), run.state);
    for one in &why {
        let remedy = one.remedy.as_ref().map(|remedy| format!("; {remedy}")).unwrap_or_default();
        let _ = writeln!(text, "  {}{remedy}", one.what);
    }
    if !log.is_empty() {
        let _ = writeln!(text, "\nthe end of its log, {}", log_path(place, &run).display());
        log.iter().for_each(|line| text += &format!("  {line}\n"));
    }
    if !attempts.is_empty() {
        text += &format!("\n{}", attempt_table(&attempts));
    }
    if !moves.is_empty() {
        text += "\nwhat happened to it\n";
        moves.iter().skip(moves.len().saturating_sub(MOVES)).for_each(|one| text += &told(one));
    }
    print(&text);
    Ok(0)
}

/// A reason, and what a person can do.
struct Reason {
    what: String,
    remedy: Option<String>,
}

fn reason(what: impl Into<String>) -> Reason {
    Reason { what: what.into(), remedy: None }
}

fn with(what: impl Into<String>, remedy: impl Into<String>) -> Reason {
    Reason { what: what.into(), remedy: Some(remedy.into()) }
}

async fn why(place: &Place, store: &Store, sweep_id: i64, run: &RunView) -> Result<Vec<Reason>, Failure> {
    let said = run.message.clone().unwrap_or_else(|| "it did not say why".to_owned());
    Ok(match run.state {
        RunState::Completed => vec![reason("it has its result")],
        RunState::Diverged => {
            vec![reason("its learning rate was too high: that is a result, and it is not tried again")]
        }
        RunState::Cancelled => {
            let again = place.command(&format!("runs retry {}", run.run));
            vec![with("a person took it back", format!("{again} queues it"))]
        }
        RunState::Failed(class) => {
            vec![reason(said), with(meaning(class), place.command(&format!("runs retry {}", run.run)))]
        }
        RunState::Running if !place.state.is_scheduled() => vec![abandoned(place, run)],
        RunState::Running => {
            vec![with(
                format!("attempt {} works on it, {} of {} steps done", run.attempt, run.step, run.steps),
                format!("{} follows it", place.command(&format!("runs logs {} -f", run.run))),
            )]
        }
        RunState::Queued => waits(place, store, sweep_id, run).await?,
    })
}

/// A run at work whose scheduler is gone.
fn abandoned(place: &Place, run: &RunView) -> Reason {
    let left: Vec<String> = place.state.at_work(run.run).iter().map(ToString::to_string).collect();
    let what = match left.is_empty() {
        true => "its scheduler has ended, and its trainer with it".to_owned(),
        false => format!(
            "its scheduler has ended, but its trainer goes on (process {}): what it writes still counts if it comes to its result",
            left.join(", ")
        ),
    };
    with(what, "`scalelaw run` with the sweep file stops what is left and goes on")
}

/// What stands before a run that waits.
async fn waits(place: &Place, store: &Store, sweep_id: i64, run: &RunView) -> Result<Vec<Reason>, Failure> {
    let mut reasons = Vec::new();
    if !run.wanted {
        return Ok(vec![reason("the sweep file no longer asks for it")]);
    }
    let scheduled = place.state.is_scheduled();
    match store.paused(sweep_id).await? {
        Some(why) => {
            let next =
                if scheduled { place.command("resume") } else { "`scalelaw run` with the sweep file".to_owned() };
            reasons.push(with(format!("nothing of its sweep starts: {why}"), format!("{next} goes on")));
        }
        None if !scheduled => {
            reasons.push(with("no scheduler is at work", "`scalelaw run` with the sweep file starts one"));
        }
        None => {}
    }
    let ledger = store.ledger(sweep_id).await?;
    let unused: Vec<&str> = ledger
        .newest_devices()
        .iter()
        .filter(|device| device.quarantined.is_some())
        .map(|device| device.device.as_str())
        .collect();
    if scheduled && !unused.is_empty() {
        let what = format!("{} used no more after failures in a row", are(&unused));
        reasons.push(with(what, format!("{} tries again", place.command("resume"))));
    }
    if let Some(message) = &run.message {
        let crashed =
            if run.crashes > 0 { format!("; {} so far", count(run.crashes as usize, "crash")) } else { String::new() };
        reasons.push(reason(format!("its last attempt: {message}{crashed}")));
    }
    let views = store.views(sweep_id).await?;
    if let Some(trunk) = run.trunk.and_then(|trunk| views.iter().find(|one| one.run == trunk && !one.state.is_final()))
    {
        reasons.push(reason(format!(
            "it goes on from the state of {} (run {}), which is {}",
            trunk.label(),
            trunk.run,
            trunk.state
        )));
    }
    // Cheapest first within a priority, as they come from the database.
    let position = views.iter().position(|one| one.run == run.run).unwrap_or(0);
    let before = views.iter().enumerate().filter(|(index, one)| {
        one.wanted
            && one.state == RunState::Queued
            && (one.priority > run.priority || one.priority == run.priority && *index < position)
    });
    let (before, highest) =
        before.fold((0, run.priority), |(count, highest), (_, one)| (count + 1, highest.max(one.priority)));
    let working = views.iter().filter(|one| one.state == RunState::Running).count();
    if before > 0 {
        let ahead = format!("{} before it in the queue, {working} at work", count(before, "run"));
        let first = place.command(&format!("runs prioritise {} run={}", highest + 1, run.run));
        reasons.push(with(ahead, format!("{first} puts it first")));
    } else if scheduled {
        reasons.push(reason(format!("it is the next; {working} at work")));
    }
    if run.priority != 0 {
        reasons.push(reason(format!("its priority is {}", run.priority)));
    }
    Ok(reasons)
}

/// `cpu0 is`, `cpu0 and cpu1 are`.
fn are(names: &[&str]) -> String {
    match names {
        [one] => format!("{one} is"),
        _ => format!("{} are", names.join(" and ")),
    }
}

/// What a class of failure means, and what mends it.
fn meaning(class: Class) -> &'static str {
    match class {
        Class::Oom => {
            "memory ran out, and its batch may not be computed in smaller parts (policy.oom_halvings): a smaller batch or a larger device helps"
        }
        Class::Node => {
            "the machine failed it as often as policy.retries allows: look at disk, memory and devices (`scalelaw doctor`), then try again"
        }
        Class::Code => "the program ended without a result, and would again: mend it, then try again",
        Class::Data => "its data cannot be read: `scalelaw data verify` with the sweep file says which",
        Class::Timeout => "it gave no sign of life or finished no step for too long (policy.stall_seconds)",
    }
}

fn told(one: &MoveView) -> String {
    let ago = duration((now_ms() - one.at_ms).max(0) as f64 / 1000.0);
    let attempt = one.attempt.map(|attempt| format!(", attempt {attempt}")).unwrap_or_default();
    // What ended an attempt stands in the table of attempts.
    let message = one.message.as_ref().filter(|_| one.attempt.is_none());
    let message = message.map(|message| format!(": {message}")).unwrap_or_default();
    let what = match one.transition.as_str() {
        "start" => "started",
        "complete" => "got its result",
        "diverge" => "diverged",
        "requeue" => "went back into the queue",
        "fail" => "failed",
        "cancel" => "was cancelled",
        "retry" => "was queued again by a person",
        other => other,
    };
    format!("  {ago} ago: {what}{attempt}{message}\n")
}

fn log_path(place: &Place, run: &RunView) -> std::path::PathBuf {
    place.state.run(run.run).join("attempts").join(run.attempt.to_string()).join("log.txt")
}

fn last_lines(place: &Place, run: &RunView) -> Vec<String> {
    sched::last_lines(&log_path(place, run), LOG_LINES)
}
