//! What is typed behind `fit`, `predict` and `suggest`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Chosen, positive};

#[derive(Args)]
pub(crate) struct Fit {
    /// The law.
    #[arg(value_enum)]
    pub(crate) law: Law,
    #[command(flatten)]
    pub(crate) chosen: Chosen,
    #[command(flatten)]
    pub(crate) together: Together,
    #[command(flatten)]
    pub(crate) columns: Columns,
    /// Which compute of a sweep; train-hours where it is not given, and flops for laws of size and samples.
    #[arg(long, value_enum, conflicts_with = "points")]
    pub(crate) compute: Option<Compute>,
    /// Which runs of a sweep.
    #[arg(long, value_enum, default_value_t = Stage::Pretraining, conflicts_with = "points")]
    pub(crate) stage: Stage,
    #[command(flatten)]
    pub(crate) how: How,
    /// Also show how the law moves with choices that the runs do not make: loss function, smallest and largest left out, form.
    #[arg(long)]
    pub(crate) sensitivity: bool,
}

#[derive(Args)]
pub(crate) struct Predict {
    #[command(flatten)]
    pub(crate) chosen: Chosen,
    #[command(flatten)]
    pub(crate) together: Together,
    #[command(flatten)]
    pub(crate) columns: Columns,
    /// For so much compute: operations for a sweep, the unit of the compute column for a file.
    #[arg(long = "compute", id = "at_compute", value_parser = positive, value_name = "C")]
    pub(crate) at_compute: Option<f64>,
    /// For this model.
    #[arg(long, value_name = "NAME", conflicts_with = "at_compute")]
    pub(crate) model: Option<String>,
    /// Epochs that the model is trained for.
    #[arg(long, value_parser = positive, value_name = "E")]
    pub(crate) epochs: Option<f64>,
    /// Samples in the data set; as the runs have them where it is not given.
    #[arg(long, value_parser = positive, value_name = "U")]
    pub(crate) unique: Option<f64>,
    /// Keep the prediction with its date, to be scored when its run exists.
    #[arg(long, conflicts_with = "points")]
    pub(crate) save: bool,
    /// Show what was predicted with --save, and what came of it.
    #[arg(long, conflicts_with_all = ["points", "save", "model", "at_compute"])]
    pub(crate) scores: bool,
    #[command(flatten)]
    pub(crate) how: How,
}

#[derive(Args)]
pub(crate) struct Suggest {
    #[command(flatten)]
    pub(crate) chosen: Chosen,
    #[command(flatten)]
    pub(crate) together: Together,
    /// Device hours that the runs may cost in all.
    #[arg(long, value_parser = positive, allow_negative_numbers = true, value_name = "HOURS")]
    pub(crate) budget: f64,
    /// What they are to narrow.
    #[arg(long, value_enum, default_value_t = Aim::Exponent)]
    pub(crate) goal: Aim,
    /// For the goal `loss`: the compute, in operations, at which the lowest loss is to be predicted.
    #[arg(long = "compute", id = "at_compute", value_parser = positive, value_name = "C")]
    pub(crate) at_compute: Option<f64>,
    /// Write the runs as a sweep file.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Aim {
    /// The exponent with which the best size grows with compute.
    Exponent,
    /// The lowest loss at some compute.
    Loss,
    /// All parameters of the surface.
    Parameters,
}

/// Sweeps whose runs are taken together.
#[derive(Args)]
pub(crate) struct Together {
    /// Take the runs of this sweep too, such as one that `suggest` wrote; rows are numbered on. Can be given several times.
    #[arg(long, value_name = "SWEEP")]
    pub(crate) with: Vec<String>,
}

/// How laws are fitted.
#[derive(Args)]
pub(crate) struct How {
    /// Seed of the bootstrap.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Resamples of the bootstrap.
    #[arg(long, default_value_t = 2000, value_parser = resamples)]
    pub(crate) resamples: usize,
    /// Residuals of the logarithm of the loss beyond this count by their size, not their square; inf: none do. From the
    /// residuals themselves where it is not given, in laws that are fitted robustly.
    #[arg(long, value_parser = positive_or_infinite, allow_negative_numbers = true, value_name = "DELTA")]
    pub(crate) huber_delta: Option<f64>,
    /// Where the intervals of robust laws and of laws of several variables come from; delta where it is not given.
    #[arg(long, value_enum)]
    pub(crate) intervals: Option<Intervals>,
    /// Points of a curve weigh (compute / largest compute)^this: 2 extrapolates a single learning curve well.
    #[arg(long, default_value_t = 0.0, value_parser = end_weight, allow_negative_numbers = true, value_name = "POWER")]
    pub(crate) end_weight: f64,
    /// k of C = k N D, in operations per parameter and sample; from the compute of the runs where they have one, otherwise 6.
    #[arg(long, value_parser = positive, allow_negative_numbers = true, value_name = "K")]
    pub(crate) flops_per: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Intervals {
    /// Student's t on the standard error of the delta method.
    Delta,
    /// Percentiles over fits to runs drawn with replacement.
    Runs,
    /// Percentiles over fits to whole models drawn with replacement, for several checkpoints of each.
    Cells,
}

/// Resamples of a percentile: fewer say nothing of the ends.
fn resamples(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (200..=100_000).contains(number));
    number.ok_or_else(|| "expected a whole number from 200 to 100000".to_owned())
}

fn end_weight(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=10.0).contains(number));
    number.ok_or_else(|| "expected a number from 0 to 10".to_owned())
}

fn positive_or_infinite(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "it must be a number or inf".to_owned())?;
    if number > 0.0 { Ok(number) } else { Err("it must be positive".to_owned()) }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Law {
    /// L = A C^-alpha through all points of a file, or the frontier of a sweep.
    Power,
    /// L = E + A C^-alpha through all points of a file, or the frontier of a sweep.
    Saturating,
    /// L = A C^-alpha through the lowest losses reached at each compute.
    Frontier,
    /// L = E + A (C + C0)^-alpha, robustly: level at both ends, for slow starts.
    Shifted,
    /// L = E + A C^-c0 (1 + (C / C1)^(1 / f))^(-c1 f), robustly: two slopes.
    Broken,
    /// Groups of equal compute: the best size of each by a parabola, and power laws through these.
    Isoflop,
    /// L = E + A N^-alpha + B D^-beta of size N and samples D, robustly.
    Parametric,
    /// The same with the worth of repeated samples decaying over epochs.
    Repeated,
    /// The optimal learning rate of each model and epoch budget, and its law.
    Lr,
    /// The form that predicts the largest runs best from the smaller ones, and the others behind it.
    Auto,
}

/// The compute of a run; three columns that are never mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compute {
    /// Operations of the training, from the architecture.
    Flops,
    /// Billed: all attempts, and the steps that it has from a shared trunk by their part of what that run was billed.
    DeviceHours,
    /// Steps times the median step time, restarts left out: the paper's convention.
    TrainHours,
}

/// The two stages of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stage {
    /// The grid: held-out loss against its compute.
    Pretraining,
    /// Fine-tuning: top-1 error in percent against the compute of the pre-training.
    Finetuning,
}

/// Points from a file. Columns that are not named go by their usual name or by one that is well known for it, such as those of
/// `scalelaw export`; what was taken for what is said.
#[derive(Args)]
pub(crate) struct Columns {
    /// Take the points from this file instead of a sweep: CSV or the like with a header, JSON Lines, an array of JSON objects,
    /// Parquet or Arrow.
    #[arg(long, value_name = "FILE", conflicts_with = "sweep")]
    pub(crate) points: Option<PathBuf>,
    /// Column with the compute [usually: compute, flops, C].
    #[arg(long, value_name = "NAME")]
    pub(crate) compute_column: Option<String>,
    /// Column with the held-out loss; empty, nan or inf means diverged [usually: loss, heldout_loss_nats, val_loss].
    #[arg(long, value_name = "NAME")]
    pub(crate) loss_column: Option<String>,
    /// Column with the learning rate [usually: lr, learning_rate].
    #[arg(long, value_name = "NAME")]
    pub(crate) lr_column: Option<String>,
    /// Column with the epoch budget [usually: epochs].
    #[arg(long, value_name = "NAME")]
    pub(crate) epochs_column: Option<String>,
    /// Column with the name of the model [usually: model].
    #[arg(long, value_name = "NAME")]
    pub(crate) model_column: Option<String>,
    /// Column with the family of the model, such as ViT: figures tell families apart, and give each its law [usually: family].
    #[arg(long, value_name = "NAME")]
    pub(crate) family_column: Option<String>,
    /// Column with the number of parameters [usually: params, n_total, N].
    #[arg(long, value_name = "NAME")]
    pub(crate) params_column: Option<String>,
    /// Column with the samples seen in training, repeats counted [usually: samples, tokens, D].
    #[arg(long, value_name = "NAME")]
    pub(crate) samples_column: Option<String>,
}
