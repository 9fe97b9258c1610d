//! What is typed behind `export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Chosen, positive};

#[derive(Args)]
pub(crate) struct Export {
    /// The format.
    #[arg(value_enum)]
    pub(crate) format: ExportFormat,
    #[command(flatten)]
    pub(crate) chosen: Chosen,
    /// Write to this file, whole or not at all; to standard output where it is not given.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Which columns, and with them which rows.
    #[arg(long, value_enum, default_value_t = ExportColumns::All)]
    pub(crate) columns: ExportColumns,
    /// Training and held-out losses on the way instead: a row for each run, step and series.
    #[arg(long, conflicts_with_all = ["columns", "peak_flops"])]
    pub(crate) metrics: bool,
    /// Operations per second of one device on its data sheet; fills the column mfu (model FLOPs utilisation).
    #[arg(long, value_parser = positive, allow_negative_numbers = true)]
    pub(crate) peak_flops: Option<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// Comma-separated values.
    Csv,
    /// JSON Lines: an object a line.
    Jsonl,
    /// Parquet.
    Parquet,
    /// Arrow's file format, also called Feather.
    Arrow,
    /// No table, but a list of its columns: name, type, what it is.
    Columns,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportColumns {
    /// A row for each run; `scalelaw export columns` lists them.
    All,
    /// C, N, D and loss of the runs that fits count, as published scripts read them.
    Chinchilla,
}
