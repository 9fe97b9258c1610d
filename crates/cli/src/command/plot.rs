//! `scalelaw plot`: figures as SVG, PNG and PDF, with a CSV of every number drawn and a JSON beside each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Parser;
use clap::error::ErrorKind;
use fit::{Isoflop, Settings};
use report::Style;
use serde_json::{Value, json};
use spec::run::RunId;
use store::{RunRow, Store};

use crate::args::{Arguments, Command, Compute, Figure, How, Law, Look, Plot, Stage};
use crate::command::table::count;
use crate::exit::{Failure, NO_FIT, SOME_FAILED, print, say};
use crate::figure_file::{self, Drawn};
use crate::figures::{self, Words};
use crate::laws::{self, Answer};
use crate::place::Place;
use crate::points::{self, Needs, Points};
use crate::samples::{self, Verdict};
use crate::surfaces::{Cells, Fitted, cells, fit_wide};
use crate::{history, transfer, tuning};

pub(crate) async fn run(place: &Place, options: &Plot) -> Result<u8, Failure> {
    if let Some(path) = &options.check {
        return check(place, path).await;
    }
    let (drawn, folder) = draw(place, options).await?;
    if drawn.is_empty() {
        let what = if options.figure == Figure::Transfer { "no run of fine-tuning" } else { "no run" };
        say(&format!("scalelaw: nothing to draw: {what} has what this figure shows yet"));
        return Ok(NO_FIT);
    }
    let command: Vec<String> = std::env::args().skip(1).collect();
    let mut written: Vec<PathBuf> = Vec::new();
    for figure in &drawn {
        written.extend(figure.save(&folder, &command, options.pdf)?);
    }
    let paths: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
    print(&if place.json { json!({"schema_version": 1, "files": paths}).to_string() } else { paths.join("\n") });
    Ok(0)
}

/// The options of a `plot` command as it was typed, without the name of the program.
pub(crate) fn typed(command: &[String]) -> Result<Plot, clap::Error> {
    let words = ["scalelaw".to_owned()].into_iter().chain(command.iter().cloned());
    match Arguments::try_parse_from(words)?.command {
        Command::Plot(options) => Ok(options),
        _ => Err(clap::Error::raw(ErrorKind::InvalidSubcommand, "it draws no figure\n")),
    }
}

/// Draws a figure anew, in memory, and compares what it is drawn from.
async fn check(place: &Place, path: &Path) -> Result<u8, Failure> {
    let before = figure_file::read(path)?;
    let unknown =
        |_| Failure::usage(format!("{}: its command draws no figure: {}", path.display(), before.command.join(" ")));
    let options = typed(&before.command).map_err(unknown)?;
    let (drawn, _) = Box::pin(draw(place, &options)).await?;
    let now = drawn.iter().find(|figure| figure.name == before.figure).map(|figure| figure.data_hash.clone());
    let moved = now.as_ref() != Some(&before.data_hash);
    if place.json {
        let answer =
            json!({"schema_version": 1, "figure": before.figure, "moved": moved, "was": before.data_hash, "is": now});
        print(&answer.to_string());
    } else if moved {
        let again = before.command.join(" ");
        say(&format!("{}: the data have changed since it was drawn; draw it again: scalelaw {again}", before.figure));
    } else {
        print(&format!("{}: drawn from the data as they are", before.figure));
    }
    Ok(if moved { SOME_FAILED } else { 0 })
}

/// Where points come from.
struct Source<'a> {
    options: &'a Plot,
    rows: Vec<RunRow>,
    verdicts: BTreeMap<RunId, Verdict>,
}

impl Source<'_> {
    fn take(&self, needs: Needs, stage: Stage) -> Result<Points, Failure> {
        let points = points::of_file(&self.options.columns, needs)?;
        Ok(points.unwrap_or_else(|| points::of_sweep(&self.rows, &self.verdicts, self.options.compute, stage)))
    }
}

/// All wanted figures that there are data for, and the folder for them.
pub(crate) async fn draw(place: &Place, options: &Plot) -> Result<(Vec<Drawn>, PathBuf), Failure> {
    let wanted = |figure: Figure| options.figure == Figure::All || options.figure == figure;
    let from_file = options.columns.points.is_some();
    if options.overlay.is_some() && !matches!(options.figure, Figure::Scaling | Figure::Transfer) {
        return Err(Failure::usage(
            "say which figure --overlay is for: `scalelaw plot scaling` or `scalelaw plot transfer`",
        ));
    }
    if from_file && options.figure == Figure::All {
        return Err(Failure::usage(
            "say which figure the points are for: `scalelaw plot scaling`, `optimal-lr` or `transfer`",
        ));
    }
    if from_file && matches!(options.figure, Figure::Curves | Figure::Ledger) {
        return Err(Failure::usage("this figure is drawn from a sweep only: leave out --points"));
    }
    let mut source = Source { options, rows: Vec::new(), verdicts: BTreeMap::new() };
    let mut folder = options.out.clone().unwrap_or_else(|| PathBuf::from("reports"));
    let mut drawn = Vec::new();
    if !from_file {
        let store = place.read().await?;
        let sweep = place.choose(&store, options.chosen.sweep.as_deref()).await?;
        folder = options.out.clone().unwrap_or_else(|| Path::new("reports").join(&sweep.name));
        source.rows = store.runs(sweep.sweep_id).await?;
        source.verdicts = samples::verdicts(&store, &source.rows).await?;
        if wanted(Figure::Curves) {
            drawn.extend(draw_curves(options, &store, &source.rows).await?);
        }
        if wanted(Figure::Ledger) {
            drawn.extend(draw_ledger(options, &store, sweep.sweep_id).await?);
        }
    }
    for stage in [Stage::Pretraining, Stage::Finetuning] {
        let figure = if stage == Stage::Pretraining { Figure::Scaling } else { Figure::Transfer };
        if wanted(figure) {
            drawn.extend(draw_scaling(options, stage, &source.take(Needs::ComputeAndLoss, stage)?)?);
        }
    }
    if wanted(Figure::OptimalLr) {
        let needs = if from_file { Needs::LrAndEpochs } else { Needs::LrAndLoss };
        drawn.extend(draw_optimal_lr(options, &source.take(needs, Stage::Pretraining)?)?);
    }
    if wanted(Figure::Lr) {
        drawn.extend(draw_rates(options, &source.take(Needs::LrAndLoss, Stage::Pretraining)?)?);
    }
    if wanted(Figure::Residuals) {
        drawn.extend(draw_residuals(options, &source.take(Needs::ComputeAndLoss, Stage::Pretraining)?)?);
    }
    if [Figure::Isoflop, Figure::SizeVsCompute, Figure::EpochsVsCompute].into_iter().any(wanted) {
        let points = source.take(Needs::SizeAndLoss, Stage::Pretraining)?;
        drawn.extend(draw_isoflop(options, &points, &wanted)?);
    }
    drawn.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((drawn, folder))
}

fn style(options: &Plot) -> Style {
    match options.style {
        Look::Paper => Style::paper(),
        Look::Slides => Style::slides(),
        Look::Dark => Style::dark(),
    }
}

/// Whether the law surely falls: one that may as well rise says nothing, and its band would hide the points.
fn falls(law: &fit::LawFit) -> bool {
    law.params.get("alpha").is_some_and(|alpha| alpha.low > 0.0)
}

/// The axis of the compute, and what the names of files end in where it is not the usual one.
fn compute_axis(options: &Plot, points: &Points) -> (String, &'static str) {
    let axis = match options.compute {
        _ if options.columns.points.is_some() => {
            points.axes.compute_column.clone().unwrap_or_else(|| "compute".to_owned())
        }
        Compute::Flops => "Training compute (FLOPs)".to_owned(),
        Compute::DeviceHours => "Training compute (billed device hours)".to_owned(),
        Compute::TrainHours => "Training compute (device hours)".to_owned(),
    };
    let ending = match options.compute {
        Compute::TrainHours => "",
        Compute::Flops => "-flops",
        Compute::DeviceHours => "-device-hours",
    };
    (axis, ending)
}

/// The law of the frontier where it surely falls, and what is said of it beside the figure.
fn frontier_law(points: &Points) -> (Option<Box<fit::LawFit>>, Value) {
    match laws::fit_curve(Law::Frontier, &points.runs, &Settings::default()) {
        Answer::Curve(_, fitted, _) if falls(&fitted) => {
            let value = json!(&*fitted);
            (Some(fitted), value)
        }
        Answer::Curve(_, fitted, _) => {
            say("drawn without a law: by its interval the slope may be 0; more runs would narrow it");
            (None, json!({"not_drawn": "by its interval the slope may be 0", "fit": &*fitted}))
        }
        Answer::Refused(refusal) => {
            say(&format!("drawn without a law: {refusal}; to mend it: {}", refusal.mend()));
            (None, json!({"refused": refusal.to_string(), "mend": refusal.mend()}))
        }
        _ => (None, Value::Null),
    }
}

/// Held-out loss of the grid, or top-1 error of fine-tuning, against the compute of pre-training.
fn draw_scaling(options: &Plot, stage: Stage, points: &Points) -> Result<Option<Drawn>, Failure> {
    if points.runs.iter().all(|point| point.loss.is_none()) {
        return Ok(None);
    }
    let (law, fit) = frontier_law(points);
    let (axis, ending) = compute_axis(options, points);
    let (name, axis, loss) = match stage {
        Stage::Pretraining => ("scaling", axis, "Held-out loss (nats)"),
        Stage::Finetuning => ("transfer", axis.replace("Training compute", "Pre-training compute"), "Top-1 error (%)"),
    };
    let overlay = options.overlay.as_ref().map(|path| points::read(path, &options.columns, Needs::ComputeAndLoss));
    let mut figure = figures::scaling(&points.runs, law.as_deref(), words(options, &axis, loss));
    for (what, left_out) in
        [("not finished", "not finished yet and left out"), (transfer::FLAWLESS, "left out for an error of 0")]
    {
        let runs = points.left_out.iter().filter(|one| one.reason.starts_with(what)).count();
        if runs > 0 {
            figure.notes.push(format!("{} {left_out}.", count(runs, "run")));
        }
    }
    let mut data_hash = laws::points_hash(&points.runs);
    if let Some(points) = overlay.transpose()? {
        figure.references = figures::references(&points.runs);
        data_hash = figure_file::hash(&format!("{data_hash} {}", laws::points_hash(&points.runs)));
        let drawn: usize = figure.references.iter().map(|reference| reference.points.len()).sum();
        if drawn < points.runs.len() || drawn == 0 {
            let of = points.runs.len();
            say(&format!("--overlay: {drawn} of {of} rows drawn; the others have no compute and loss above 0"));
        }
    }
    let svg = figure.svg(&style(options))?;
    Ok(Some(Drawn { name: format!("{name}{ending}"), svg, csv: figure.csv(), data_hash, fit }))
}

fn draw_optimal_lr(options: &Plot, points: &Points) -> Result<Option<Drawn>, Failure> {
    let figure = figures::optimal_lr(points, words(options, "Training epochs", "Optimal learning rate"));
    if figure.series.iter().all(|series| series.points.is_empty()) {
        return Ok(None);
    }
    let data_hash = laws::points_hash(&points.runs);
    let svg = figure.svg(&style(options))?;
    Ok(Some(Drawn { name: "optimal-lr".to_owned(), svg, csv: figure.csv(), data_hash, fit: Value::Null }))
}

fn draw_rates(options: &Plot, points: &Points) -> Result<Option<Drawn>, Failure> {
    let figure = tuning::rates(&points.runs, words(options, "Learning rate", "Held-out loss (nats)"));
    if figure.panels.is_empty() {
        return Ok(None);
    }
    let data_hash = laws::points_hash(&points.runs);
    let svg = figure.svg(&style(options))?;
    Ok(Some(Drawn { name: "lr".to_owned(), svg, csv: figure.csv(), data_hash, fit: Value::Null }))
}

fn draw_residuals(options: &Plot, points: &Points) -> Result<Option<Drawn>, Failure> {
    // Of all figures, `scaling` says why there is no law.
    if points.runs.iter().all(|point| point.loss.is_none()) {
        return Ok(None);
    }
    let Answer::Curve(_, law, _) = laws::fit_curve(Law::Frontier, &points.runs, &Settings::default()) else {
        if options.figure == Figure::Residuals {
            frontier_law(points);
        }
        return Ok(None);
    };
    let (axis, ending) = compute_axis(options, points);
    let figure = tuning::residuals(&points.runs, &law, words(options, &axis, "Loss above the law (%)"));
    let (svg, data_hash) = (figure.svg(&style(options))?, laws::points_hash(&points.runs));
    Ok(Some(Drawn { name: format!("residuals{ending}"), svg, csv: figure.csv(), data_hash, fit: json!(&*law) }))
}

/// The three figures of groups of equal compute; a sweep without such groups has none of them.
fn draw_isoflop(options: &Plot, points: &Points, wanted: &dyn Fn(Figure) -> bool) -> Result<Vec<Drawn>, Failure> {
    let how = How { seed: 0, resamples: 2000, huber_delta: None, intervals: None, end_weight: 0.0, flops_per: None };
    let fitted = match fit_wide(Law::Isoflop, &points.runs, &how, None) {
        Ok(wide) => wide.law,
        Err(refusal) => {
            if options.figure != Figure::All {
                say(&format!("no groups of equal compute: {refusal}; to mend it: {}", refusal.mend()));
            }
            return Ok(Vec::new());
        }
    };
    let Fitted::Isoflop(fitted) = fitted else { return Ok(Vec::new()) };
    let cells = cells(&points.runs, &how);
    let data_hash = laws::points_hash(&points.runs);
    let (axis, ending) = compute_axis(options, points);
    let mut drawn = Vec::new();
    for (figure, name) in [
        (Figure::Isoflop, "isoflop"),
        (Figure::SizeVsCompute, "size-vs-compute"),
        (Figure::EpochsVsCompute, "epochs-vs-compute"),
    ] {
        let no_epochs = figure == Figure::EpochsVsCompute && points.runs.iter().any(|point| point.epochs.is_none());
        if no_epochs && options.figure == figure {
            say("these points have no epochs: name their column with --epochs-column");
        }
        if wanted(figure) && !no_epochs {
            let (svg, csv) = isoflop_figure(options, figure, &cells, &fitted, &axis)?;
            let (name, data_hash) = (format!("{name}{ending}"), data_hash.clone());
            drawn.push(Drawn { name, svg, csv, data_hash, fit: json!(&*fitted) });
        }
    }
    Ok(drawn)
}

fn isoflop_figure(
    options: &Plot,
    figure: Figure,
    cells: &Cells,
    fitted: &Isoflop,
    axis: &str,
) -> Result<(String, String), Failure> {
    let look = style(options);
    if figure == Figure::Isoflop {
        let unit = match options.compute {
            _ if options.columns.points.is_some() => "",
            Compute::Flops => " FLOPs",
            Compute::DeviceHours | Compute::TrainHours => " h",
        };
        let figure = tuning::isoflop(cells, fitted, unit, words(options, "Parameters", "Held-out loss (nats)"));
        return Ok((figure.svg(&look)?, figure.csv()));
    }
    let (unique, label) = match figure {
        Figure::EpochsVsCompute => (Some(cells.unique()), "Best number of epochs"),
        _ => (None, "Best model size (parameters)"),
    };
    let figure = tuning::optimum(fitted, unique, words(options, axis, label));
    Ok((figure.svg(&look)?, figure.csv()))
}

async fn draw_curves(options: &Plot, store: &Store, rows: &[RunRow]) -> Result<Option<Drawn>, Failure> {
    let mut runs = Vec::new();
    for row in history::chosen(rows) {
        runs.push((row, store.loss_curve(row.run).await?));
    }
    let figure = history::curves(&runs, words(options, "Samples seen", "Loss (nats)"));
    if figure.series.iter().all(|curve| curve.training.is_empty() && curve.held_out.is_empty()) {
        return Ok(None);
    }
    let csv = figure.csv();
    let (svg, data_hash) = (figure.svg(&style(options))?, figure_file::hash(&csv));
    Ok(Some(Drawn { name: "curves".to_owned(), svg, csv, data_hash, fit: Value::Null }))
}

async fn draw_ledger(options: &Plot, store: &Store, sweep: i64) -> Result<Option<Drawn>, Failure> {
    let spells = store.spells(sweep).await?;
    if spells.is_empty() {
        return Ok(None);
    }
    let figure = history::ledger(&spells, words(options, "Day (UTC)", "Device hours"));
    let csv = figure.csv();
    let (svg, data_hash) = (figure.svg(&style(options))?, figure_file::hash(&csv));
    Ok(Some(Drawn { name: "ledger".to_owned(), svg, csv, data_hash, fit: Value::Null }))
}

fn words(options: &Plot, x_label: &str, y_label: &str) -> Words {
    Words {
        title: options.title.clone(),
        x_label: options.x_label.clone().unwrap_or_else(|| x_label.to_owned()),
        y_label: options.y_label.clone().unwrap_or_else(|| y_label.to_owned()),
    }
}
