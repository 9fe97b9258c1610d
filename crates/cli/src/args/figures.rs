//! What is typed behind `plot`, `report` and `compare`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Chosen, Columns, Compute};

#[derive(Args)]
pub(crate) struct Plot {
    /// The figure.
    #[arg(value_enum, default_value_t = Figure::All)]
    pub(crate) figure: Figure,
    #[command(flatten)]
    pub(crate) chosen: Chosen,
    #[command(flatten)]
    pub(crate) columns: Columns,
    /// Which compute of a sweep.
    #[arg(long, value_enum, default_value_t = Compute::TrainHours, conflicts_with = "points")]
    pub(crate) compute: Compute,
    /// Folder for the figures; reports/SWEEP where it is not given.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Draw the points of this file behind those of `scaling` or `transfer`: other work to compare with. Its columns are
    /// chosen as those of --points.
    #[arg(long, value_name = "FILE")]
    pub(crate) overlay: Option<PathBuf>,
    /// Title above the figure.
    #[arg(long)]
    pub(crate) title: Option<String>,
    /// Label of the horizontal axis.
    #[arg(long)]
    pub(crate) x_label: Option<String>,
    /// Label of the vertical axis.
    #[arg(long)]
    pub(crate) y_label: Option<String>,
    /// How it looks.
    #[arg(long, value_enum, default_value_t = Look::Paper)]
    pub(crate) style: Look,
    /// Write a PDF, too.
    #[arg(long)]
    pub(crate) pdf: bool,
    /// Draw nothing: exit with 1 if what this file's figure was drawn from has changed since.
    #[arg(long, value_name = "FIGURE.json")]
    pub(crate) check: Option<PathBuf>,
}

impl Plot {
    /// Whether this figure is asked for.
    pub(crate) fn wants(&self, figure: Figure) -> bool {
        [Figure::All, figure].contains(&self.figure)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Figure {
    /// All figures of a sweep.
    All,
    /// Held-out loss against compute, with the law of the frontier.
    Scaling,
    /// Optimal learning rate against epochs.
    OptimalLr,
    /// Top-1 error after fine-tuning against the compute of pre-training.
    Transfer,
    /// Held-out loss against learning rate, for every model and epoch budget.
    Lr,
    /// Held-out loss against model size, for groups of equal compute.
    Isoflop,
    /// The best model size against compute, from groups of equal compute.
    SizeVsCompute,
    /// The best number of epochs against compute, from groups of equal compute.
    EpochsVsCompute,
    /// How far runs are from the law of the frontier.
    Residuals,
    /// Training and held-out loss against samples, of the best run of each model.
    Curves,
    /// Useful, repeated, failed and idle device hours of every device and day.
    Ledger,
}

/// How figures look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Look {
    /// A column of a paper: 89 mm wide, text of 7 pt.
    Paper,
    /// A wide slide.
    Slides,
    /// A slide with a dark ground.
    Dark,
}

#[derive(Args)]
pub(crate) struct Report {
    #[command(flatten)]
    pub(crate) chosen: Chosen,
    /// Which compute of the sweep.
    #[arg(long, value_enum, default_value_t = Compute::TrainHours)]
    pub(crate) compute: Compute,
    /// Folder for the report and its figures; reports/SWEEP where it is not given.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Compare {
    /// A sweep, by its name or its file.
    #[arg(value_name = "ONE")]
    pub(crate) one: String,
    /// Another one. Where it is not given, the two families of the first are compared.
    #[arg(value_name = "OTHER")]
    pub(crate) other: Option<String>,
    /// The compute that is to be equal.
    #[arg(long, value_enum, default_value_t = Compute::Flops)]
    pub(crate) compute: Compute,
    /// Folder for the page and its figures; reports/ONE-and-OTHER or reports/ONE-families where it is not given.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}
