//! From a sweep to its runs: complete, priced, and with everything that was left out.

mod finetune;
mod group;
mod settings;

pub use finetune::{Outcome, Outcomes};

use crate::cost::{Footprint, Speed};
use crate::document::Problem;
use crate::fields::Problems;
use crate::run::{CellKey, DataSpec, PerChannel, RunId, RunSpec, short};
use crate::search::Standing;
use crate::sweep::{Data, Model, Noise, Strategy, Sweep};
use crate::trunk::{Trunk, trunks};
use group::Group;
use settings::Settings;

/// What opening the data set tells, or its description.
#[derive(Clone, Debug, PartialEq)]
pub struct DatasetFacts {
    /// Fingerprint of the files.
    pub fingerprint: String,
    /// Training examples there are.
    pub train_examples: u64,
    /// Held-out examples there are.
    pub heldout_examples: u64,
    /// Channels of a picture.
    pub channels: u32,
    /// Height and width of a picture; `None` where pictures differ in size.
    pub resolution: Option<u32>,
    /// Number of classes.
    pub classes: u32,
    /// Mean of the training pixels, from 0 to 1.
    pub mean: PerChannel,
    /// Standard deviation of the training pixels.
    pub std: PerChannel,
    /// Training and held-out examples of each class; empty where that is not known.
    pub per_class: Vec<[u64; 2]>,
    /// An example has any number of classes.
    pub multi_label: bool,
}

/// All runs of a sweep that can be named by now, cheapest first, pre-training before fine-tuning.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The runs.
    pub runs: Vec<PlannedRun>,
    /// What the search of the learning rate will ask for besides.
    pub to_follow: Vec<RunsToFollow>,
    /// Fine-tuning that waits for a result of pre-training.
    pub waiting: Vec<WaitingRuns>,
    /// Cells that a skip rule leaves out, with the reason.
    pub skipped: Vec<Skipped>,
    /// Runs of the grid that come before all others, where the sweep asks for that: the cheapest one, and of those that take most
    /// memory the cheapest.
    pub canaries: Vec<RunId>,
}

/// A run with its price.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedRun {
    /// What figures call the model.
    pub model: String,
    /// Its identity.
    pub id: RunId,
    /// The identity of its cell.
    pub cell: CellKey,
    /// The run.
    pub spec: RunSpec,
    /// Its price, with nothing shared.
    pub price: Price,
    /// The run that it branches off, where the sweep shares trunks.
    pub trunk: Option<Trunk>,
    /// It repeats a cell with another seed, for the noise between seeds, and is not fine-tuned.
    pub repeat: bool,
}

impl Plan {
    /// The sum of `part` over what the search of the learning rate will ask for besides: at least, and at most.
    pub fn following(&self, part: impl Fn(&Price) -> f64) -> [f64; 2] {
        let sum = |runs: fn(&RunsToFollow) -> usize| {
            self.to_follow.iter().map(|one| (runs(one) + one.repeats) as f64 * part(&one.price)).sum()
        };
        [sum(|one| one.at_least), sum(|one| one.at_most)]
    }
}

impl PlannedRun {
    /// Share of its steps that are not another run's, too.
    pub fn own_share(&self) -> f64 {
        1.0 - self.trunk.map_or(0.0, |trunk| trunk.step as f64 / self.price.steps as f64)
    }
}

/// Runs of one model and budget that results will name.
#[derive(Clone, Debug, PartialEq)]
pub struct RunsToFollow {
    /// What figures call the model.
    pub model: String,
    /// Epoch budget.
    pub epochs: f64,
    /// How many the search will ask for at least.
    pub at_least: usize,
    /// How many it may ask for; 0 where it is over.
    pub at_most: usize,
    /// Repeats of the best learning rate with other seeds.
    pub repeats: usize,
    /// The price of each.
    pub price: Price,
}

/// Runs that will start from weights that are not there yet; which weights, and therefore which runs, is open.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitingRuns {
    /// What figures call the model.
    pub model: String,
    /// Epoch budget of the pre-training.
    pub pretraining_epochs: f64,
    /// How many there will be.
    pub runs: usize,
    /// The price of each.
    pub price: Price,
}

/// What a run costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// All parameters.
    pub parameters: u64,
    /// Parameters without the classifier.
    pub parameters_without_head: u64,
    /// Multiply-accumulates of one forward pass for one example.
    pub macs: u64,
    /// Floating-point operations of the training: 2 per multiply-accumulate, 3 forward passes per example.
    pub flops: f64,
    /// Examples seen.
    pub samples: u64,
    /// Optimiser steps.
    pub steps: u64,
    /// Estimated bytes.
    pub bytes: u64,
    /// Estimated seconds on one device.
    pub seconds: f64,
}

/// A cell that was left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Skipped {
    /// As in `F0, 0.25 epochs, lr 1.6`.
    pub cell: String,
    /// As the sweep file has it.
    pub reason: String,
}

/// A cell in words.
pub fn cell_label(model: &str, epochs: f64, lr: f64) -> String {
    let plural = if epochs == 1.0 { "epoch" } else { "epochs" };
    format!("{model}, {} {plural}, lr {}", short(epochs), short(lr))
}

/// What names a run beside its model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// Its epoch budget.
    pub epochs: f64,
    /// Its peak learning rate.
    pub lr: f64,
    /// Its seed.
    pub seed: u64,
}

impl From<&RunSpec> for Recipe {
    fn from(run: &RunSpec) -> Recipe {
        Recipe { epochs: run.train.epochs, lr: run.train.lr, seed: run.seed }
    }
}

/// A run in words, with the one whose weights it started from; the usual seed of 0 goes without saying.
pub fn recipe_label(model: &str, run: Recipe, pretrained: Option<Recipe>) -> String {
    let first = pretrained.unwrap_or(run);
    let cell = cell_label(model, first.epochs, first.lr);
    let seeded = if first.seed == 0 { cell } else { format!("{cell}, seed {}", first.seed) };
    if pretrained.is_some() { format!("{seeded}, fine-tuned at lr {}", short(run.lr)) } else { seeded }
}

/// The same from specifications; of fine-tuning whose beginning is not at hand, its identity.
pub fn run_label(model: &str, run: &RunSpec, pretrained: Option<&RunSpec>) -> String {
    let label = recipe_label(model, run.into(), pretrained.map(Recipe::from));
    match (pretrained, run.pretrained) {
        (None, Some(parent)) => format!("{label}, fine-tuned from {parent}"),
        _ => label,
    }
}

/// Cells of a grid, once for each seed: more are a slip, and would not be trained in a lifetime.
const MOST_RUNS: usize = 100_000;

impl Plan {
    /// Expands `sweep` over a data set with these facts as far as `outcomes` call for, or says what cannot be.
    pub fn expand(sweep: &Sweep, facts: &DatasetFacts, outcomes: &Outcomes) -> Result<Plan, Vec<Problem>> {
        let mut problems = Problems::default();
        let data = data_spec(&sweep.data, facts, &mut problems);
        let speed = Speed::of(&sweep.resources);
        let mut groups = Vec::new();
        for model in &sweep.models {
            let Some(network) = footprint(model, &data, &sweep.data.path, &mut problems) else { continue };
            let group = |epochs: &f64| Group::new(sweep, model, *epochs, (&data, &network, speed), &mut problems);
            groups.extend(sweep.epochs.iter().filter_map(group));
        }
        let mut plan = Plan::default();
        if groups.iter().map(Group::grid_runs).fold(0, usize::saturating_add) > MOST_RUNS {
            problems.add(sweep.data.place, format!("the grid has more than {MOST_RUNS} runs"));
            return problems.or(plan);
        }
        rules_that_match_nothing(sweep, &mut problems);
        if groups.iter().all(|group| group.ladder.grid.is_empty()) && problems.is_empty() {
            problems.add(sweep.data.place, "the grid is empty: every cell is skipped");
        }
        if sweep.search.strategy != Strategy::Grid && groups.iter().all(|group| group.ladder.rates.len() < 2) {
            let message = "search.strategy: there is one learning rate for each model and budget, and so nothing to search; give two or more";
            problems.add(sweep.search.place, message);
        }
        if facts.multi_label && sweep.train.label_smoothing > 0.0 {
            problems.add(sweep.train.place, smoothing_and_several("train"));
        }
        plan.add_grid(sweep, &groups, outcomes);
        problems.or(plan)
    }

    fn add_grid(&mut self, sweep: &Sweep, groups: &[Group<'_>], outcomes: &Outcomes) {
        self.skipped.extend(groups.iter().flat_map(|group| group.skipped(sweep)));
        let standings = group::standings(sweep, groups, outcomes);
        let mut searches: Vec<(&Group<'_>, &Standing)> = groups.iter().zip(&standings).collect();
        searches.sort_by(|a, b| a.0.price.seconds.total_cmp(&b.0.price.seconds));
        let (mut repeated, Noise { cells, seeds }) = (0, sweep.search.noise.unwrap_or(Noise { cells: 0, seeds: 0 }));
        for (group, standing) in searches {
            for rung in &standing.tried {
                self.runs.extend(group.planned(*rung, group.seeds.iter().copied(), false));
            }
            let mut repeats = 0;
            // Of the cheapest groups the best rate; a group without one leaves its place to the next.
            if repeated < cells && !(standing.is_over && standing.best.is_none()) {
                repeated += 1;
                let more = (0..).filter(|seed| !group.seeds.contains(seed));
                let more = more.take((seeds as usize).saturating_sub(group.seeds.len()));
                match standing.best.filter(|_| standing.is_over) {
                    Some(best) => self.runs.extend(group.planned(best, more, true)),
                    None => repeats = more.count(),
                }
            }
            let [at_least, at_most] = standing.to_follow.map(|rungs| rungs * group.seeds.len());
            if at_most + repeats > 0 {
                let (model, epochs, price) = (group.model.name.clone(), group.epochs, group.price);
                self.to_follow.push(RunsToFollow { model, epochs, at_least, at_most, repeats, price });
            }
        }
        if sweep.train.share_trunk {
            let trunks = trunks(self.runs.iter().map(|run| &run.spec));
            self.runs.iter_mut().for_each(|run| run.trunk = trunks.get(&run.id).copied());
        }
        if sweep.policy.canary {
            let largest = self.runs.iter().rev().max_by_key(|run| run.price.bytes);
            let canaries = self.runs.first().into_iter().chain(largest).map(|run| run.id);
            self.canaries = canaries.collect();
            self.canaries.dedup();
        }
    }
}

impl Price {
    fn of(network: &Footprint, spec: &RunSpec, speed: Speed) -> Price {
        Price {
            parameters: network.parameters,
            parameters_without_head: network.parameters_without_head,
            macs: network.macs,
            flops: network.training_flops() as f64 * spec.examples_computed() as f64,
            samples: spec.samples(),
            steps: spec.steps(),
            bytes: network.training_bytes(&spec.train),
            seconds: speed.run_seconds(network, spec),
        }
    }
}

/// What is wrong with a batch in the table at `path` that the data cannot fill.
fn batch_too_large(path: &str, batch: u64, data: &DataSpec) -> Option<String> {
    let examples = data.train_examples;
    let message = || format!("{path}.batch: {batch} is more than the {examples} examples of the training set");
    (batch > examples).then(message)
}

/// What `model` is on pictures of `data`; it must also take those that it is evaluated on.
fn footprint(model: &Model, data: &DataSpec, path: &str, problems: &mut Problems) -> Option<Footprint> {
    let heldout = model.spec.footprint(data.channels, data.heldout_resolution, data.classes);
    let built = model.spec.footprint(data.channels, data.resolution, data.classes);
    match heldout.and(built) {
        Ok(footprint) => Some(footprint),
        Err(unbuildable) => {
            // Whose resolution it is has to be said only where it is not that of the grid.
            let of = if path == "data" { String::new() } else { format!(" on the pictures of {path}") };
            problems.add(model.place, format!("model {:?}{of}: {unbuildable}", model.name));
            None
        }
    }
}

/// A rule that matches no cell is a slip: a number that is not in the grid, say.
fn rules_that_match_nothing(sweep: &Sweep, problems: &mut Problems) {
    let cells = || sweep.models.iter().flat_map(|model| sweep.epochs.iter().map(move |epochs| (model, *epochs)));
    for (index, rule) in sweep.overrides.iter().enumerate() {
        if !cells().any(|(model, epochs)| rule.when.holds(&model.name, epochs, None)) {
            problems.add(rule.place, format!("override[{index}]: matches no cell of this sweep"));
        }
    }
    for (index, rule) in sweep.skips.iter().enumerate() {
        let meant = |(model, epochs): (&Model, f64)| {
            let settings = Settings::of_cells(sweep, model, epochs);
            settings.lr.iter().any(|lr| rule.when.holds(&model.name, epochs, Some(*lr)))
        };
        if !cells().any(meant) {
            problems.add(rule.place, format!("skip[{index}]: matches no cell of this sweep"));
        }
    }
}

fn smoothing_and_several(table: &str) -> String {
    format!("{table}.label_smoothing: smooths one class against the others; with multi_label leave it out")
}

/// Share of the shorter side that is evaluated, as in the papers on ImageNet: 224 of 256 pixels.
pub const CENTRE_CROP: f64 = 0.875;

fn data_spec(data: &Data, facts: &DatasetFacts, problems: &mut Problems) -> DataSpec {
    let path = &data.path;
    let mut there = [facts.train_examples, facts.heldout_examples];
    let mut classes = facts.classes;
    if let Some(kept) = &data.keep_classes {
        let of_class = |class: &u32| facts.per_class.get(*class as usize).copied();
        for class in kept.iter().filter(|class| of_class(class).is_none_or(|[train, heldout]| train.min(heldout) == 0))
        {
            let message = format!(
                "{path}.keep_classes: the data set has no class {class} to train on and to hold out; it has 0 to {}",
                classes - 1
            );
            problems.add(data.place, message);
        }
        there = kept.iter().filter_map(of_class).fold([0, 0], |sum, one| [sum[0] + one[0], sum[1] + one[1]]);
        classes = kept.len() as u32;
    }
    let mut limit = |wanted: Option<u64>, there: u64, key: &str| match wanted {
        Some(wanted) if wanted > there => {
            problems.add(data.place, format!("{path}.{key}: asked for {wanted}, the data set has {there}"));
            there
        }
        wanted => wanted.unwrap_or(there),
    };
    let train_examples = limit(data.train_examples, there[0], "train_examples");
    let heldout_examples = limit(data.heldout_examples, there[1], "heldout_examples");
    let resolution = data.resolution.or(facts.resolution).unwrap_or_else(|| {
        let message = format!(
            "{path}.resolution is missing: pictures of this data set differ in size, so say what they are brought to"
        );
        problems.add(data.place, message);
        1
    });
    let mut moments = |wanted: &Option<PerChannel>, there: &PerChannel, key: &str| match wanted {
        Some(wanted) if !wanted.fits(facts.channels as usize) => {
            problems
                .add(data.place, format!("{path}.{key}: one number, or one for each of {} channels", facts.channels));
            there.clone()
        }
        wanted => wanted.as_ref().unwrap_or(there).clone(),
    };
    let (mean, std) = (moments(&data.mean, &facts.mean, "mean"), moments(&data.std, &facts.std, "std"));
    let centre_crop = facts.resolution.is_none().then(|| data.centre_crop.unwrap_or(CENTRE_CROP));
    if centre_crop.is_none() && data.centre_crop.is_some() {
        problems.add(
            data.place,
            format!("{path}.centre_crop: pictures of this data set are stored in one size; leave it out"),
        );
    }
    DataSpec {
        dataset: data.dataset.clone(),
        fingerprint: facts.fingerprint.clone(),
        train_examples,
        heldout_examples,
        channels: facts.channels,
        resolution,
        heldout_resolution: data.heldout_resolution.unwrap_or(resolution),
        classes,
        keep_classes: data.keep_classes.clone(),
        mean,
        std,
        multi_label: facts.multi_label,
        centre_crop,
        blocks: data.blocks,
        skip_damaged: data.skip_damaged.filter(|share| *share > 0.0),
    }
}
