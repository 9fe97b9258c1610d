//! The second stage of a plan: which runs start from the weights of which.

use std::collections::BTreeMap;

use super::settings::{Settings, Stage};
use super::{
    DatasetFacts, Plan, PlannedRun, Price, RunsToFollow, Skipped, WaitingRuns, batch_too_large, cell_label, data_spec,
    footprint,
};
use crate::cost::Speed;
use crate::document::Problem;
use crate::fields::Problems;
use crate::run::{RunId, RunSpec};
use crate::sweep::{Pick, Sweep};

/// What a run has come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// Its held-out loss.
    Loss(f64),
    /// It diverged and has left no weights.
    Diverged,
    /// It failed for good or was cancelled. Who runs the sweep again may get its result after all.
    GivenUp,
}

/// What the runs that have ended have come to.
pub type Outcomes = BTreeMap<RunId, Outcome>;

impl Plan {
    /// Adds the fine-tuning of `sweep` to the plan of its grid: the runs whose weights to start from are known by `outcomes`, and
    /// how many will follow. Does nothing where the sweep has no such stage. `facts` are of the data of this stage.
    ///
    /// # Errors
    /// Says what cannot be, such as a data set of other channels.
    pub fn add_finetuning(
        &mut self,
        sweep: &Sweep,
        facts: &DatasetFacts,
        outcomes: &Outcomes,
    ) -> Result<(), Vec<Problem>> {
        let Some(finetune) = &sweep.finetune else { return Ok(()) };
        let mut problems = Problems::default();
        let table = finetune.data.as_ref().unwrap_or(&sweep.data);
        let data = data_spec(table, facts, &mut problems);
        let speed = Speed::of(&sweep.resources);
        if let Some(message) = batch_too_large("finetune.train", finetune.train.batch, &data) {
            problems.add(finetune.train.place, message);
        }
        if facts.multi_label && finetune.train.label_smoothing > 0.0 {
            problems.add(finetune.train.place, super::smoothing_and_several("finetune.train"));
        }
        let grid = std::mem::take(&mut self.runs);
        let channels = grid.first().map_or(data.channels, |run| run.spec.data.channels);
        if data.channels != channels {
            let message = format!(
                "finetune.data: pictures of {} channels, but the networks were pre-trained on pictures of {channels}",
                data.channels
            );
            problems.add(finetune.place, message);
        }
        let mut groups: BTreeMap<(&str, u64), Vec<&PlannedRun>> = BTreeMap::new();
        for run in grid.iter().filter(|run| !run.repeat) {
            groups.entry((&run.model, run.spec.train.epochs.to_bits())).or_default().push(run);
        }
        let searched = self.to_follow.iter().filter(|one| one.at_most > 0);
        let searched: BTreeMap<(&str, u64), &RunsToFollow> =
            searched.map(|one| ((one.model.as_str(), one.epochs.to_bits()), one)).collect();
        let mut added = Vec::new();
        for model in &sweep.models {
            let Some(network) = footprint(model, &data, &table.path, &mut problems) else { continue };
            let settings = Settings::of_finetuning(finetune, model);
            let trainer = sweep.trainer.as_ref().map(|trainer| trainer.for_model(&model.name));
            let stage = Stage {
                data: &data,
                train: &finetune.train,
                epochs: finetune.epochs,
                resources: &sweep.resources,
                trainer: trainer.as_ref(),
            };
            let from = |parent: Option<&PlannedRun>, lr: f64| RunSpec {
                pretrained: parent.map(|parent| parent.id),
                ..settings.run(&stage, &model.spec, lr, parent.map_or(0, |parent| parent.spec.seed))
            };
            let price = Price::of(&network, &from(None, 1.0), speed);
            for epochs in &sweep.epochs {
                let at = (model.name.as_str(), epochs.to_bits());
                let group = groups.get(&at).map_or(&[][..], Vec::as_slice);
                let open = searched.get(&at).map(|open| Open {
                    at_least: open.at_least,
                    seeds: Settings::of_cells(sweep, model, *epochs).seeds.len(),
                });
                let picked = pick(finetune.from, group, open, outcomes);
                for (parent, lr) in
                    picked.parents.iter().flat_map(|parent| settings.lr.iter().map(move |lr| (parent, lr)))
                {
                    let spec = from(Some(parent), *lr);
                    let (model, cell) = (model.name.clone(), spec.cell());
                    let id = spec.id_in(cell);
                    added.push(PlannedRun { model, id, cell, spec, price, trunk: None, repeat: false });
                }
                if picked.waiting > 0 {
                    let runs = picked.waiting * settings.lr.len();
                    self.waiting.push(WaitingRuns {
                        model: model.name.clone(),
                        pretraining_epochs: *epochs,
                        runs,
                        price,
                    });
                }
                self.skipped.extend(picked.without_weights.iter().map(|run| Skipped {
                    cell: format!("fine-tuning of {}", cell_label(&model.name, *epochs, run.spec.train.lr)),
                    reason: "its pre-training diverged".to_owned(),
                }));
            }
        }
        added.sort_by(|a, b| a.price.seconds.total_cmp(&b.price.seconds));
        self.runs = grid;
        self.runs.extend(added);
        problems.or(())
    }
}

/// Which runs of one model and epoch budget are started from.
#[derive(Debug, Default, PartialEq)]
struct Picked<'a> {
    parents: Vec<&'a PlannedRun>,
    /// How many more will be.
    waiting: usize,
    /// Runs that would be meant, had they not diverged.
    without_weights: Vec<&'a PlannedRun>,
}

/// A search of the learning rate that is not over.
struct Open {
    /// Runs that it will add to those of its group at least.
    at_least: usize,
    /// Runs of one learning rate.
    seeds: usize,
}

/// Picks from the runs in `group`.
fn pick<'a>(from: Pick, group: &[&'a PlannedRun], search: Option<Open>, outcomes: &Outcomes) -> Picked<'a> {
    let mut picked = Picked::default();
    // One that was given up is waited for: nobody knows what it would have come to.
    let outcome = |run: &PlannedRun| outcomes.get(&run.id).filter(|outcome| **outcome != Outcome::GivenUp);
    match from {
        Pick::Each => {
            picked.waiting = search.map_or(0, |open| open.at_least);
            for run in group {
                match outcome(run) {
                    Some(Outcome::Loss(_)) => picked.parents.push(run),
                    Some(Outcome::Diverged) => picked.without_weights.push(run),
                    _ => picked.waiting += 1,
                }
            }
        }
        Pick::Best => {
            let mut cells: BTreeMap<u64, Vec<&PlannedRun>> = BTreeMap::new();
            for run in group {
                cells.entry(run.spec.train.lr.to_bits()).or_default().push(run);
            }
            if let Some(open) = search {
                picked.waiting = open.seeds;
                return picked;
            }
            if group.iter().any(|run| outcome(run).is_none()) {
                picked.waiting = cells.values().map(Vec::len).max().unwrap_or(0);
                return picked;
            }
            // The mean over seeds, of the cells all of whose seeds have a loss.
            let mean = |runs: &Vec<&PlannedRun>| {
                let losses = runs.iter().map(|run| match outcome(run) {
                    Some(Outcome::Loss(loss)) => Some(*loss),
                    _ => None,
                });
                Some(losses.collect::<Option<Vec<f64>>>()?.iter().sum::<f64>() / runs.len() as f64)
            };
            let rated = cells.values().filter_map(|runs| Some((mean(runs)?, runs)));
            match rated.min_by(|a, b| a.0.total_cmp(&b.0)) {
                Some((_, best)) => picked.parents.extend(best),
                None => picked.without_weights.extend(group),
            }
        }
    }
    picked
}
