//! `scalelaw plot`: figures as SVG and PNG, with a CSV of every number drawn beside each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fit::Settings;
use report::Style;

use crate::args::{Compute, Figure, Law, Plot, Stage};
use crate::command::table::count;
use crate::exit::{Failure, NO_FIT, print, say};
use crate::figures::{self, Words};
use crate::laws::{self, Answer};
use crate::place::Place;
use crate::points::{self, Needs, Points};
use crate::{samples, transfer, write};

/// Pixels of a PNG per CSS pixel: 300 dots per inch at the printed size.
const PNG_SCALE: f32 = 3.125;

pub(crate) async fn run(place: &Place, options: &Plot) -> Result<u8, Failure> {
    let wanted = |figure: Figure| options.figure == Figure::All || options.figure == figure;
    let from_file = options.columns.points.is_some();
    if options.overlay.is_some() && !matches!(options.figure, Figure::Scaling | Figure::Transfer) {
        return Err(Failure::usage(
            "say which figure --overlay is for: `scalelaw plot scaling` or `scalelaw plot transfer`",
        ));
    }
    let (rows, verdicts, folder) = if from_file {
        if options.figure == Figure::All {
            return Err(Failure::usage(
                "say which figure the points are for: `scalelaw plot scaling`, `optimal-lr` or `transfer`",
            ));
        }
        (Vec::new(), BTreeMap::new(), options.out.clone().unwrap_or_else(|| PathBuf::from("reports")))
    } else {
        let store = place.read().await?;
        let sweep = place.choose(&store, options.chosen.sweep.as_deref()).await?;
        let folder = options.out.clone().unwrap_or_else(|| Path::new("reports").join(&sweep.name));
        let rows = store.runs(sweep.sweep_id).await?;
        let verdicts = samples::verdicts(&store, &rows).await?;
        (rows, verdicts, folder)
    };
    let take = |needs, stage| {
        let points = points::of_file(&options.columns, needs)?;
        Ok::<Points, Failure>(points.unwrap_or_else(|| points::of_sweep(&rows, &verdicts, options.compute, stage)))
    };
    let mut written = Vec::new();
    for stage in [Stage::Pretraining, Stage::Finetuning] {
        let figure = if stage == Stage::Pretraining { Figure::Scaling } else { Figure::Transfer };
        if wanted(figure) {
            written.extend(draw_scaling(options, stage, &take(Needs::ComputeAndLoss, stage)?, &folder)?);
        }
    }
    if wanted(Figure::OptimalLr) {
        let needs = if from_file { Needs::LrAndEpochs } else { Needs::LrAndLoss };
        written.extend(draw_optimal_lr(options, &take(needs, Stage::Pretraining)?, &folder)?);
    }
    if written.is_empty() {
        let what = if options.figure == Figure::Transfer { "no run of fine-tuning" } else { "no run" };
        say(&format!("scalelaw: nothing to draw: {what} has a held-out loss yet"));
        return Ok(NO_FIT);
    }
    let paths: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
    print(&if place.json {
        serde_json::json!({"schema_version": 1, "files": paths}).to_string()
    } else {
        paths.join("\n")
    });
    Ok(0)
}

/// Whether the law surely falls: one that may as well rise says nothing, and its band would hide the points.
fn falls(law: &fit::LawFit) -> bool {
    law.params.get("alpha").is_some_and(|alpha| alpha.low > 0.0)
}

/// Held-out loss of the grid, or top-1 error of fine-tuning, against the compute of pre-training.
fn draw_scaling(options: &Plot, stage: Stage, points: &Points, folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    if points.runs.iter().all(|point| point.loss.is_none()) {
        return Ok(Vec::new());
    }
    let answer = laws::fit_curve(Law::Frontier, &points.runs, &Settings::default());
    let law = match &answer {
        Answer::Curve(_, fitted, _) if falls(fitted) => Some(&**fitted),
        Answer::Curve(..) => {
            say("drawn without a law: by its interval the slope may be 0; more runs would narrow it");
            None
        }
        Answer::Refused(refusal) => {
            say(&format!("drawn without a law: {refusal}; to mend it: {}", refusal.mend()));
            None
        }
        Answer::Rates(..) | Answer::Wide(_) => None,
    };
    let axis = match options.compute {
        _ if options.columns.points.is_some() => options.columns.compute_column.clone(),
        Compute::Flops => "Training compute (FLOPs)".to_owned(),
        Compute::DeviceHours => "Training compute (billed device hours)".to_owned(),
        Compute::TrainHours => "Training compute (device hours)".to_owned(),
    };
    let (name, axis, loss) = match stage {
        Stage::Pretraining => ("scaling", axis, "Held-out loss (nats)"),
        Stage::Finetuning => ("transfer", axis.replace("Training compute", "Pre-training compute"), "Top-1 error (%)"),
    };
    let overlay = options.overlay.as_ref().map(|path| points::read(path, &options.columns, Needs::ComputeAndLoss));
    let mut figure = figures::scaling(&points.runs, law, words(options, &axis, loss));
    for (what, left_out) in
        [("not finished", "not finished yet and left out"), (transfer::FLAWLESS, "left out for an error of 0")]
    {
        let runs = points.left_out.iter().filter(|one| one.reason.starts_with(what)).count();
        if runs > 0 {
            figure.notes.push(format!("{} {left_out}.", count(runs, "run")));
        }
    }
    if let Some(points) = overlay.transpose()? {
        figure.references = figures::references(&points.runs);
        let drawn: usize = figure.references.iter().map(|reference| reference.points.len()).sum();
        if drawn < points.runs.len() || drawn == 0 {
            let of = points.runs.len();
            say(&format!("--overlay: {drawn} of {of} rows drawn; the others have no compute and loss above 0"));
        }
    }
    let unit = match options.compute {
        Compute::TrainHours => "",
        Compute::Flops => "-flops",
        Compute::DeviceHours => "-device-hours",
    };
    save(folder, &format!("{name}{unit}"), &figure.svg(&Style::paper())?, &figure.csv())
}

fn draw_optimal_lr(options: &Plot, points: &Points, folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let figure = figures::optimal_lr(points, words(options, "Training epochs", "Optimal learning rate"));
    if figure.series.iter().all(|series| series.points.is_empty()) {
        return Ok(Vec::new());
    }
    save(folder, "optimal-lr", &figure.svg(&Style::paper())?, &figure.csv())
}

fn words(options: &Plot, x_label: &str, y_label: &str) -> Words {
    Words {
        title: options.title.clone(),
        x_label: options.x_label.clone().unwrap_or_else(|| x_label.to_owned()),
        y_label: options.y_label.clone().unwrap_or_else(|| y_label.to_owned()),
    }
}

fn save(folder: &Path, name: &str, svg: &str, csv: &str) -> Result<Vec<PathBuf>, Failure> {
    let png = report::png(svg, PNG_SCALE)?;
    let files = [("svg", svg.as_bytes()), ("png", &png), ("csv", csv.as_bytes())];
    let mut paths = Vec::new();
    for (ending, content) in files {
        let path = folder.join(format!("{name}.{ending}"));
        write::atomically(&path, content)?;
        paths.push(path);
    }
    Ok(paths)
}
