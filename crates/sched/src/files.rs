//! The state folder: the database and the lock; and a folder for every run, there or on a file system that machines share.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use spec::run::{RunId, SPEC_SCHEMA, SpecFile};
use store::Task;

use crate::SchedError;
use crate::filesystem::file_system;
use crate::process;

/// The folder of the database and that of the runs.
#[derive(Clone, Debug)]
pub struct StateFolder {
    path: PathBuf,
    runs: PathBuf,
}

/// Held while this process may write. The kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl StateFolder {
    /// The folder at `path`, with the runs in `runs`, or in `path` where that is not given. None of them need exist.
    pub fn at(path: &Path, runs: Option<&Path>) -> StateFolder {
        StateFolder { path: path.to_owned(), runs: runs.map_or_else(|| path.join("runs"), Path::to_owned) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the folders of the runs are.
    pub fn runs(&self) -> &Path {
        &self.runs
    }

    /// Where the database is.
    pub fn database(&self) -> PathBuf {
        self.path.join("scalelaw.db")
    }

    /// Makes the folders where they are missing and takes the lock. Refused on a file system that other machines have too: the
    /// database would be damaged there sooner or later.
    pub fn lock(&self) -> Result<Lock, SchedError> {
        let found = file_system(&self.path).map_err(io("looking at the file system of", &self.path))?;
        if found.is_shared {
            return Err(SchedError::SharedFileSystem { folder: self.path.clone(), name: found.name });
        }
        for folder in [&self.path, &self.runs] {
            fs::create_dir_all(folder).map_err(io("creating", folder))?;
        }
        self.remember_runs()?;
        let path = self.path.join("lock");
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(io("opening", &path))?;
        // Whoever only looks, or keeps a fit, is done in a moment.
        for _ in 0..20 {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(Duration::from_millis(25)),
                Err(error) => return Err(io("locking", &path)(error.into())),
            }
        }
        Err(SchedError::Locked(self.path.clone()))
    }

    /// Leaves a link where the runs would be otherwise, so that they are found by commands that are not told, and so that no run is
    /// begun anew elsewhere because they were not told.
    fn remember_runs(&self) -> Result<(), SchedError> {
        let own = self.path.join("runs");
        if own == self.runs {
            return Ok(());
        }
        let wanted = fs::canonicalize(&self.runs).map_err(io("looking for", &self.runs))?;
        match fs::canonicalize(&own) {
            Ok(there) if there == wanted => return Ok(()),
            // An empty folder makes way, and whatever else lies there stays.
            Ok(there) if fs::remove_dir(&own).is_err() => {
                return Err(SchedError::RunsElsewhere { there, wanted });
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && fs::symlink_metadata(&own).is_err() => {}
            Err(error) => return Err(io("looking for the runs behind", &own)(error)),
        }
        std::os::unix::fs::symlink(&wanted, &own).map_err(io("linking", &own))
    }

    /// Whether a scheduler works here now. Looking does not get in its way.
    pub fn is_scheduled(&self) -> bool {
        let Ok(file) = File::open(self.path.join("lock")) else { return false };
        matches!(flock(&file, FlockOperation::NonBlockingLockShared), Err(rustix::io::Errno::WOULDBLOCK))
    }

    /// Processes that work on a run, whoever started them.
    pub fn at_work(&self, run: RunId) -> Vec<i32> {
        process::at_work(&self.run(run), None).iter().map(|pid| pid.as_raw_nonzero().get()).collect()
    }

    /// The folder of a run.
    pub fn run(&self, run: RunId) -> PathBuf {
        self.runs.join(run.to_string())
    }

    /// Makes the folders of an attempt, and writes `spec.json` where it is missing or damaged.
    pub(crate) fn prepare(&self, task: &Task, attempt: u32) -> Result<(), SchedError> {
        let folder = self.run(task.run);
        let attempt_folder = folder.join("attempts").join(attempt.to_string());
        fs::create_dir_all(&attempt_folder).map_err(io("creating", &attempt_folder))?;
        let spec = folder.join("spec.json");
        let file = SpecFile { schema: SPEC_SCHEMA, run_id: task.run, run: task.spec.clone() };
        let text = serde_json::to_vec_pretty(&file).map_err(|error| io("writing", &spec)(error.into()))?;
        // Not synced: what a power cut leaves half written is written again here.
        if fs::read(&spec).ok().is_none_or(|there| there != text) {
            let partial = folder.join("spec.json.tmp");
            fs::write(&partial, &text).and_then(|()| fs::rename(&partial, &spec)).map_err(io("writing", &spec))?;
        }
        Ok(())
    }

    /// The journal of an attempt.
    pub fn journal(&self, run: RunId, attempt: u32) -> PathBuf {
        self.run(run).join("attempts").join(attempt.to_string()).join("journal.jsonl")
    }

    /// What the trainer of an attempt has printed.
    pub fn log(&self, run: RunId, attempt: u32) -> PathBuf {
        self.run(run).join("attempts").join(attempt.to_string()).join("log.txt")
    }
}

pub(crate) fn io(doing: &str, path: &Path) -> impl Fn(std::io::Error) -> SchedError {
    let what = format!("{doing} {}", path.display());
    move |source| SchedError::Io { what: what.clone(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_lie_elsewhere_are_found_without_being_told() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (state, runs) = (folder.path().join("state"), folder.path().join("shared/runs"));
        let run: RunId = "00000000000000aa".parse().expect("16 digits");
        let told = StateFolder::at(&state, Some(&runs));
        drop(told.lock().expect("nobody else"));
        assert_eq!(told.run(run), runs.join("00000000000000aa"));
        fs::create_dir(told.run(run)).expect("writable");
        let untold = StateFolder::at(&state, None);
        assert!(untold.run(run).is_dir());
        drop(untold.lock().expect("nobody else"));
        drop(told.lock().expect("the same place again"));
        let other = StateFolder::at(&state, Some(&folder.path().join("other")));
        let refused = other.lock().expect_err("the runs lie elsewhere").to_string();
        assert!(refused.contains("shared/runs"), "{refused}");
    }

    #[test]
    fn runs_do_not_move_by_themselves() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let state = folder.path().join("state");
        drop(StateFolder::at(&state, None).lock().expect("nobody else"));
        let told = StateFolder::at(&state, Some(&folder.path().join("shared")));
        drop(told.lock().expect("there are no runs yet"));
        fs::create_dir(state.join("runs/x")).expect("through the link");
        assert!(folder.path().join("shared/x").is_dir());
        let second = folder.path().join("second");
        fs::create_dir_all(second.join("runs/x")).expect("writable");
        let refused = StateFolder::at(&second, Some(&folder.path().join("shared"))).lock();
        assert!(matches!(refused, Err(SchedError::RunsElsewhere { .. })), "{refused:?}");
    }
}
