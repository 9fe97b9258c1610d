//! Gives runs to slots until none is left.
//!
//! [`core`] decides and touches nothing: (now, event) goes in, actions come out, and a thousand simulated sweeps a second
//! test it. [`shell`] does what it says: processes, signals, journals, the database. Nothing else is in between.

pub mod core;
mod executor;
mod files;
pub mod filesystem;
mod follow;
pub mod gpu;
pub mod launch;
mod process;
mod recover;
pub mod shell;
pub mod slurm;
mod verdict;

use std::path::PathBuf;

pub use files::StateFolder;
pub use process::last_lines;
pub use recover::{settle, settle_jobs};
pub use verdict::PREEMPTED;

/// Why a sweep cannot go on. Runs that fail are not among the reasons; they are results.
#[derive(Debug, thiserror::Error)]
pub enum SchedError {
    /// Somebody else schedules in this state folder.
    #[error("{0}: another scalelaw is running sweeps in this state folder; wait for it or stop it")]
    Locked(PathBuf),
    /// The database would lie where other machines can reach it.
    #[error(
        "{folder}: lies on {name}, which machines share, and a database there can be damaged; give --state-dir on a disk of this \
         machine, and --runs-dir for what the nodes of a cluster have to see"
    )]
    SharedFileSystem {
        /// The state folder.
        folder: PathBuf,
        /// The file system.
        name: &'static str,
    },
    /// There are runs already, and not where they are asked for.
    #[error("the runs of this state folder lie in {there}; leave --runs-dir out, or move them to {wanted} first")]
    RunsElsewhere {
        /// Where they are.
        there: PathBuf,
        /// Where they are asked for.
        wanted: PathBuf,
    },
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
