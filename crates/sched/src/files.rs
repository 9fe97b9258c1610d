//! The state folder: the database, the lock, and a folder for every run.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use spec::run::{RunId, SPEC_SCHEMA, SpecFile};
use store::Task;

use crate::SchedError;

/// The folder in which runs happen.
#[derive(Clone, Debug)]
pub struct StateFolder {
    path: PathBuf,
}

/// Held while this process may write. The kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl StateFolder {
    /// The folder at `path`, which need not exist.
    pub fn at(path: &Path) -> StateFolder {
        StateFolder { path: path.to_owned() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the database is.
    pub fn database(&self) -> PathBuf {
        self.path.join("scalelaw.db")
    }

    /// Makes the folder where it is missing and takes its lock.
    pub fn lock(&self) -> Result<Lock, SchedError> {
        fs::create_dir_all(self.path.join("runs")).map_err(io("creating", &self.path))?;
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

    /// Whether a scheduler works here now. Looking does not get in its way.
    pub fn is_scheduled(&self) -> bool {
        let Ok(file) = File::open(self.path.join("lock")) else { return false };
        matches!(flock(&file, FlockOperation::NonBlockingLockShared), Err(rustix::io::Errno::WOULDBLOCK))
    }

    /// The folder of a run.
    pub fn run(&self, run: RunId) -> PathBuf {
        run_folder(&self.path, run)
    }

    /// Makes the folders of an attempt and its log, and writes `spec.json` where it is missing or damaged.
    pub(crate) fn prepare(&self, task: &Task, attempt: u32) -> Result<File, SchedError> {
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
        let log = attempt_folder.join("log.txt");
        File::create(&log).map_err(io("creating", &log))
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

/// The folder of a run in a state folder.
pub fn run_folder(state: &Path, run: RunId) -> PathBuf {
    state.join("runs").join(run.to_string())
}

pub(crate) fn io(doing: &str, path: &Path) -> impl Fn(std::io::Error) -> SchedError {
    let what = format!("{doing} {}", path.display());
    move |source| SchedError::Io { what: what.clone(), source }
}
