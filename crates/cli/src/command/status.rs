//! `scalelaw status`: one line of truth, problems first, then what came out.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::json;
use spec::journal::Usage;
use spec::state::RunState;
use store::{Ledger, ResultRow, RunRow};

use super::table::{count, hours};
use crate::args::Chosen;
use crate::exit::{Failure, print};
use crate::place::Place;

pub(crate) async fn run(place: &Place, options: &Chosen) -> Result<u8, Failure> {
    let store = place.read().await?;
    let sweep = place.choose(&store, options.sweep.as_deref()).await?;
    let rows = store.runs(sweep.sweep_id).await?;
    let ledger = store.ledger(sweep.sweep_id).await?;
    show(place, &sweep.name, &rows, &ledger);
    Ok(0)
}

/// Prints where a sweep stands.
pub(crate) fn show(place: &Place, name: &str, rows: &[RunRow], ledger: &Ledger) {
    let rows: Vec<&RunRow> = rows.iter().filter(|row| row.wanted).collect();
    let scheduled = place.state.is_scheduled();
    print(&if place.json {
        as_json(name, &rows, ledger, scheduled).to_string()
    } else {
        as_text(name, &rows, ledger, scheduled)
    });
}

/// Share of the estimated compute that is done.
fn share(rows: &[&RunRow]) -> f64 {
    let total: f64 = rows.iter().map(|row| row.estimated_seconds).sum();
    let done = |row: &&RunRow| match row.state.is_final() {
        true => 1.0,
        false => {
            let own = row.steps - row.shared_steps();
            row.step.saturating_sub(row.shared_steps()) as f64 / own.max(1) as f64
        }
    };
    let done: f64 = rows.iter().map(|row| row.estimated_seconds * done(row)).sum();
    if total > 0.0 { done / total } else { 1.0 }
}

fn states(rows: &[&RunRow]) -> BTreeMap<&'static str, usize> {
    let mut states = BTreeMap::new();
    rows.iter().for_each(|row| *states.entry(row.state.word()).or_default() += 1);
    states
}

fn as_text(name: &str, rows: &[&RunRow], ledger: &Ledger, scheduled: bool) -> String {
    let states = states(rows);
    let order = ["completed", "diverged", "running", "queued", "failed", "cancelled"];
    let counts: Vec<String> =
        order.iter().filter_map(|word| states.get(word).map(|count| format!("{count} {word}"))).collect();
    let mut text = format!(
        "{name}: {:.0} % of {} ({}) · {}\n",
        100.0 * share(rows),
        count(rows.len(), "run"),
        counts.join(", "),
        spent(ledger),
    );
    // The rows of a scheduler that was killed still say "running"; its workers have ended with it.
    if let Some(interrupted) = states.get("running").filter(|_| !scheduled) {
        let _ = writeln!(
            text,
            "  no scheduler is at work: {} interrupted; `scalelaw run` with the sweep file goes on",
            if *interrupted == 1 { "1 run was".to_owned() } else { format!("{interrupted} runs were") },
        );
    }
    for row in
        rows.iter().filter(|row| matches!(row.state, RunState::Failed(_)) || (row.crashes > 0 && !row.state.is_final()))
    {
        let label = row.label();
        let why = row.message.as_deref().unwrap_or("no message");
        let _ = writeln!(text, "  {label}: {}: {why} (run {})", row.state, row.run);
    }
    if ledger.damaged_examples > 0 {
        let examples = count(ledger.damaged_examples as usize, "damaged example");
        let _ = writeln!(text, "  {examples} left out of training, listed by verify samples --json");
    }
    let phases = phases(rows);
    if phases.iter().any(|(_, share)| *share > 0.0) {
        let parts: Vec<String> = phases.iter().map(|(name, share)| format!("{:.0} % {name}", 100.0 * share)).collect();
        let _ = writeln!(text, "  time went into: {}", parts.join(", "));
    }
    let best = |finetuned: bool, value: fn(&ResultRow) -> Option<f64>| {
        let stage = rows.iter().filter(move |row| row.spec.pretrained.is_some() == finetuned);
        let found = stage.filter_map(|row| row.result.as_ref().and_then(|result| Some((value(result)?, row.label()))));
        found.min_by(|a, b| a.0.total_cmp(&b.0))
    };
    if let Some((loss, label)) = best(false, |result| Some(result.heldout_loss)) {
        let _ = writeln!(text, "  lowest held-out loss {loss:.4}: {label}");
    }
    if let Some((error, label)) = best(true, |result| result.accuracy.map(|accuracy| 100.0 * (1.0 - accuracy))) {
        let _ = writeln!(text, "  lowest top-1 error {error:.2} %: {label}");
    }
    text
}

/// What attempts spent their time on, as shares of all that is known.
fn phases(rows: &[&RunRow]) -> [(&'static str, f64); 5] {
    let sum = |part: fn(&Usage) -> f64| rows.iter().filter_map(|row| row.usage.as_ref()).map(part).sum::<f64>();
    let seconds = [
        ("forward and backward", sum(|usage| usage.gradient_seconds)),
        ("optimiser", sum(|usage| usage.optimizer_seconds)),
        ("data", sum(|usage| usage.data_seconds)),
        ("evaluation", sum(|usage| usage.evaluation_seconds)),
        ("checkpoints", sum(|usage| usage.checkpoint_seconds)),
    ];
    let total = seconds.iter().map(|(_, seconds)| seconds).sum::<f64>().max(f64::MIN_POSITIVE);
    seconds.map(|(name, seconds)| (name, seconds / total))
}

/// The billed device time, and what of it brought no result by itself.
fn spent(ledger: &Ledger) -> String {
    let total = hours(ledger.with_result + ledger.preempted + ledger.crashed);
    let parts = [(ledger.preempted, "in stopped attempts"), (ledger.crashed, "in crashed ones")];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(seconds, _)| *seconds > 0.0)
        .map(|(seconds, what)| format!("{} {what}", hours(*seconds)))
        .collect();
    let of_it = if parts.is_empty() { String::new() } else { format!(", of it {}", parts.join(" and ")) };
    format!("{total} device in {}{of_it}", count(ledger.attempts as usize, "attempt"))
}

fn as_json(name: &str, rows: &[&RunRow], ledger: &Ledger, scheduled: bool) -> serde_json::Value {
    let problems = rows.iter().filter(|row| matches!(row.state, RunState::Failed(_)));
    let problems =
        problems.map(|row| json!({"run_id": row.run, "state": row.state.to_string(), "message": row.message}));
    json!({
        "schema_version": 1,
        "sweep": name,
        "scheduled": scheduled,
        "share_of_compute": share(rows),
        "runs": rows.len(),
        "states": states(rows),
        "device_hours": {
            "total": (ledger.with_result + ledger.preempted + ledger.crashed) / 3600.0,
            "with_result": ledger.with_result / 3600.0,
            "stopped": ledger.preempted / 3600.0,
            "crashed": ledger.crashed / 3600.0,
        },
        "time_shares": phases(rows).into_iter().collect::<BTreeMap<_, _>>(),
        "attempts": ledger.attempts,
        "damaged_examples": ledger.damaged_examples,
        "problems": problems.collect::<Vec<_>>(),
    })
}
