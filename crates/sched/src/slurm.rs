//! Slurm: attempts as tasks of job arrays.
//!
//! A task is known by the name of its batch and its number in it, which are fixed before anything is submitted: so a job is found again
//! after any crash, and a number that Slurm uses once more misleads nobody. What has to be decided is decided by pure functions in
//! [`batch`], [`state`] and [`table`]; this file calls the commands.

mod batch;
mod state;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use spec::sweep::Slurm as Settings;
use tokio::process::Command;

pub use batch::{Shape, Task};
pub use state::{Cause, Verdict};
pub use table::{JobId, Limits, NoJob, Status};

/// Why Slurm does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SlurmError {
    /// There is none.
    #[error(
        "{0}: not found; run this on a machine from which jobs are submitted, or set resources.executor to \"local\" in the sweep file"
    )]
    Missing(String),
    /// It may do so later: nobody answers, or there are too many jobs.
    #[error("{command}: {said}")]
    NotNow {
        /// What was asked.
        command: String,
        /// What it said.
        said: String,
    },
    /// It never will.
    #[error(
        "{command} refuses: {said}; mend [slurm] in the sweep file, or see what `sinfo` and `sacctmgr show assoc` say is allowed"
    )]
    Refused {
        /// What was asked.
        command: String,
        /// What it said.
        said: String,
    },
    /// The files of a batch cannot be written.
    #[error("writing {}: {source}", .path.display())]
    Files {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Longest that a command of Slurm may take; a busy controller lets one wait for tens of seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// Jobs in the arguments of one command.
const MANY: usize = 500;

/// A cluster, as seen by one scheduler.
#[derive(Debug)]
pub struct Slurm {
    settings: Settings,
    /// Where batches lie: on the file system that the nodes share.
    folder: PathBuf,
    limits: Limits,
    /// The arrays of each batch; more than one where Slurm took in a batch without saying so.
    arrays: BTreeMap<String, BTreeSet<u64>>,
}

impl Slurm {
    /// Asks the cluster what it allows. `folder` takes the batches, and has to be seen by all nodes at the same place.
    pub async fn connect(settings: &Settings, folder: &Path) -> Result<Slurm, SlurmError> {
        let folder = std::path::absolute(folder).map_err(files(folder))?;
        Ok(Slurm { settings: settings.clone(), folder, limits: limits().await?, arrays: BTreeMap::new() })
    }

    /// What the cluster allows.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Submits `part` of at most [`Limits::max_array`] attempts of one shape as one array that keeps away from `excluded` nodes;
    /// task N is `tasks[N]`. `batch` is a name that no other batch ever had. After [`SlurmError::NotNow`] Slurm may have them
    /// nevertheless: [`Slurm::poll`] knows, and until then the same part may be submitted again, for no task is started twice.
    pub async fn submit(
        &mut self,
        batch: &str,
        shape: &Shape,
        tasks: &[Task],
        part: Range<u32>,
        excluded: &BTreeSet<String>,
    ) -> Result<(), SlurmError> {
        let folder = self.folder.join(batch);
        write(&folder, tasks)?;
        let arguments = batch::arguments(batch, &folder, part, shape, &self.settings, excluded);
        let said = call("sbatch", &arguments).await?;
        // Without a number, the queue tells it.
        if let Some(array) = table::submitted(&said) {
            self.arrays.entry(batch.to_owned()).or_default().insert(array);
        }
        Ok(())
    }

    /// Where `jobs` stand, by one look at the queue, and one at the accounting for those that have left it. Where the accounting
    /// does not answer, these are not among them.
    pub async fn poll(&mut self, jobs: &[JobId]) -> Result<BTreeMap<JobId, Status>, SlurmError> {
        let mut found = BTreeMap::new();
        if jobs.is_empty() {
            return Ok(found);
        }
        let user = format!("--user={}", rustix::process::getuid().as_raw());
        let format = format!("--Format={}", table::QUEUE_FORMAT);
        let text = call("squeue", &["--noheader", "--states=all", "--array", &user, &format]).await?;
        self.sort(table::queue(&text), jobs, &mut found);
        let left: Vec<&JobId> = jobs.iter().filter(|job| !found.contains_key(job)).collect();
        let mut is_known = true;
        if self.limits.accounting && !left.is_empty() {
            let names: BTreeSet<&str> = left.iter().map(|job| job.batch.as_str()).collect();
            let names: Vec<&str> = names.into_iter().collect();
            let format = format!("--format={}", table::ACCOUNTING_FORMAT);
            for names in names.chunks(MANY) {
                let name = format!("--name={}", names.join(","));
                let since = format!("--starttime=now-{}minutes", self.minutes_since(names));
                let arguments = ["--noheader", "--parsable2", "--allocations", &user, &name, &since, &format];
                match call("sacct", &arguments).await {
                    Ok(text) => self.sort(table::accounting(&text), jobs, &mut found),
                    Err(SlurmError::NotNow { .. }) => is_known = false,
                    Err(error) => return Err(error),
                }
            }
        }
        for job in jobs.iter().filter(|_| is_known) {
            found.entry(job.clone()).or_insert_with(|| Status {
                verdict: Verdict::Gone,
                array: 0,
                node: None,
                reason: String::new(),
                seconds: 0.0,
            });
        }
        for (job, status) in &mut found {
            if status.verdict == Verdict::Ended(Cause::Cancelled) && self.mark(job).exists() {
                status.verdict = Verdict::Ended(Cause::Stopped);
            }
        }
        Ok(found)
    }

    /// Keeps what is about `jobs`, and the numbers of their arrays.
    fn sort(&mut self, read: Vec<(JobId, Status)>, jobs: &[JobId], found: &mut BTreeMap<JobId, Status>) {
        let wanted: BTreeSet<&JobId> = jobs.iter().collect();
        for (job, status) in read.into_iter().filter(|(job, _)| wanted.contains(job)) {
            self.arrays.entry(job.batch.clone()).or_default().insert(status.array);
            if found.get(&job).is_none_or(|other| other.verdict.weight() < status.verdict.weight()) {
                found.insert(job, status);
            }
        }
    }

    /// Minutes since the oldest of these batches was written, and an hour for clocks that differ.
    fn minutes_since(&self, batches: &[&str]) -> u64 {
        let age =
            |batch: &&str| fs::metadata(self.folder.join(batch).join("batch.sh")).ok()?.modified().ok()?.elapsed().ok();
        let oldest = batches.iter().filter_map(age).max().unwrap_or(Duration::from_secs(7 * 86_400));
        oldest.as_secs() / 60 + 60
    }

    /// Asks those that are at work to save their state and stop, and takes back those that wait.
    pub async fn terminate(&mut self, jobs: &[JobId]) -> Result<(), SlurmError> {
        self.mark_stopped(jobs)?;
        // In this order: one that starts in between gets the signal, or is taken back, which begins with the same signal.
        self.scancel(&["--state=PENDING"], jobs).await?;
        self.scancel(&["--signal=TERM", "--batch"], jobs).await
    }

    /// Ends jobs: those at work get the signal to stop, and [`Limits::kill_wait`] later they are killed.
    pub async fn cancel(&mut self, jobs: &[JobId]) -> Result<(), SlurmError> {
        self.mark_stopped(jobs)?;
        self.scancel(&[], jobs).await
    }

    /// Notes that it was not a person who took these jobs back, for whoever schedules when that is seen.
    fn mark_stopped(&self, jobs: &[JobId]) -> Result<(), SlurmError> {
        for job in jobs {
            let path = self.mark(job);
            let folder = self.folder.join(&job.batch);
            fs::create_dir_all(&folder).and_then(|()| fs::write(&path, "")).map_err(files(&path))?;
        }
        Ok(())
    }

    fn mark(&self, job: &JobId) -> PathBuf {
        self.folder.join(&job.batch).join(format!("{}.stopped", job.task))
    }

    /// Makes sure that a job that has not started never will; false if it has.
    pub fn claim(&self, job: &JobId) -> bool {
        let folder = self.folder.join(&job.batch);
        // The mark by which the script of the batch knows that a task was started.
        fs::create_dir_all(&folder).and_then(|()| fs::create_dir(folder.join(format!("{}.started", job.task)))).is_ok()
    }

    /// What the script of the batch or Slurm had to say of a job, before its program began or after it was ended.
    pub fn said(&self, job: &JobId) -> String {
        let content = fs::read(self.folder.join(&job.batch).join("slurm.txt")).unwrap_or_default();
        let text = String::from_utf8_lossy(&content);
        let own = format!("task {} on ", job.task);
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with(&own)).collect();
        lines.last().map_or_else(String::new, ToString::to_string)
    }

    /// Removes the files of a batch of which nothing is left to do, but for what it had to say.
    pub fn clear(&mut self, batch: &str) {
        self.arrays.remove(batch);
        let folder = self.folder.join(batch);
        if fs::metadata(folder.join("slurm.txt")).map_or(0, |said| said.len()) == 0 {
            // What cannot be removed only takes space.
            let _ = fs::remove_dir_all(folder);
        }
    }

    async fn scancel(&mut self, options: &[&str], jobs: &[JobId]) -> Result<(), SlurmError> {
        let mut batches = BTreeMap::<&str, Vec<&JobId>>::new();
        for job in jobs {
            batches.entry(&job.batch).or_default().push(job);
        }
        if batches.keys().any(|batch| !self.arrays.contains_key(*batch)) {
            self.poll(jobs).await?;
        }
        for (batch, jobs) in batches {
            let arrays = self.arrays.get(batch).into_iter().flatten();
            let numbers: Vec<String> =
                arrays.flat_map(|array| jobs.iter().map(move |job| format!("{array}_{}", job.task))).collect();
            // The name as well: numbers are used once more when a cluster has been set up anew.
            let name = format!("--name={batch}");
            for numbers in numbers.chunks(MANY) {
                let numbers = numbers.iter().map(String::as_str);
                let arguments: Vec<&str> =
                    ["--quiet", &name].into_iter().chain(options.iter().copied()).chain(numbers).collect();
                call("scancel", &arguments).await?;
            }
        }
        Ok(())
    }
}

/// What the cluster allows, from its controller.
pub async fn limits() -> Result<Limits, SlurmError> {
    Ok(table::limits(&call("scontrol", &["show", "config"]).await?))
}

/// The partitions, as in `gpu* (4 nodes, 7-00:00:00)`.
pub async fn partitions() -> Result<Vec<String>, SlurmError> {
    let text = call("sinfo", &["--noheader", "--format=%P (%D nodes, at most %l)"]).await?;
    Ok(text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect())
}

/// Writes the files of a batch; those of one that was written before are the same.
fn write(folder: &Path, tasks: &[Task]) -> Result<(), SlurmError> {
    fs::create_dir_all(folder).map_err(files(folder))?;
    let script = folder.join("batch.sh");
    fs::write(&script, batch::SCRIPT).map_err(files(&script))?;
    for (number, task) in tasks.iter().enumerate() {
        let path = folder.join(number.to_string());
        batch::words(task).and_then(|words| fs::write(&path, words)).map_err(files(&path))?;
    }
    Ok(())
}

fn files(path: &Path) -> impl Fn(std::io::Error) -> SlurmError {
    move |source| SlurmError::Files { path: path.to_owned(), source }
}

/// What a command of Slurm prints.
async fn call<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> Result<String, SlurmError> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let inherited =
        std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_str().is_some_and(batch::is_inherited));
    inherited.for_each(|name: OsString| {
        command.env_remove(name);
    });
    let not_now = |said: String| SlurmError::NotNow { command: program.to_owned(), said };
    let output = match tokio::time::timeout(PATIENCE, command.output()).await {
        Err(_) => return Err(not_now(format!("no answer within {} s", PATIENCE.as_secs()))),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(SlurmError::Missing(program.to_owned()));
        }
        Ok(Err(error)) => return Err(not_now(error.to_string())),
        Ok(Ok(output)) => output,
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines =
        said.lines().map(|line| line.trim().trim_start_matches(&format!("{program}: ")).trim_start_matches("error: "));
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    let said = if lines.is_empty() { output.status.to_string() } else { lines.join(", ") };
    // Only jobs can be refused: who cannot look at the queue now can do so later.
    if program == "sbatch" && !table::is_not_now(&said) {
        return Err(SlurmError::Refused { command: program.to_owned(), said });
    }
    Err(not_now(said))
}
