//! `scalelaw report`: what a sweep asked, what happened and what came of it, in one file that needs nothing else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fit::Settings;
use report::{Document, Part};
use serde_json::json;
use spec::run::RunId;
use store::{Ledger, RunRow, Standing, Store, SweepRow};

use super::plot;
use super::status::parsed;
use super::table::{count, hours};
use crate::args::{Compute, Law, Report, Stage};
use crate::exit::{Failure, print};
use crate::figure_file::Drawn;
use crate::place::Place;
use crate::samples::{self, Verdict};
use crate::{laws, points, write};

pub(crate) async fn run(place: &Place, options: &Report) -> Result<u8, Failure> {
    let store = place.read().await?;
    let sweep = place.choose(&store, options.chosen.sweep.as_deref()).await?;
    let folder = options.out.clone().unwrap_or_else(|| Path::new("reports").join(&sweep.name));
    let command = plot_command(&sweep.name, options.out.as_deref());
    let typed = plot::typed(&command).map_err(|error| Failure::usage(error.to_string()))?;
    let (drawn, _) = Box::pin(plot::draw(place, &typed)).await?;
    let document = document(&store, &sweep, &drawn).await?;
    let mut written: Vec<PathBuf> = Vec::new();
    for figure in &drawn {
        written.extend(figure.save(&folder, false)?);
    }
    for (name, text) in [("report.html", document.html()), ("report.md", document.markdown())] {
        let path = folder.join(name);
        write::atomically(&path, text.as_bytes())?;
        written.push(path);
    }
    let paths: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
    print(&if place.json { json!({"schema_version": 1, "files": paths}).to_string() } else { paths.join("\n") });
    Ok(0)
}

/// The command that draws the figures of the report again.
fn plot_command(sweep: &str, out: Option<&Path>) -> Vec<String> {
    let mut command: Vec<String> = ["plot", "all", sweep].map(str::to_owned).to_vec();
    if let Some(out) = out {
        command.extend(["--out".to_owned(), out.display().to_string()]);
    }
    command
}

async fn document(store: &Store, sweep: &SweepRow, drawn: &[Drawn]) -> Result<Document, Failure> {
    let rows = store.runs(sweep.sweep_id).await?;
    let verdicts = samples::verdicts(store, &rows).await?;
    let (standing, ledger) = (store.standing(sweep.sweep_id).await?, store.ledger(sweep.sweep_id).await?);
    let source = store.source(sweep.sweep_id).await?;
    let heading = |text: &str| Part::Heading(text.to_owned());

    let mut parts = vec![heading("Question")];
    parts.push(Part::Text(
        question(&source).unwrap_or_else(|| "The sweep file says none: `description` is the place for it.".to_owned()),
    ));
    parts.extend([heading("Plan and what happened"), Part::List(happened(&standing, &rows))]);
    parts.push(heading("Figures"));
    if drawn.is_empty() {
        parts.push(Part::Text("No run has a result yet.".to_owned()));
    }
    for (name, caption) in CAPTIONS {
        parts.extend(drawn.iter().filter(|figure| figure.name == name).map(|figure| Part::Figure {
            name: figure.name.clone(),
            svg: figure.svg.clone(),
            caption: caption.to_owned(),
        }));
    }
    parts.push(heading("Fits"));
    let fitted = points::of_sweep(&rows, &verdicts, Compute::TrainHours, Stage::Pretraining);
    for (law, name) in [(Law::Frontier, "frontier"), (Law::Lr, "lr")] {
        let answer = laws::fit_curve(law, &fitted.runs, &Settings::default());
        parts.push(Part::Text(format!("scalelaw fit {name}, compute in device hours:")));
        parts.push(Part::Verbatim(answer.as_text(&fitted)));
    }
    parts.extend([heading("Certificates of sampling"), Part::List(certificates(&rows, &verdicts))]);
    parts.extend([heading("Where device time went"), Part::List(spent(&ledger))]);
    parts.extend([heading("Runs"), runs(&rows)]);
    parts.extend([heading("Sweep file"), Part::Verbatim(source)]);
    parts.push(heading("How to reproduce"));
    parts.push(Part::Text(format!(
        "Save the sweep file above as {0}.toml. Written by scalelaw {1}; the database and the folders of the runs say on what each \
         attempt worked.",
        sweep.name,
        env!("CARGO_PKG_VERSION")
    )));
    let name = &sweep.name;
    parts.push(Part::Verbatim(format!(
        "scalelaw run {name}.toml\nscalelaw verify samples {name}\nscalelaw fit frontier {name}\nscalelaw report {name}"
    )));
    Ok(Document { title: format!("Report of the sweep {name}"), parts })
}

/// The description of a sweep file, or its first comment.
fn question(source: &str) -> Option<String> {
    if let Some(description) = parsed(source).and_then(|sweep| sweep.description) {
        return Some(description);
    }
    let lines = source.lines().skip_while(|line| line.trim().is_empty() || line.starts_with("#:"));
    let lines: Vec<&str> = lines.map_while(|line| line.strip_prefix('#')).map(str::trim).collect();
    Some(lines.join(" ")).filter(|text| !text.trim().is_empty())
}

fn happened(standing: &Standing, rows: &[RunRow]) -> Vec<String> {
    let wanted = || rows.iter().filter(|row| row.wanted);
    let billed: f64 = wanted().map(|row| row.device_seconds).sum();
    let states: Vec<String> = standing.states.iter().map(|(state, number)| format!("{number} {state}")).collect();
    let mut lines = vec![
        format!("{}: {}.", count(standing.states.values().sum(), "run"), states.join(", ")),
        format!("Estimated: {} of device time; billed so far: {}.", hours(standing.estimated_seconds), hours(billed)),
    ];
    if let Some(best) = &standing.lowest_loss {
        let loss = wanted().find(|row| row.run == best.run).and_then(|row| row.result.as_ref());
        lines.extend(
            loss.map(|result| format!("Lowest held-out loss: {:.4} nats, {}.", result.heldout_loss, best.label())),
        );
    }
    for failed in &standing.problems {
        let why = failed.message.as_deref().unwrap_or("no reason is known");
        lines.push(format!("{} {}: {why}", failed.label(), failed.state.word()));
    }
    for row in rows.iter().filter(|row| row.excluded.is_some()) {
        lines.push(format!(
            "{} left out of fits and figures: {}",
            row.label(),
            row.excluded.as_deref().unwrap_or_default()
        ));
    }
    lines
}

/// Figures in the order of the report, with what they show.
const CAPTIONS: [(&str, &str); 10] = [
    (
        "scaling",
        "Held-out loss against compute: of each model and epoch budget the best learning rate. The law of the frontier is solid \
         where it has data and dashed beyond; grey: its 95 % interval.",
    ),
    ("transfer", "Top-1 error after fine-tuning against the compute of pre-training."),
    ("optimal-lr", "Optimal learning rate against epochs, with 95 % intervals."),
    ("lr", "Held-out loss against learning rate for each model and epoch budget, with fitted parabolas and optima."),
    ("isoflop", "Held-out loss against model size at equal compute."),
    ("size-vs-compute", "The best model size against compute."),
    ("epochs-vs-compute", "The best number of epochs against compute."),
    ("residuals", "Distance of each best run from the law of the frontier."),
    ("curves", "Training and held-out loss against samples of the best run of each model."),
    ("ledger", "Device hours by use, of every device and day."),
];

fn certificates(rows: &[RunRow], verdicts: &BTreeMap<RunId, Verdict>) -> Vec<String> {
    let epochs = verdicts.values().map(|verdict| verdict.epochs).sum();
    let skipped: usize = verdicts.values().map(|verdict| verdict.skipped.len()).sum();
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let wrong = verdicts.get(&row.run)?.wrong.as_ref()?;
            Some(format!("{} (run {}): {wrong}", row.label(), row.run))
        })
        .collect();
    let right = count(verdicts.len() - wrong.len(), "finished run");
    let mut lines = vec![format!(
        "{right} with a digest for every epoch that is the one computed anew from the run's specification; {} in all finished runs.",
        count(epochs, "recorded epoch")
    )];
    if skipped > 0 {
        lines.push(format!("{} skipped as damaged.", count(skipped, "example")));
    }
    lines.extend(wrong);
    lines
}

fn spent(ledger: &Ledger) -> Vec<String> {
    let billed = ledger.billed();
    let share = |seconds: f64| match billed > 0.0 {
        true => format!("{} ({:.1} %)", hours(seconds), 100.0 * seconds / billed),
        false => hours(seconds),
    };
    vec![
        format!("Billed to {}: {}.", count(ledger.attempts as usize, "attempt"), hours(billed)),
        format!(
            "Useful: {}; repeated: {}; failed: {}.",
            share(ledger.useful),
            share(ledger.repeated),
            share(ledger.failed)
        ),
        format!("Held with nothing to do: {}.", hours(ledger.idle())),
    ]
}

fn runs(rows: &[RunRow]) -> Part {
    let header =
        ["row", "run", "model", "epochs", "learning rate", "seed", "state", "held-out loss", "device time", "note"];
    let row = |(index, row): (usize, &RunRow)| {
        let excluded = row.excluded.as_ref().map(|reason| format!("excluded: {reason}"));
        let crashes = (row.crashes > 0).then(|| count(row.crashes as usize, "crash"));
        let message = row.message.clone().filter(|_| row.result.is_none());
        let unwanted = (!row.wanted).then(|| "no longer asked for".to_owned());
        let notes: Vec<String> = [excluded, unwanted, crashes, message].into_iter().flatten().collect();
        vec![
            (index + 1).to_string(),
            row.run.to_string(),
            row.model.clone(),
            row.spec.train.epochs.to_string(),
            row.spec.train.lr.to_string(),
            row.spec.seed.to_string(),
            row.state.word().to_owned(),
            row.result.as_ref().map_or(String::new(), |result| format!("{:.4}", result.heldout_loss)),
            hours(row.device_seconds),
            notes.join("; "),
        ]
    };
    Part::Table(header.map(str::to_owned).to_vec(), rows.iter().enumerate().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_the_first_comment() {
        let source =
            "#:schema ./sweep.schema.json\n\n# Do they match?\n#   At equal compute.\nname = \"x\"\n# not this\n";
        assert_eq!(question(source).as_deref(), Some("Do they match? At equal compute."));
        assert_eq!(question("name = \"x\"\n# later"), None);
    }
}
