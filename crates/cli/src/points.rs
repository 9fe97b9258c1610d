//! Points for fits and figures: from a sweep in the database, or from a CSV file of any trainer.

use std::collections::BTreeMap;
use std::path::Path;

use fit::Excluded;
use spec::run::RunId;
use spec::state::RunState;
use spec::suggestion;
use store::RunRow;

use crate::args::{Columns, Compute, Stage};
use crate::command::table::count;
use crate::exit::Failure;
use crate::samples::Verdict;
use crate::transfer;

/// One run as fits and figures see it.
#[derive(Clone, Debug)]
pub(crate) struct RunPoint {
    /// Data row of the file, or of `scalelaw export csv`; from 1.
    pub(crate) row: usize,
    pub(crate) run: Option<RunId>,
    pub(crate) model: String,
    /// What kind of network the model is, such as ViT; empty where that is not known.
    pub(crate) family: String,
    pub(crate) parameters: Option<f64>,
    pub(crate) epochs: Option<f64>,
    /// Samples seen in training, repeats counted.
    pub(crate) samples: Option<f64>,
    pub(crate) lr: Option<f64>,
    pub(crate) seed: Option<u64>,
    /// Not a number where the run diverged and the compute is one of finished runs only.
    pub(crate) compute: f64,
    /// None: diverged.
    pub(crate) loss: Option<f64>,
    /// Whether its epochs are known to have seen each example exactly once; of a file that is taken for granted.
    pub(crate) verified: bool,
}

/// What a fit or a figure is made from.
#[derive(Clone, Debug)]
pub(crate) struct Points {
    pub(crate) runs: Vec<RunPoint>,
    /// Runs of the sweep that are no points, and why.
    pub(crate) left_out: Vec<Excluded>,
    pub(crate) rates: Rates,
    /// What `compute` and `loss` are, in words, with their units.
    pub(crate) axes: Axes,
}

/// What the numbers of points are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Axes {
    pub(crate) compute: String,
    pub(crate) loss: String,
}

impl Axes {
    pub(crate) fn of_sweep(compute: Compute, stage: Stage) -> Axes {
        let compute = match compute {
            Compute::Flops => "operations of the training (FLOPs)",
            Compute::DeviceHours => "billed device hours",
            Compute::TrainHours => "hours of training (steps times the median step time)",
        };
        let loss = match stage {
            Stage::Pretraining => "held-out loss in nats",
            Stage::Finetuning => "top-1 error in percent",
        };
        Axes { compute: compute.to_owned(), loss: loss.to_owned() }
    }

    fn of_columns(columns: &Columns) -> Axes {
        let column = |name: &str| format!("the column {name}");
        Axes { compute: column(&columns.compute_column), loss: column(&columns.loss_column) }
    }
}

impl Points {
    /// What a reader of a law must know of the runs behind it.
    pub(crate) fn warning(&self) -> Option<String> {
        let rows: Vec<String> =
            self.runs.iter().filter(|point| !point.verified).map(|point| point.row.to_string()).collect();
        let have = if rows.len() == 1 { "has" } else { "have" };
        let (runs, numbers) = (count(rows.len(), "run"), rows.join(", "));
        let text = format!(
            "{runs} {have} no valid digest of the samples (row {numbers}); `scalelaw verify samples` says what differs"
        );
        Some(text).filter(|_| !rows.is_empty())
    }

    /// A warning where rows of a file were written more than once.
    pub(crate) fn repeated(&self) -> Option<String> {
        let repeats = self.left_out.iter().filter(|one| one.reason.starts_with(REPEATED)).count();
        let are = if repeats == 1 { "repeats an earlier one" } else { "repeat earlier ones" };
        (repeats > 0).then(|| format!("{} {are}: counted once", count(repeats, "row")))
    }
}

/// What the learning rates are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rates {
    /// Tried, each with its loss; the optimum is to be found.
    Tried,
    /// The optimal ones, found elsewhere.
    Optimal,
}

/// What a law or figure must know of every point.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Compute and loss.
    ComputeAndLoss,
    /// Size, samples and loss; in the place of samples, compute will do.
    SizeAndLoss,
    /// Learning rate and loss.
    LrAndLoss,
    /// Learning rate and epochs; without a loss the rates are taken for optimal ones.
    LrAndEpochs,
}

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
    points
}

fn of_grid(rows: &[RunRow], compute: Compute) -> Points {
    let mut points = Points {
        runs: Vec::new(),
        left_out: Vec::new(),
        rates: Rates::Tried,
        axes: Axes::of_sweep(compute, Stage::Pretraining),
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

/// Takes out rows that say the same as an earlier one: the same run, written twice.
fn repeats(runs: &mut Vec<RunPoint>) -> Vec<Excluded> {
    let (mut first, mut repeats) = (BTreeMap::new(), Vec::new());
    runs.retain(|run| {
        let Some(loss) = run.loss else { return true };
        let numbers = [run.parameters, run.epochs, run.samples, run.lr, Some(run.compute), Some(loss)];
        let key = (run.model.clone(), numbers.map(|number| number.map(f64::to_bits)), run.seed);
        let at = *first.entry(key).or_insert(run.row);
        if at != run.row {
            repeats.push(Excluded { row: run.row, reason: format!("{REPEATED} {at}") });
        }
        at == run.row
    });
    repeats
}

/// Why a row that says the same as an earlier one is left out; the earlier one follows.
const REPEATED: &str = "the same as row";

/// Reads a CSV file with a header.
pub(crate) fn of_file(columns: &Columns, needs: Needs) -> Result<Option<Points>, Failure> {
    columns.points.as_ref().map(|path| read(path, columns, needs)).transpose()
}

/// Reads the CSV file at `path`.
pub(crate) fn read(path: &Path, columns: &Columns, needs: Needs) -> Result<Points, Failure> {
    let refuse = |what: String| Failure::usage(format!("{}: {what}", path.display()));
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path).map_err(|error| refuse(error.to_string()))?;
    let header = reader.headers().map_err(|error| refuse(error.to_string()))?.clone();
    let find = |name: &str| header.iter().position(|column| column == name);
    let must = |name: &str, flag: &str| {
        let there: Vec<&str> = header.iter().collect();
        let unlike = match &there[..] {
            [] => "; the file is empty".to_owned(),
            [one] if one.contains([';', '\t']) => "; columns are separated by commas here".to_owned(),
            _ => format!("; --{flag} says which it is{}", suggestion(name, &there)),
        };
        find(name).ok_or_else(|| refuse(format!("no column {name:?}{unlike}")))
    };
    let needed =
        |needed: bool, name: &str, flag: &str| if needed { must(name, flag).map(Some) } else { Ok(find(name)) };
    let compute = needed(needs == Needs::ComputeAndLoss, &columns.compute_column, "compute-column")?;
    let loss = needed(needs != Needs::LrAndEpochs, &columns.loss_column, "loss-column")?;
    let rates = matches!(needs, Needs::LrAndLoss | Needs::LrAndEpochs);
    let lr = needed(rates, &columns.lr_column, "lr-column")?;
    let wide = needs == Needs::SizeAndLoss;
    let parameters = needed(wide, &columns.params_column, "params-column")?;
    let samples = needed(wide && compute.is_none(), &columns.samples_column, "samples-column")?;
    let epochs = needed(needs == Needs::LrAndEpochs, &columns.epochs_column, "epochs-column")?;
    let (model, family, seed) = (find(&columns.model_column), find(&columns.family_column), find("seed"));
    let mut runs = Vec::new();
    for (index, record) in reader.records().enumerate() {
        let record = record.map_err(|error| refuse(error.to_string()))?;
        let row = index + 1;
        let number = |column: Option<usize>| match column.and_then(|at| record.get(at)) {
            None | Some("") => Ok(None),
            Some(text) => text.parse::<f64>().map(Some).map_err(|_| {
                let name = column.and_then(|at| header.get(at)).unwrap_or_default();
                refuse(format!("row {row}, column {name:?}: {text:?} is not a number"))
            }),
        };
        runs.push(RunPoint {
            row,
            run: None,
            model: model.and_then(|at| record.get(at)).unwrap_or("").to_owned(),
            family: family.and_then(|at| record.get(at)).unwrap_or("").to_owned(),
            parameters: number(parameters)?,
            epochs: number(epochs)?,
            samples: number(samples)?,
            lr: number(lr)?,
            seed: number(seed)?.map(|seed| seed as u64),
            compute: number(compute)?.unwrap_or(f64::NAN),
            loss: number(loss)?.filter(|loss| loss.is_finite()),
            verified: true,
        });
    }
    let rates = if loss.is_none() { Rates::Optimal } else { Rates::Tried };
    let left_out = repeats(&mut runs);
    Ok(Points { runs, left_out, rates, axes: Axes::of_columns(columns) })
}
