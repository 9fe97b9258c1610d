//! Points of a sweep in the database.

use std::collections::BTreeMap;

use fit::Excluded;
use spec::run::RunId;
use spec::state::RunState;
use store::RunRow;

use super::{Axes, Points, Rates, RunPoint};
use crate::args::{Compute, Stage};
use crate::samples::Verdict;
use crate::transfer;

/// The finished runs of one stage of a sweep that its file still asks for.
pub(crate) fn of_sweep(rows: &[RunRow], verdicts: &BTreeMap<RunId, Verdict>, compute: Compute, stage: Stage) -> Points {
    let mut points = match stage {
        Stage::Pretraining => of_grid(rows, compute),
        Stage::Finetuning => transfer::of_sweep(rows, compute),
    };
    let right = |run: RunId| verdicts.get(&run).is_none_or(|verdict| verdict.wrong.is_none());
    let parents: BTreeMap<RunId, RunId> =
        rows.iter().filter_map(|row| row.spec.pretrained.map(|parent| (row.run, parent))).collect();
    for point in &mut points.runs {
        let parent = |run| parents.get(&run).is_none_or(|parent| right(*parent));
        point.verified = point.run.is_none_or(|run| right(run) && parent(run));
    }
    if compute == Compute::TrainHours {
        points.unsteady = unsteady(rows);
    }
    points
}

/// Step times of one model that differ by more than this were not measured on a quiet machine.
const STEADY: f64 = 2.0;

/// A warning where runs of one model and batch took very different times for a step.
fn unsteady(rows: &[RunRow]) -> Option<String> {
    let mut times: BTreeMap<(&str, u64), (f64, f64)> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.wanted && row.excluded.is_none() && row.spec.pretrained.is_none()) {
        if let Some(seconds) = row.result.as_ref().and_then(|result| result.step_seconds).filter(|time| *time > 0.0) {
            let (low, high) = times.entry((&row.model, row.spec.train.batch)).or_insert((seconds, seconds));
            (*low, *high) = (low.min(seconds), high.max(seconds));
        }
    }
    let ratio = |(low, high): &(f64, f64)| high / low;
    let ((model, _), worst) = times.iter().max_by(|a, b| ratio(a.1).total_cmp(&ratio(b.1)))?;
    (ratio(worst) > STEADY).then(|| {
        format!(
            "step times of {model} differ by up to {:.1} times between its runs, as on a busy machine, so hours say little: --compute flops does not depend on them",
            ratio(worst)
        )
    })
}

fn of_grid(rows: &[RunRow], compute: Compute) -> Points {
    let mut points = Points {
        runs: Vec::new(),
        left_out: Vec::new(),
        rates: Rates::Tried,
        axes: Axes::of_sweep(compute, Stage::Pretraining),
        unsteady: None,
    };
    for (index, row) in rows.iter().enumerate().filter(|(_, row)| row.spec.pretrained.is_none()) {
        let number = index + 1;
        if let Some(reason) = no_point(row) {
            points.left_out.push(Excluded { row: number, reason });
        } else {
            points.runs.push(RunPoint {
                row: number,
                run: Some(row.run),
                model: row.model.clone(),
                family: family(row),
                parameters: Some(row.parameters as f64),
                epochs: Some(row.spec.train.epochs),
                samples: Some(row.spec.samples() as f64),
                lr: Some(row.spec.train.lr),
                seed: Some(row.spec.seed),
                compute: compute_of(row, compute),
                loss: row.result.as_ref().map(|result| result.heldout_loss),
                verified: true,
            });
        }
    }
    points
}

/// The family of a run's network, as papers write it.
pub(crate) fn family(row: &RunRow) -> String {
    match row.spec.model.family() {
        "nfnet" => "NFNet",
        "vit" => "ViT",
        other => other,
    }
    .to_owned()
}

/// The same runs of a sweep counted otherwise, with what is counted: other sizes of a model, or another compute.
pub(crate) fn otherwise(
    rows: &[RunRow],
    points: &Points,
    compute: Compute,
    of_sizes: bool,
) -> Vec<(String, Vec<RunPoint>)> {
    let with = |change: &dyn Fn(&mut RunPoint, &RunRow)| {
        let mut runs = points.runs.clone();
        for run in &mut runs {
            if let Some(row) = rows.get(run.row.wrapping_sub(1)) {
                change(run, row);
            }
        }
        runs
    };
    if of_sizes {
        return vec![
            (
                "sizes without the classifier".to_owned(),
                with(&|run, row| run.parameters = Some(row.parameters_without_head as f64)),
            ),
            ("sizes by operations".to_owned(), with(&|run, row| run.parameters = Some(row.macs as f64))),
        ];
    }
    [(Compute::Flops, "flops"), (Compute::DeviceHours, "device-hours"), (Compute::TrainHours, "train-hours")]
        .into_iter()
        .filter(|(other, _)| *other != compute)
        .map(|(other, name)| (format!("compute in {name}"), with(&|run, row| run.compute = compute_of(row, other))))
        .collect()
}

/// Why a run is no point.
pub(crate) fn no_point(row: &RunRow) -> Option<String> {
    if let Some(reason) = &row.excluded {
        return Some(format!("excluded: {reason}"));
    }
    match row.state {
        _ if !row.wanted => Some("no longer asked for by the sweep file".to_owned()),
        RunState::Completed | RunState::Diverged => None,
        state => Some(format!("not finished: {state}")),
    }
}

pub(crate) fn compute_of(row: &RunRow, compute: Compute) -> f64 {
    match compute {
        Compute::Flops => row.flops,
        Compute::DeviceHours => (row.device_seconds + row.shared_seconds) / 3600.0,
        // A diverged run has none.
        Compute::TrainHours => row.train_seconds().map_or(f64::NAN, |seconds| seconds / 3600.0),
    }
}
