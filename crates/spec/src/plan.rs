//! From a sweep to its runs: complete, priced, and with everything that was left out.

use crate::cost::{Footprint, Speed};
use crate::document::Problem;
use crate::fields::Problems;
use crate::network::ModelSpec;
use crate::run::{Agc, Augment, DataSpec, OptimizerSpec, RunSpec, TrainSpec, short};
use crate::schedule::Decay;
use crate::sweep::{Data, Model, Override, ScheduleName, Sweep, Train, Warmup};

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
    /// Height and width of a picture.
    pub resolution: u32,
    /// Number of classes.
    pub classes: u32,
    /// Mean of the training pixels, from 0 to 1.
    pub mean: f64,
    /// Standard deviation of the training pixels.
    pub std: f64,
}

/// All runs of a sweep, cheapest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The runs.
    pub runs: Vec<PlannedRun>,
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
    /// Its price.
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

/// A run in words; the usual seed of 0 goes without saying.
pub fn run_label(model: &str, run: &RunSpec) -> String {
    let cell = cell_label(model, run.train.epochs, run.train.lr);
    if run.seed == 0 { cell } else { format!("{cell}, seed {}", run.seed) }
}

impl Plan {
    /// Expands `sweep` over a data set with these facts, or says what cannot be.
    pub fn expand(sweep: &Sweep, facts: &DatasetFacts) -> Result<Plan, Vec<Problem>> {
        let mut problems = Problems::default();
        let data = data_spec(&sweep.data, facts, &mut problems);
        let speed = sweep.resources.device_flops.map_or(Speed::CPU_CORE, Speed::sustained);
        let mut plan = Plan { runs: Vec::new(), skipped: Vec::new() };
        for model in &sweep.models {
            let network = match model.spec.layout(data.channels, data.resolution, data.classes) {
                Ok(layout) => layout.footprint(),
                Err(unbuildable) => {
                    problems.add(model.place, format!("model {:?}: {unbuildable}", model.name));
                    continue;
                }
            };
            for epochs in &sweep.epochs {
                plan.add_cells(sweep, model, &network, *epochs, &data, speed, &mut problems);
            }
        }
        rules_that_match_nothing(sweep, &mut problems);
        if plan.runs.is_empty() && problems.is_empty() {
            problems.add(sweep.data.place, "the grid is empty: every cell is skipped");
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
        if settings.batch > data.train_examples {
            let message = format!(
                "train.batch: {} is more than the {} examples of the training set",
                settings.batch, data.train_examples
            );
            let own =
                sweep.overrides.iter().rfind(|one| one.batch.is_some() && one.when.holds(&model.name, epochs, None));
            return problems.add(own.map_or(sweep.train.place, |one| one.place), message);
        }
        for lr in &settings.lr {
            let skip = sweep.skips.iter().find(|skip| skip.when.holds(&model.name, epochs, Some(*lr)));
            if let Some(skip) = skip {
                let cell = cell_label(&model.name, epochs, *lr);
                self.skipped.push(Skipped { cell, reason: skip.reason.clone() });
                continue;
            }
            for seed in &settings.seeds {
                let spec = settings.run(sweep, model, data, epochs, *lr, *seed);
                let price = Price {
                    parameters: network.parameters,
                    parameters_without_head: network.parameters_without_head,
                    macs: network.macs,
                    flops: network.training_flops() as f64 * spec.examples_computed() as f64,
                    samples: spec.samples(),
                    steps: spec.steps(),
                    bytes: network.training_bytes(settings.batch),
                    seconds: speed.run_seconds(network, &spec),
                };
                self.runs.push(PlannedRun { model: model.name.clone(), spec, price });
            }
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

/// What overrides may change.
struct Settings {
    lr: Vec<f64>,
    seeds: Vec<u64>,
    batch: u64,
    /// Of either optimiser, where an override gives it.
    weight_decay: Option<f64>,
    agc_lambda: Option<f64>,
}

impl Settings {
    /// Those of one model and epoch budget, with all overrides that hold for them.
    fn of_cells(sweep: &Sweep, model: &Model, epochs: f64) -> Settings {
        let overrides = sweep.overrides.iter().filter(|one| one.when.holds(&model.name, epochs, None));
        overrides.fold(Settings::of(sweep, model), Settings::with)
    }

    fn of(sweep: &Sweep, model: &Model) -> Settings {
        Settings {
            lr: model.lr.clone().unwrap_or_else(|| sweep.lr.clone()),
            seeds: sweep.seeds.clone(),
            batch: sweep.train.batch,
            weight_decay: None,
            agc_lambda: None,
        }
    }

    fn with(self, other: &Override) -> Settings {
        Settings {
            lr: other.lr.clone().unwrap_or(self.lr),
            seeds: other.seeds.clone().unwrap_or(self.seeds),
            batch: other.batch.unwrap_or(self.batch),
            weight_decay: other.weight_decay.or(self.weight_decay),
            agc_lambda: other.agc_lambda.or(self.agc_lambda),
        }
    }

    fn optimizer(&self, train: &Train, model: &ModelSpec) -> OptimizerSpec {
        match model {
            ModelSpec::Nfnet(_) => OptimizerSpec::Sgd {
                momentum: train.momentum,
                weight_decay: self.weight_decay.unwrap_or(train.weight_decay),
                agc: Agc { lambda: self.agc_lambda.unwrap_or(train.agc_lambda), eps: train.agc_eps },
            },
            ModelSpec::Vit(_) => OptimizerSpec::Adamw {
                beta1: train.adamw.beta1,
                beta2: train.adamw.beta2,
                eps: train.adamw.eps,
                weight_decay: self.weight_decay.unwrap_or(train.adamw.weight_decay),
                clip_norm: train.adamw.clip_norm,
            },
        }
    }

    fn run(&self, sweep: &Sweep, model: &Model, data: &DataSpec, epochs: f64, lr: f64, seed: u64) -> RunSpec {
        let train = &sweep.train;
        let mut run = RunSpec {
            model: model.spec.clone(),
            data: data.clone(),
            train: TrainSpec {
                epochs,
                batch: self.batch,
                lr,
                warmup_steps: 0,
                decay: Decay::Cosine,
                optimizer: self.optimizer(train, &model.spec),
                label_smoothing: train.label_smoothing,
                regularisation: train.regularisation,
                augment: Augment { crop_padding: train.crop_padding, flip: train.flip },
                evaluations: train.evaluations,
                divergence: train.divergence,
                threads: sweep.resources.threads,
            },
            seed,
        };
        run.train.warmup_steps = match train.warmup {
            Warmup::Share(share) => (share * run.steps() as f64).round() as u64,
            Warmup::Steps(steps) => steps.min(run.steps() - 1),
        };
        let behind = run.steps() - run.train.warmup_steps;
        // The step that the cooldown starts from is taken at the full rate.
        let cooled = |share: f64| ((share * run.steps() as f64).round() as u64).min(behind.saturating_sub(1));
        run.train.decay = match train.schedule {
            ScheduleName::Cosine => Decay::Cosine,
            ScheduleName::Constant => Decay::Constant,
            ScheduleName::Rsqrt { timescale, cooldown } => Decay::Rsqrt { timescale, cooldown_steps: cooled(cooldown) },
            ScheduleName::Wsd { cooldown } => Decay::Wsd { cooldown_steps: cooled(cooldown) },
        };
        run
    }
}

fn data_spec(data: &Data, facts: &DatasetFacts, problems: &mut Problems) -> DataSpec {
    let mut limit = |wanted: Option<u64>, there: u64, key: &str| match wanted {
        Some(wanted) if wanted > there => {
            problems.add(data.place, format!("data.{key}: asked for {wanted}, the data set has {there}"));
            there
        }
        wanted => wanted.unwrap_or(there),
    };
    let train_examples = limit(data.train_examples, facts.train_examples, "train_examples");
    let heldout_examples = limit(data.heldout_examples, facts.heldout_examples, "heldout_examples");
    let resolution = data.resolution.unwrap_or(facts.resolution);
    DataSpec {
        dataset: data.dataset.clone(),
        fingerprint: facts.fingerprint.clone(),
        train_examples,
        heldout_examples,
        channels: facts.channels,
        resolution,
        heldout_resolution: data.heldout_resolution.unwrap_or(resolution),
        classes: facts.classes,
        mean: facts.mean,
        std: facts.std,
    }
}
