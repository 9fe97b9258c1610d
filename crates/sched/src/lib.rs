//! Gives runs to slots until none is left.
//!
//! [`core`] decides and touches nothing: (now, event) goes in, actions come out, and a thousand simulated sweeps a second
//! test it. [`shell`] does what it says: processes, signals, journals, the database. Nothing else is in between.

pub mod core;
mod executor;
mod files;
mod follow;
pub mod gpu;
mod process;
mod recover;
pub mod shell;
pub mod slurm;
mod verdict;

use std::path::PathBuf;

pub use files::{StateFolder, run_folder};
pub use recover::settle;

/// Why a sweep cannot go on. Runs that fail are not among the reasons; they are results.
#[derive(Debug, thiserror::Error)]
pub enum SchedError {
    /// Somebody else schedules in this state folder.
    #[error("{0}: another scalelaw is running sweeps in this state folder; wait for it or stop it")]
    Locked(PathBuf),
    /// The system would not do something.
    #[error("{what}: {source}{}", hint(.source))]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The worker cannot be started.
    #[error("cannot start {worker}: {source}; build it with `make build`, or say where it is with --worker")]
    Worker {
        /// The program.
        worker: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Slurm.
    #[error(transparent)]
    Slurm(#[from] slurm::SlurmError),
    /// The database.
    #[error(transparent)]
    Store(#[from] store::StoreError),
}

fn hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::StorageFull => "; free some space and run again, nothing that was acknowledged is lost",
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            "; is the folder writable? --state-dir names another one"
        }
        _ => "",
    }
}
