//! From a sweep to its runs: complete, priced, and with everything that was left out.

mod finetune;
mod settings;

pub use finetune::{Outcome, Outcomes};

use crate::cost::{Footprint, Speed};
use crate::document::Problem;
use crate::fields::Problems;
use crate::run::{DataSpec, PerChannel, RunSpec, short};
use crate::sweep::{Data, Model, Sweep};
use crate::trunk::{Trunk, trunks};
use settings::{Settings, Stage};

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

/// All runs of a sweep, cheapest first, pre-training before fine-tuning.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The runs.
    pub runs: Vec<PlannedRun>,
    /// Fine-tuning that waits for a result of pre-training.
    pub waiting: Vec<WaitingRuns>,
    /// Cells that a skip rule leaves out, with the reason.
    pub skipped: Vec<Skipped>,
}

/// A run with its price.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedRun {
    /// What figures call the model.
    pub model: String,
    /// The run.
    pub spec: RunSpec,
    /// Its price, with nothing shared.
    pub price: Price,
    /// The run that it branches off, where the sweep shares trunks.
    pub trunk: Option<Trunk>,
}

impl PlannedRun {
    /// Share of its steps that are not another run's, too.
    pub fn own_share(&self) -> f64 {
        1.0 - self.trunk.map_or(0.0, |trunk| trunk.step as f64 / self.price.steps as f64)
    }
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
    /// Expands `sweep` over a data set with these facts, or says what cannot be.
    pub fn expand(sweep: &Sweep, facts: &DatasetFacts) -> Result<Plan, Vec<Problem>> {
        let mut problems = Problems::default();
        let data = data_spec(&sweep.data, facts, &mut problems);
        let speed = Speed::of(&sweep.resources);
        let mut plan = Plan { runs: Vec::new(), waiting: Vec::new(), skipped: Vec::new() };
        for model in &sweep.models {
            let Some(network) = footprint(model, &data, &sweep.data.path, &mut problems) else { continue };
            for epochs in &sweep.epochs {
                plan.add_cells(sweep, model, &network, *epochs, &data, speed, &mut problems);
                if plan.runs.len() + plan.skipped.len() > MOST_RUNS {
                    problems.add(sweep.data.place, format!("the grid has more than {MOST_RUNS} runs"));
                    return problems.or(plan);
                }
            }
        }
        rules_that_match_nothing(sweep, &mut problems);
        if plan.runs.is_empty() && problems.is_empty() {
            problems.add(sweep.data.place, "the grid is empty: every cell is skipped");
        }
        if facts.multi_label && sweep.train.label_smoothing > 0.0 {
            problems.add(sweep.train.place, smoothing_and_several("train"));
        }
        if sweep.train.share_trunk {
            let trunks = trunks(plan.runs.iter().map(|run| &run.spec));
            plan.runs.iter_mut().for_each(|run| run.trunk = trunks.get(&run.spec.id()).copied());
        }
        plan.runs.sort_by(|a, b| a.price.seconds.total_cmp(&b.price.seconds));
        problems.or(plan)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one cell, used once")]
    fn add_cells(
        &mut self,
        sweep: &Sweep,
        model: &Model,
        network: &Footprint,
        epochs: f64,
        data: &DataSpec,
        speed: Speed,
        problems: &mut Problems,
    ) {
        let settings = Settings::of_cells(sweep, model, epochs);
        if let Some(message) = batch_too_large("train", settings.batch, data) {
            let own =
                sweep.overrides.iter().rfind(|one| one.batch.is_some() && one.when.holds(&model.name, epochs, None));
            return problems.add(own.map_or(sweep.train.place, |one| one.place), message);
        }
        if !settings.batch.is_multiple_of(u64::from(sweep.train.augment.multiplicity)) {
            let message = format!(
                "train.multiplicity: {} does not divide a batch of {}",
                sweep.train.augment.multiplicity, settings.batch
            );
            return problems.add(sweep.train.place, message);
        }
        let trainer = sweep.trainer.as_ref().map(|trainer| trainer.for_model(&model.name));
        let resources = &sweep.resources;
        let stage = Stage { data, train: &sweep.train, epochs, resources, trainer: trainer.as_ref() };
        for lr in &settings.lr {
            // One more than is taken, so that too many are noticed.
            let left = (MOST_RUNS + 1).saturating_sub(self.runs.len() + self.skipped.len());
            let skip = sweep.skips.iter().find(|skip| skip.when.holds(&model.name, epochs, Some(*lr)));
            if let Some(skip) = skip {
                let cell = cell_label(&model.name, epochs, *lr);
                self.skipped.push(Skipped { cell, reason: skip.reason.clone() });
                continue;
            }
            for seed in settings.seeds.iter().take(left) {
                let spec = settings.run(&stage, &model.spec, *lr, *seed);
                let price = Price::of(network, &spec, speed);
                self.runs.push(PlannedRun { model: model.name.clone(), spec, price, trunk: None });
            }
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
