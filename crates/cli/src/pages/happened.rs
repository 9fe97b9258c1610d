//! What a sweep was to do, and what came of it.

use std::collections::BTreeMap;

use report::Part;
use spec::state::RunState;
use store::RunRow;

use super::{Told, heading, is_simulated, provenance, table};
use crate::command::status::parsed;
use crate::command::table::{count, grouped, hours, si};

/// What the sweep asks.
pub(crate) fn question(told: &Told) -> Part {
    let asked = asked(&told.source);
    Part::Text(asked.unwrap_or_else(|| "The sweep file says none: `description` is the place for it.".to_owned()))
}

/// The description of a sweep file, or its first comment.
fn asked(source: &str) -> Option<String> {
    if let Some(description) = parsed(source).and_then(|sweep| sweep.description) {
        return Some(description);
    }
    let lines = source.lines().skip_while(|line| line.trim().is_empty() || line.starts_with("#:"));
    let lines: Vec<&str> = lines.map_while(|line| line.strip_prefix('#')).map(str::trim).collect();
    Some(lines.join(" ")).filter(|text| !text.trim().is_empty())
}

/// The plan against what happened, and every failure and exclusion.
pub(crate) fn parts(told: &Told) -> Vec<Part> {
    let mut lines = Vec::new();
    if is_simulated(&told.rows) {
        lines.push(
            "SIMULATED: runs of this sweep only pretended to train, and their losses follow a planted law.".to_owned(),
        );
    }
    lines.extend(provenance::span(told));
    lines.extend(data(&told.rows));
    let wanted = || told.rows.iter().filter(|row| row.wanted);
    let best = |row: &&RunRow| row.result.is_some() && row.excluded.is_none() && row.spec.pretrained.is_none();
    let loss = |row: &RunRow| row.result.as_ref().map_or(f64::INFINITY, |result| result.heldout_loss);
    if let Some(row) = wanted().filter(best).min_by(|a, b| loss(a).total_cmp(&loss(b))) {
        lines.push(format!("Lowest held-out loss: {:.4} nats, {}.", loss(row), row.label()));
    }
    if let Some(best) = &told.standing.highest_accuracy
        && let Some(accuracy) = best.accuracy
    {
        lines.push(format!(
            "Lowest top-1 error after fine-tuning: {:.2} %, {}.",
            100.0 * (1.0 - accuracy),
            best.label()
        ));
    }
    vec![heading("Plan and what happened"), Part::List(lines), by_model(&told.rows), Part::List(troubles(told))]
}

/// The data of each stage.
fn data(rows: &[RunRow]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for row in rows.iter().filter(|row| row.wanted) {
        let data = &row.spec.data;
        let of = if row.spec.pretrained.is_some() { " of fine-tuning" } else { "" };
        let (train, heldout) = (grouped(data.train_examples), grouped(data.heldout_examples));
        let line = format!(
            "Data{of}: {}, {train} examples to train on and {heldout} held out, {} classes, pictures of {} x {} pixels.",
            data.dataset, data.classes, data.resolution, data.resolution
        );
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

/// States as the columns of the table name them.
const COLUMNS: [&str; 6] = ["completed", "diverged", "failed", "cancelled", "running", "queued"];

/// How many runs of each model came to what, against what they were thought to cost.
fn by_model(rows: &[RunRow]) -> Part {
    let mut models: BTreeMap<(u64, &str, bool), Vec<&RunRow>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.wanted) {
        models.entry((row.parameters, &row.model, row.spec.pretrained.is_some())).or_default().push(row);
    }
    // A column of nothing says nothing.
    let shown = |name: &&str| rows.iter().any(|row| row.wanted && row.state.word() == *name);
    let states: Vec<&str> = COLUMNS.into_iter().filter(shown).collect();
    let mut header = vec!["model", "parameters", "runs"];
    header.extend(&states);
    header.extend(["device time estimated", "billed"]);
    let line = |name: String, parameters: String, rows: &[&RunRow]| {
        let mut cells = vec![name, parameters, rows.len().to_string()];
        cells.extend(
            states.iter().map(|state| rows.iter().filter(|row| row.state.word() == *state).count().to_string()),
        );
        cells.push(hours(rows.iter().map(|row| row.estimated_seconds).sum()));
        cells.push(hours(rows.iter().map(|row| row.device_seconds).sum()));
        cells
    };
    let named = |(_, model, tuned): &(u64, &str, bool)| format!("{model}{}", if *tuned { ", fine-tuned" } else { "" });
    let mut lines: Vec<Vec<String>> =
        models.iter().map(|(key, rows)| line(named(key), si(key.0 as f64), rows)).collect();
    if lines.len() > 1 {
        let all: Vec<&RunRow> = rows.iter().filter(|row| row.wanted).collect();
        lines.push(line("all".to_owned(), String::new(), &all));
    }
    table(&header, lines)
}

/// Failures, crashes that were got over, and exclusions, each by name.
fn troubles(told: &Told) -> Vec<String> {
    let mut lines = Vec::new();
    for failed in &told.standing.problems {
        let why = failed.message.as_deref().unwrap_or("no reason is known");
        lines.push(format!("{} {}: {why}", failed.label(), failed.state.word()));
    }
    let got_over = told.rows.iter().filter(|row| row.wanted && row.crashes > 0 && row.state == RunState::Completed);
    let (runs, crashes) = got_over.fold((0, 0), |(runs, crashes), row| (runs + 1, crashes + row.crashes as usize));
    if runs > 0 {
        lines.push(format!(
            "{} of {} were got over: they were tried again and completed.",
            count(crashes, "crash"),
            count(runs, "run")
        ));
    }
    for row in told.rows.iter().filter(|row| row.wanted) {
        if let Some(reason) = &row.excluded {
            lines.push(format!("{} left out of fits and figures: {reason}", row.label()));
        }
    }
    let dropped = told.rows.iter().filter(|row| !row.wanted).count();
    if dropped > 0 {
        lines.push(format!("{} of earlier versions of the file are no longer asked for.", count(dropped, "run")));
    }
    let wanted = || told.rows.iter().filter(|row| row.wanted);
    let diverged = wanted().filter(|row| row.state == RunState::Diverged).count();
    if diverged > 0 {
        lines.push(format!("{} diverged: the learning rate was too high. That is a result.", count(diverged, "run")));
    }
    let open = wanted().filter(|row| matches!(row.state, RunState::Queued | RunState::Running)).count();
    if open > 0 {
        lines.push(format!("{} not finished yet: what follows is of those that are.", count(open, "run")));
    }
    if lines.is_empty() {
        lines.push("No run failed, and none was left out.".to_owned());
    }
    lines
}

/// What the digests of the epochs prove.
pub(crate) fn certificates(told: &Told) -> Vec<Part> {
    let verdicts = &told.verdicts;
    let epochs = verdicts.values().map(|verdict| verdict.epochs).sum();
    let skipped: usize = verdicts.values().map(|verdict| verdict.skipped.len()).sum();
    let wrong = told.rows.iter().filter_map(|row| {
        let wrong = verdicts.get(&row.run)?.wrong.as_ref()?;
        Some(format!("{} (run {}): {wrong}", row.label(), row.run))
    });
    let wrong: Vec<String> = wrong.collect();
    // A run may diverge before an epoch ends.
    let without = verdicts.values().filter(|verdict| verdict.epochs == 0 && verdict.wrong.is_none()).count();
    let right = count(verdicts.len() - wrong.len() - without, "finished run");
    let mut lines = vec![format!(
        "{right} with a digest for every epoch that is the one computed anew from the run's specification; {} in all finished runs.",
        count(epochs, "recorded epoch")
    )];
    if without > 0 {
        lines.push(format!(
            "{} diverged before an epoch ended, or have a trainer that records none.",
            count(without, "run")
        ));
    }
    if skipped > 0 {
        lines.push(format!("{} skipped as damaged.", count(skipped, "example")));
    }
    lines.extend(wrong);
    vec![heading("Certificates of sampling"), Part::List(lines)]
}

/// Where device time went, in all and by device.
pub(crate) fn spent(told: &Told) -> Vec<Part> {
    let ledger = &told.ledger;
    let billed = ledger.billed();
    let share = |seconds: f64| match billed > 0.0 {
        true => format!("{} ({:.1} %)", hours(seconds), 100.0 * seconds / billed),
        false => hours(seconds),
    };
    let lines = vec![
        format!("Billed to {}: {}.", count(ledger.attempts as usize, "attempt"), hours(billed)),
        format!(
            "Useful: {}; repeated: {}; failed: {}.",
            share(ledger.useful),
            share(ledger.repeated),
            share(ledger.failed)
        ),
        format!("Held with nothing to do: {}.", hours(ledger.idle())),
    ];
    let device = |device: &store::DeviceLedger| {
        let mut cells = vec![device.device.clone()];
        cells.extend([device.useful, device.repeated, device.failed, device.idle].map(hours));
        cells
    };
    let devices = told.devices.iter().map(device).collect();
    let mut parts = vec![heading("Where device time went"), Part::List(lines)];
    if !told.devices.is_empty() {
        parts.push(table(&["device", "useful", "repeated", "failed", "idle"], devices));
    }
    parts
}

/// Every run.
pub(crate) fn runs(told: &Told) -> Vec<Part> {
    let header = [
        "row",
        "run",
        "model",
        "epochs",
        "learning rate",
        "seed",
        "state",
        "held-out loss",
        "top-1 error",
        "device time",
        "note",
    ];
    let row = |(index, row): (usize, &RunRow)| {
        let excluded = row.excluded.as_ref().map(|reason| format!("excluded: {reason}"));
        let crashes = (row.crashes > 0).then(|| count(row.crashes as usize, "crash"));
        let message = row.message.clone().filter(|_| row.result.is_none());
        let unwanted = (!row.wanted).then(|| "no longer asked for".to_owned());
        let tuned = row.pretrained.as_ref().map(|parent| {
            format!("fine-tuned from {} epochs at learning rate {}", parent.train.epochs, parent.train.lr)
        });
        let notes: Vec<String> = [tuned, excluded, unwanted, crashes, message].into_iter().flatten().collect();
        let accuracy = row.result.as_ref().and_then(|result| result.accuracy);
        vec![
            (index + 1).to_string(),
            row.run.to_string(),
            row.model.clone(),
            row.spec.train.epochs.to_string(),
            row.spec.train.lr.to_string(),
            row.spec.seed.to_string(),
            row.state.word().to_owned(),
            row.result.as_ref().map_or(String::new(), |result| format!("{:.4}", result.heldout_loss)),
            accuracy.map_or(String::new(), |accuracy| format!("{:.2} %", 100.0 * (1.0 - accuracy))),
            hours(row.device_seconds),
            notes.join("; "),
        ]
    };
    vec![heading("Runs"), table(&header, told.rows.iter().enumerate().map(row).collect())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_the_first_comment() {
        let source =
            "#:schema ./sweep.schema.json\n\n# Do they match?\n#   At equal compute.\nname = \"x\"\n# not this\n";
        assert_eq!(asked(source).as_deref(), Some("Do they match? At equal compute."));
        assert_eq!(asked("name = \"x\"\n# later"), None);
    }
}
