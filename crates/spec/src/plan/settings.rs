//! The settings of one cell, and the run that they make.

use crate::network::ModelSpec;
use crate::run::{Agc, Arithmetic, DataSpec, OptimizerSpec, RunSpec, TrainSpec};
use crate::schedule::Decay;
use crate::sweep::{Finetune, Model, Override, Resources, ScheduleName, Sweep, Train, Warmup};
use crate::trainer::Trainer;

/// What the runs of one model, stage and epoch budget have in common.
pub(super) struct Stage<'a> {
    pub(super) data: &'a DataSpec,
    pub(super) train: &'a Train,
    pub(super) epochs: f64,
    pub(super) resources: &'a Resources,
    /// That of the model.
    pub(super) trainer: Option<&'a Trainer>,
}

/// What overrides may change.
pub(super) struct Settings {
    pub(super) lr: Vec<f64>,
    pub(super) seeds: Vec<u64>,
    pub(super) batch: u64,
    /// Of either optimiser, where an override gives it.
    weight_decay: Option<f64>,
    agc_lambda: Option<f64>,
}

impl Settings {
    /// Those of one model and epoch budget, with all overrides that hold for them.
    pub(super) fn of_cells(sweep: &Sweep, model: &Model, epochs: f64) -> Settings {
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

    /// Those of fine-tuning `model`; overrides are for the grid.
    pub(super) fn of_finetuning(finetune: &Finetune, model: &Model) -> Settings {
        Settings {
            lr: model.finetune_lr.clone().unwrap_or_else(|| finetune.lr.clone()),
            seeds: Vec::new(),
            batch: finetune.train.batch,
            weight_decay: None,
            agc_lambda: None,
        }
    }

    /// One run with these settings.
    pub(super) fn run(&self, stage: &Stage<'_>, model: &ModelSpec, lr: f64, seed: u64) -> RunSpec {
        let train = stage.train;
        let mut run = RunSpec {
            model: model.clone(),
            data: stage.data.clone(),
            train: TrainSpec {
                epochs: stage.epochs,
                batch: self.batch,
                lr,
                warmup_steps: 0,
                decay: Decay::Cosine,
                optimizer: self.optimizer(train, model),
                label_smoothing: train.label_smoothing,
                regularisation: train.regularisation,
                augment: train.augment,
                evaluations: train.evaluations,
                divergence: train.divergence,
                threads: stage.resources.threads,
                arithmetic: Arithmetic { device: stage.resources.device, ..train.arithmetic },
            },
            seed,
            pretrained: None,
            trainer: stage.trainer.cloned(),
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

    fn optimizer(&self, train: &Train, model: &ModelSpec) -> OptimizerSpec {
        match model {
            // A trainer of one's own may take what it can use of it.
            ModelSpec::Nfnet(_) | ModelSpec::Custom(_) => OptimizerSpec::Sgd {
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
}
