//! What is typed behind `export`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Chosen, positive};

#[derive(Subcommand)]
pub(crate) enum Export {
    /// Comma-separated values.
    Csv(ExportTable),
    /// JSON Lines: an object a line.
    Jsonl(ExportTable),
    /// Parquet.
    Parquet(ExportTable),
    /// Arrow's file format, also called Feather.
    Arrow(ExportTable),
    /// No table, but a list of its columns: name, type, what it is.
    Columns(ExportContent),
}

/// A table of a sweep, whatever it is written as.
#[derive(Args)]
pub(crate) struct ExportTable {
    #[command(flatten)]
    pub(crate) chosen: Chosen,
    /// Write to this file, whole or not at all; to standard output where it is not given.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) content: ExportContent,
    /// Operations per second of one device on its data sheet; fills the column mfu (model FLOPs utilisation), for which the devices
    /// of a run are counted.
    #[arg(long, value_parser = positive, allow_negative_numbers = true, conflicts_with = "metrics")]
    pub(crate) peak_flops: Option<f64>,
}

/// Which table.
#[derive(Args)]
pub(crate) struct ExportContent {
    /// Which columns, and with them which rows.
    #[arg(long, value_enum, default_value_t = ExportColumns::All)]
    pub(crate) columns: ExportColumns,
    /// Training and held-out losses on the way instead: a row for each run, step and series.
    #[arg(long, conflicts_with = "columns")]
    pub(crate) metrics: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportColumns {
    /// A row for each run; `scalelaw export columns` lists them.
    All,
    /// C, N, D and loss of the runs that fits count, as published scripts read them.
    Chinchilla,
}
