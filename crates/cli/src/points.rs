//! Points for fits and figures: from a sweep in the database, or from a file of any trainer.

mod names;
mod of_file;
mod of_sweep;
mod tables;

use std::collections::{BTreeMap, BTreeSet};

use fit::Excluded;
use spec::run::RunId;

use crate::args::{Compute, Stage};
use crate::command::table::count;

pub(crate) use of_file::{of_file, read};
pub(crate) use of_sweep::{compute_of, family, no_point, of_sweep, otherwise};

/// One run as fits and figures see it.
#[derive(Clone, Debug)]
pub(crate) struct RunPoint {
    /// Data row of the file, or of `scalelaw export`; from 1.
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
    /// Why hours say little of these runs.
    pub(crate) unsteady: Option<String>,
}

/// What the numbers of points are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Axes {
    pub(crate) compute: String,
    pub(crate) loss: String,
    /// Of a file, the name of the column with the compute.
    pub(crate) compute_column: Option<String>,
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
        Axes { compute: compute.to_owned(), loss: loss.to_owned(), compute_column: None }
    }

    /// Of a file, by the names of its columns; none where it has no such column.
    fn of_file(compute: Option<String>, loss: Option<&str>) -> Axes {
        let column =
            |name: Option<&str>| name.map_or("not in the file".to_owned(), |name| format!("the column {name}"));
        Axes { compute: column(compute.as_deref()), loss: column(loss), compute_column: compute }
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

    /// A warning where families that are trained in different ways are taken together.
    fn mixed(&self) -> Option<String> {
        let families: BTreeSet<&str> =
            self.runs.iter().map(|run| run.family.as_str()).filter(|family| !family.is_empty()).collect();
        let named = families.iter().copied().collect::<Vec<_>>().join(" and ");
        (families.len() > 1).then(|| {
            format!(
                "{named} are taken together, with one law through both; figures and `scalelaw compare` tell them apart"
            )
        })
    }

    /// What every law over these points has to be read with.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = String> {
        [self.warning(), self.repeated(), self.mixed(), self.unsteady.clone()].into_iter().flatten()
    }

    /// A note for figures that show none of the runs that a person has excluded.
    pub(crate) fn excluded_note(&self) -> Option<String> {
        let excluded = self.left_out.iter().filter(|one| one.reason.starts_with("excluded")).count();
        (excluded > 0).then(|| format!("{} excluded by hand left out.", count(excluded, "run")))
    }

    /// A warning where rows of a file were written more than once.
    pub(crate) fn repeated(&self) -> Option<String> {
        let repeats = self.left_out.iter().filter(|one| one.reason.starts_with(REPEATED)).count();
        let are = if repeats == 1 { "repeats an earlier one" } else { "repeat earlier ones" };
        (repeats > 0).then(|| format!("{} {are}: counted once", count(repeats, "row")))
    }
}

/// Models that stand under one name in several families get the name of their family, too: laws know models by their names alone.
pub(crate) fn tell_apart(runs: &mut [RunPoint]) {
    let mut families: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for run in runs.iter() {
        families.entry(run.model.clone()).or_default().insert(run.family.clone());
    }
    for run in runs.iter_mut().filter(|run| families.get(&run.model).is_some_and(|families| families.len() > 1)) {
        run.model = format!("{} {}", run.family, run.model).trim().to_owned();
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

/// Why a row that says the same as an earlier one is left out; the earlier one follows.
const REPEATED: &str = "the same as row";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_of_several_families_are_told_apart() {
        let point = |(model, family): (&str, &str)| RunPoint {
            row: 1,
            run: None,
            model: model.to_owned(),
            family: family.to_owned(),
            parameters: None,
            epochs: None,
            samples: None,
            lr: None,
            seed: None,
            compute: 1.0,
            loss: None,
            verified: true,
        };
        let told = |all: &[(&str, &str)]| {
            let mut runs: Vec<RunPoint> = all.iter().copied().map(point).collect();
            tell_apart(&mut runs);
            runs.into_iter().map(|run| run.model).collect::<Vec<_>>()
        };
        assert_eq!(told(&[("S", "ViT"), ("S", "NFNet"), ("M", "ViT"), ("M", "ViT")]), ["ViT S", "NFNet S", "M", "M"]);
        assert_eq!(told(&[("S", ""), ("S", "ViT")]), ["S", "ViT S"]);
        assert_eq!(told(&[("", "ViT"), ("", "NFNet")]), ["ViT", "NFNet"], "without names, families are all there is");
    }
}
