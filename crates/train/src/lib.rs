//! Trains one attempt of one run with libtorch: the only crate that links it.
//!
//! A run directory goes in (`spec.json`), a journal and checkpoints come out. The worker never opens the database and
//! decides nothing: every number it uses is in the spec.

pub mod agc;
pub mod attempt;
mod branch;
pub mod checkpoint;
pub mod device;
pub mod evaluate;
pub mod exchange;
pub mod gelu;
pub mod gradient;
pub mod input;
pub mod journal;
mod layers;
#[cfg(test)]
mod lossy;
mod measure;
pub mod network;
pub mod nfnet;
pub mod optimizer;
pub mod parameters;
mod shim;
mod stored;
mod tally;
pub mod vit;
pub mod weights;

use spec::state::Failure;

/// Why an attempt ended without a result.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The run directory is not what it should be.
    #[error("{0}")]
    Spec(String),
    /// The weights to start from are not there, damaged, or of another architecture.
    #[error("{0}")]
    Unusable(String),
    /// The network cannot be built.
    #[error(transparent)]
    Unbuildable(#[from] spec::network::Unbuildable),
    /// The data cannot be read.
    #[error(transparent)]
    Data(#[from] data::DataError),
    /// The system would not read or write.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, with the path.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The device that the run asks for is not here.
    #[error("{0}; take another machine, or device = \"cpu\" in [resources]")]
    Device(String),
    /// libtorch refused.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

impl TrainError {
    /// The class under which the scheduler counts it.
    pub fn class(&self) -> Failure {
        match self {
            // A full or failing disk is the machine's fault and may be mended while the sweep goes on.
            TrainError::Data(data::DataError::Io { .. }) | TrainError::Io { .. } | TrainError::Device(_) => {
                Failure::Node
            }
            TrainError::Data(_) | TrainError::Unusable(_) => Failure::Data,
            TrainError::Torch(error) => {
                let text = error.to_string().to_lowercase();
                let memory = ["out of memory", "can't allocate memory", "bad_alloc"];
                if memory.iter().any(|sign| text.contains(sign)) { Failure::Oom } else { Failure::Code }
            }
            TrainError::Spec(_) | TrainError::Unbuildable(_) => Failure::Code,
        }
    }
}

/// The first line of a libtorch error: the rest is a C++ stack.
pub fn first_line(error: &TrainError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
