//! `scalelaw plot`: figures as SVG, PNG and PDF, with a CSV of every number drawn and a JSON beside each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;
use spec::run::RunId;
use store::{RunRow, Store, SweepRow};

use super::compare;
use crate::args::{Figure, Plot, Stage};
use crate::drawing::{Drawing, OfSweep};
use crate::exit::{Failure, NO_FIT, SOME_FAILED, print, say};
use crate::figure_file::{self, Drawn};
use crate::place::Place;
use crate::plot_command::{DrawingCommand, as_typed, drawing_command};
use crate::samples::{self, Verdict};

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
    let mut written: Vec<PathBuf> = Vec::new();
    for figure in &drawn {
        written.extend(figure.save(&folder, options.pdf)?);
    }
    place.print_files(&written);
    Ok(0)
}

/// Draws a figure anew, in memory, and compares what it is drawn from.
async fn check(place: &Place, path: &Path) -> Result<u8, Failure> {
    let before = figure_file::read(path)?;
    let unknown =
        |_| Failure::usage(format!("{}: its command draws no figure: {}", path.display(), before.command.join(" ")));
    let drawn = match drawing_command(&before.command).map_err(unknown)? {
        DrawingCommand::Plot(options) => Box::pin(draw(place, &options)).await?.0,
        DrawingCommand::Compare(options) => compare::draw(place, &options).await?,
    };
    let now = drawn.iter().find(|figure| figure.name == before.figure).map(|figure| figure.data_hash.clone());
    let moved = now.as_ref() != Some(&before.data_hash);
    if place.json {
        let answer =
            json!({"schema_version": 1, "figure": before.figure, "moved": moved, "was": before.data_hash, "is": now});
        print(&answer.to_string());
    } else if moved {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let again = as_typed(&before.command, folder);
        say(&format!(
            "{}: the data have changed since it was drawn; draw it again: {}",
            before.figure,
            place.command(&again)
        ));
    } else {
        print(&format!("{}: drawn from the data as they are", before.figure));
    }
    Ok(if moved { SOME_FAILED } else { 0 })
}

/// All wanted figures that there are data for, and the folder for them.
async fn draw(place: &Place, options: &Plot) -> Result<(Vec<Drawn>, PathBuf), Failure> {
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
    let mut folder = PathBuf::from("reports");
    let drawn = if from_file {
        of_points(&Drawing { options, sweep: None })?
    } else {
        let store = place.read().await?;
        let sweep = place.choose(&store, options.chosen.sweep.as_deref()).await?;
        folder.push(&sweep.name);
        let rows = store.runs(sweep.sweep_id).await?;
        let verdicts = samples::verdicts(&store, &rows).await?;
        draw_sweep(&store, &sweep, &rows, &verdicts, options).await?
    };
    Ok((drawn, options.out.clone().unwrap_or(folder)))
}

/// All wanted figures of a sweep that was read; in the order of their names.
pub(crate) async fn draw_sweep(
    store: &Store,
    sweep: &SweepRow,
    rows: &[RunRow],
    verdicts: &BTreeMap<RunId, Verdict>,
    options: &Plot,
) -> Result<Vec<Drawn>, Failure> {
    let newest = store.newest_losses(sweep.sweep_id).await?;
    let drawing = Drawing { options, sweep: Some(OfSweep { name: &sweep.name, rows, verdicts, newest }) };
    let mut drawn = of_points(&drawing)?;
    if options.wants(Figure::Curves) {
        drawn.extend(drawing.curves(store, rows).await?);
    }
    if options.wants(Figure::Ledger) {
        drawn.extend(drawing.ledger(store, sweep.sweep_id).await?);
    }
    drawn.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(drawn)
}

/// The wanted figures that points are enough for.
fn of_points(drawing: &Drawing<'_>) -> Result<Vec<Drawn>, Failure> {
    let wanted = |figure| drawing.options.wants(figure);
    let mut drawn = Vec::new();
    if [Figure::Scaling, Figure::Residuals].into_iter().any(wanted) {
        drawn.extend(drawing.frontier(Stage::Pretraining, &wanted)?);
    }
    if wanted(Figure::Transfer) {
        drawn.extend(drawing.frontier(Stage::Finetuning, &wanted)?);
    }
    if wanted(Figure::OptimalLr) {
        drawn.extend(drawing.optimal_lr()?);
    }
    if wanted(Figure::Lr) {
        drawn.extend(drawing.rates()?);
    }
    if [Figure::Isoflop, Figure::SizeVsCompute, Figure::EpochsVsCompute].into_iter().any(wanted) {
        drawn.extend(drawing.isoflop(&wanted)?);
    }
    Ok(drawn)
}
