//! Data sets on disk become batches, in the order that `spec` says.
//!
//! Small pictures of one size (IDX, CIFAR) are held in memory; encoded ones (JPEG, PNG, WebP in folders, tar shards or Parquet
//! files) are read by an index on disk, so that memory does not grow with their number. Both are examples by number. A batch is a
//! pure function of the data, the run's seed and the position, so nothing has to be restored after a restart but the position.

pub mod ahead;
pub mod batch;
pub mod check;
pub mod cifar;
pub mod crew;
mod crop;
pub mod dataset;
pub mod decode;
pub mod examples;
pub mod fetch;
mod folder;
pub mod idx;
pub mod index;
pub mod labels;
mod layout;
pub mod loader;
mod mixing;
pub mod parquet;
pub mod pattern;
mod rand_augment;
mod random;
mod recent;
pub mod split;
pub mod tar;
pub mod throughput;
mod tone;
mod warp;
mod webdataset;

pub use dataset::{Dataset, Opening};
pub use examples::Examples;
pub use index::{Passed, Progress};
pub use labels::{Label, Labelling};
pub use split::Split;

use std::path::PathBuf;

/// Why data cannot be used. Every message names the file and, where there is one, the remedy.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file is not there.
    #[error("{path}: no such file or folder; {remedy}")]
    Missing {
        /// Looked for here.
        path: PathBuf,
        /// What to do.
        remedy: String,
    },
    /// The system would not read or write.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The content is not what it should be.
    #[error("{path}: {problem}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// There is no such example.
    #[error("there is no example {0}")]
    NoExample(u64),
    /// A pattern does not name files that can be read together.
    #[error("{pattern}: {problem}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        problem: String,
    },
    /// An example has no label, or one that cannot be.
    #[error("wrong labels: {example}: {problem}")]
    Label {
        /// The example, as a person finds it.
        example: String,
        /// What is wrong.
        problem: String,
    },
    /// One example cannot be read, while others can.
    #[error("{example}: {problem}")]
    Example {
        /// The example, as a person finds it.
        example: String,
        /// What is wrong.
        problem: String,
    },
    /// A file is not what it was when it was indexed.
    #[error("{path}: changed since it was indexed: {problem}; `scalelaw data index` indexes the data again")]
    Changed {
        /// The file.
        path: PathBuf,
        /// What is other than it was.
        problem: String,
    },
    /// Classes that cannot be kept.
    #[error("keep_classes: {0}")]
    Classes(String),
    /// No source had the data set.
    #[error("could not fetch {dataset}:{}", .tried.iter().map(|(source, why)| format!("\n  {source}: {why}")).collect::<String>())]
    Unavailable {
        /// The data set.
        dataset: String,
        /// Every source and why it failed.
        tried: Vec<(String, String)>,
    },
    /// No such data set to fetch.
    #[error("no data set {0:?} can be fetched; there is fashion-mnist")]
    Unknown(String),
}
