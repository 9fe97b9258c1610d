//! The sweep file as written: what a researcher asks for, before it is expanded into runs.
//!
//! Reading never stops at the first mistake; [`Sweep::parse`] returns all of them, each with its place, and a [`Sweep`]
//! that comes out has no mistake left that can be seen without looking at the data.

pub(crate) mod custom;
pub(crate) mod data;
pub(crate) mod finetune;
pub(crate) mod models;
pub(crate) mod nfnets;
pub(crate) mod read;
pub(crate) mod search;
pub(crate) mod slurm;
pub(crate) mod train;
pub(crate) mod trainer;
pub(crate) mod vits;

use crate::document::{self, Format, Place, Problem};
use crate::fields::Problems;
use crate::files::DataFiles;
use crate::network::ModelSpec;
use crate::order::Blocks;
use crate::run::{Arithmetic, Augment, DeviceKind, PerChannel, Regularisation};
use crate::trainer::Trainer;

pub use search::{Noise, Search, Strategy};

pub use slurm::Slurm;

/// One sweep file.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// Names the sweep in the database and its folder of figures.
    pub name: String,
    /// What the sweep is to find out, for reports.
    pub description: Option<String>,
    /// What is trained on.
    pub data: Data,
    /// The models, in the order of the file.
    pub models: Vec<Model>,
    /// Epoch budgets; one full run each.
    pub epochs: Vec<f64>,
    /// Peaks of the learning rate, for models that have none of their own.
    pub lr: Vec<f64>,
    /// One run of each cell per seed.
    pub seeds: Vec<u64>,
    /// Which of these learning rates are tried, and which others.
    pub search: Search,
    /// Training settings of all cells.
    pub train: Train,
    /// What trains; the built-in trainer where it is not given.
    pub trainer: Option<Trainer>,
    /// The stage behind, which starts from the weights that these leave.
    pub finetune: Option<Finetune>,
    /// Who may use what of the machine.
    pub resources: Resources,
    /// How attempts are submitted, where Slurm starts them: `resources.executor = "slurm"`.
    pub slurm: Option<Slurm>,
    /// What happens when something goes wrong.
    pub policy: Policy,
    /// Device hours that the sweep may cost in all.
    pub budget_hours: Option<f64>,
    /// Exceptions for some cells, applied in order.
    pub overrides: Vec<Override>,
    /// Cells that are left out, with the reason.
    pub skips: Vec<Skip>,
}

/// The data set as asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Data {
    /// Its name.
    pub dataset: String,
    /// Where its files come from.
    pub source: Source,
    /// Use only the first so many training examples.
    pub train_examples: Option<u64>,
    /// Use only the first so many held-out examples.
    pub heldout_examples: Option<u64>,
    /// Use only the examples of these classes.
    pub keep_classes: Option<Vec<u32>>,
    /// Height and width to train at; that of the pictures where it is not given.
    pub resolution: Option<u32>,
    /// Height and width to evaluate at; that of training where it is not given.
    pub heldout_resolution: Option<u32>,
    /// Mean of the pixels, instead of what the data set says.
    pub mean: Option<PerChannel>,
    /// Standard deviation of the pixels, instead of what the data set says.
    pub std: Option<PerChannel>,
    /// Share of the shorter side of a picture that its centred square has.
    pub centre_crop: Option<f64>,
    /// Examples are drawn in blocks of neighbours.
    pub blocks: Option<Blocks>,
    /// Share of the training set that may be damaged and is left out.
    pub skip_damaged: Option<f64>,
    /// The table, as in `finetune.data`.
    pub path: String,
    /// Where the table stands.
    pub place: Place,
}

/// Where the examples come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Fashion-MNIST, fetched by `scalelaw data fetch fashion-mnist`.
    FashionMnist,
    /// Files of one's own, relative to the sweep file.
    Files(DataFiles),
    /// No files at hand: enough to plan and price, and to run where a trainer of one's own finds them by itself.
    Described(Description),
}

/// A data set that is only described.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// Channels of a picture; 1 where only the trainer knows.
    pub channels: u32,
    /// Number of classes; 1 where only the trainer knows.
    pub classes: u32,
}

/// A model and the name it has in figures.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// As in `F3+` or `xs`; unique in the sweep. Not part of a run's identity.
    pub name: String,
    /// Its numbers.
    pub spec: ModelSpec,
    /// Learning rates of its table, instead of those of the grid.
    pub lr: Option<Vec<f64>>,
    /// Learning rates of fine-tuning, instead of those of its table.
    pub finetune_lr: Option<Vec<f64>>,
    /// Where it is asked for.
    pub place: Place,
}

/// How long the learning rate rises.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Warmup {
    /// A share of all steps.
    Share(f64),
    /// So many steps, whatever the budget.
    Steps(u64),
}

/// What the learning rate does behind the warm-up, before there is a number of steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ScheduleName {
    /// Half a cosine to 0.
    Cosine,
    /// The peak until the end.
    Constant,
    /// Reciprocal square root, then a cooldown.
    Rsqrt {
        /// Steps after which the rate has fallen to 1 / sqrt(2).
        timescale: u64,
        /// Share of all steps.
        cooldown: f64,
    },
    /// Warm-up, stable, decay.
    Wsd {
        /// Share of all steps.
        cooldown: f64,
    },
}

/// Training settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Train {
    /// Examples per step.
    pub batch: u64,
    /// Length of the warm-up.
    pub warmup: Warmup,
    /// What follows it.
    pub schedule: ScheduleName,
    /// Whether longer budgets go on from the state that shorter ones have before their cooldown.
    pub share_trunk: bool,
    /// Nesterov momentum.
    pub momentum: f64,
    /// Coupled weight decay.
    pub weight_decay: f64,
    /// Largest ratio of gradient norm to weight norm.
    pub agc_lambda: f64,
    /// Norm below which a weight counts as having this norm.
    pub agc_eps: f64,
    /// The optimiser of Vision Transformers.
    pub adamw: Adamw,
    /// Share of the label spread over all classes.
    pub label_smoothing: f64,
    /// Stochastic depth, dropout, moving average of the weights, sharpness-aware minimisation.
    pub regularisation: Regularisation,
    /// What happens to pictures before they are trained on.
    pub augment: Augment,
    /// Evaluations before the one at the end.
    pub evaluations: u32,
    /// A training loss above so many times ln(classes) is a divergence.
    pub divergence: f64,
    /// How the arithmetic is done.
    pub arithmetic: Arithmetic,
    /// Where the batch stands.
    pub place: Place,
}

/// Fine-tuning: every run starts from the final weights of a run of the grid, with a new classifier.
#[derive(Clone, Debug, PartialEq)]
pub struct Finetune {
    /// Which runs of the grid it starts from.
    pub from: Pick,
    /// Epoch budget.
    pub epochs: f64,
    /// Peaks of the learning rate, for models that have none of their own.
    pub lr: Vec<f64>,
    /// What is trained on; the data of pre-training where it is not given.
    pub data: Option<Data>,
    /// Training settings.
    pub train: Train,
    /// Where the table stands.
    pub place: Place,
}

/// Which runs of the grid are fine-tuned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// Of each model and epoch budget those of the learning rate with the lowest held-out loss, averaged over seeds.
    Best,
    /// All that have a held-out loss.
    Each,
}

/// Settings of AdamW.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adamw {
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Added to the root of the mean of squares.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Largest norm of the whole gradient.
    pub clip_norm: f64,
}

/// What of the machine may be used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resources {
    /// Runs at the same time; as many as fit where it is not given.
    pub slots: Option<u32>,
    /// Threads of one run.
    pub threads: u32,
    /// What runs are computed on.
    pub device: DeviceKind,
    /// Threads of one run that make batches ahead of time; 0: the training thread makes them itself.
    pub loader_threads: u32,
    /// Sustained operations per second of one device, for the price; estimated for a CPU where it is not given.
    pub device_flops: Option<f64>,
    /// GPUs of one run.
    pub gpus_per_run: u32,
    /// Runs that may share a GPU, as far as their estimated memory fits.
    pub runs_per_gpu: u32,
    /// GPUs that others use are left alone.
    pub skip_busy_gpus: bool,
}

/// What happens when something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Attempts after the first that a crash may cost.
    pub retries: u32,
    /// Seconds between checkpoints.
    pub checkpoint_seconds: f64,
    /// Seconds that a worker gets to save its state when it is told to stop.
    pub grace_seconds: f64,
    /// Runs that may fail one after the other on a device before it is used no more.
    pub failures_in_a_row: u32,
    /// Seconds without a finished step after which an attempt counts as hung.
    pub stall_seconds: f64,
    /// How often a batch may be halved, and computed in more parts, after memory ran out.
    pub oom_halvings: u32,
    /// The cheapest run and the one that takes most memory come before all others.
    pub canary: bool,
}

/// Other settings for some cells.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// Which.
    pub when: Condition,
    /// Learning rates instead of those of the grid.
    pub lr: Option<Vec<f64>>,
    /// Seeds instead of those of the grid.
    pub seeds: Option<Vec<u64>>,
    /// Batch instead of that of all cells.
    pub batch: Option<u64>,
    /// Weight decay instead of that of all cells.
    pub weight_decay: Option<f64>,
    /// AGC's lambda instead of that of all cells.
    pub agc_lambda: Option<f64>,
    /// Where it stands.
    pub place: Place,
}

/// Cells that are left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Skip {
    /// Which.
    pub when: Condition,
    /// Why; shown by `plan`.
    pub reason: String,
    /// Where it stands.
    pub place: Place,
}

/// Which cells are meant; a part that is not given holds for all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Condition {
    /// Names of models.
    pub model: Option<Vec<String>>,
    /// Epoch budgets.
    pub epochs: Option<Match>,
    /// Learning rates.
    pub lr: Option<Match>,
}

/// Which numbers are meant.
#[derive(Clone, Debug, PartialEq)]
pub enum Match {
    /// One of these.
    OneOf(Vec<f64>),
    /// From the first to the second, both included.
    Between(f64, f64),
}

impl Match {
    /// Whether `value` is meant, up to rounding.
    pub fn holds(&self, value: f64) -> bool {
        match self {
            Match::OneOf(list) => list.iter().any(|item| (item - value).abs() <= 1e-9 * value.abs()),
            Match::Between(low, high) => *low <= value && value <= *high,
        }
    }
}

impl Condition {
    /// Whether a cell is meant. A learning rate of `None` asks whether any learning rate of the cell could be.
    pub fn holds(&self, model: &str, epochs: f64, lr: Option<f64>) -> bool {
        let holds = |wanted: &Option<Match>, value: f64| wanted.as_ref().is_none_or(|wanted| wanted.holds(value));
        self.model.as_ref().is_none_or(|names| names.iter().any(|name| name == model))
            && holds(&self.epochs, epochs)
            && lr.is_none_or(|lr| holds(&self.lr, lr))
    }
}

impl Sweep {
    /// Reads a sweep file, or says everything that is wrong with it.
    pub fn parse(text: &str, format: Format) -> Result<Sweep, Vec<Problem>> {
        let root = document::parse(text, format)?;
        let mut problems = Problems::default();
        let sweep = read::sweep(&root, &mut problems);
        problems.or(sweep)
    }

    /// Whether results name runs that nobody can name before.
    pub fn grows(&self) -> bool {
        self.finetune.is_some() || self.search.noise.is_some() || self.search.strategy != Strategy::Grid
    }
}
