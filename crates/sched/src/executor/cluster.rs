//! Attempts as jobs of Slurm, as the scheduler's loop sees them: it never waits for a command of Slurm, which may take a minute. What it
//! wants goes to the [`watcher`], and what happens comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::time::{Duration, Instant};

use spec::run::{DeviceKind, RunId};
use store::{OpenAttempt, Task as RunTask};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::watcher::{self, Batch, Order};
use super::{Exit, Happening, Start};
use crate::files::io;
use crate::shell::{OnSlurm, Setup};
use crate::slurm::{JobId, Shape, Slurm, SlurmError, Task};
use crate::{SchedError, process};

/// Longest that a journal may be seen later than the end of its job.
const LATEST: Duration = Duration::from_secs(10);

/// Bytes of a gibibyte.
const GIB: f64 = (1_u64 << 30) as f64;

/// The jobs of a sweep.
pub(crate) struct Cluster {
    /// What the names of all batches begin with.
    prefix: String,
    batches: u32,
    /// Tasks of one array.
    most: usize,
    loader_threads: u32,
    memory_bytes: Option<u64>,
    /// What will be submitted next, by its name, and for each shape the one that is not full.
    gathered: BTreeMap<String, Batch>,
    open: BTreeMap<Shape, String>,
    jobs: BTreeMap<RunId, JobId>,
    /// Ends that were put off, and since when.
    put_off: BTreeMap<RunId, (Instant, Option<Exit>)>,
    lateness: Duration,
    orders: UnboundedSender<Order>,
    words: UnboundedReceiver<Happening>,
}

impl Cluster {
    pub(super) async fn connect(setup: &Setup, slurm: &OnSlurm, session_ms: i64) -> Result<Cluster, SchedError> {
        let client = Slurm::connect(&slurm.settings, &batches(setup.folder.runs())?).await?;
        let most = client.limits().max_array.max(1) as usize;
        let poll = Duration::from_secs_f64(slurm.settings.poll_seconds);
        let (orders, receiver) = unbounded_channel();
        let (sender, words) = unbounded_channel();
        tokio::spawn(watcher::watch(client, poll, receiver, sender));
        Ok(Cluster {
            prefix: format!("scalelaw-{}-{session_ms:x}", slurm.name),
            batches: 0,
            most,
            loader_threads: setup.loader_threads,
            memory_bytes: slurm.settings.memory_gib.map(|gib| (gib * GIB) as u64),
            gathered: BTreeMap::new(),
            open: BTreeMap::new(),
            jobs: BTreeMap::new(),
            put_off: BTreeMap::new(),
            // Where people look often, the file system is fast.
            lateness: poll.clamp(Duration::from_secs(1), LATEST),
            orders,
            words,
        })
    }

    /// The job that an attempt on `task` becomes if it is the next to be gathered.
    pub(super) fn next_job(&mut self, task: &RunTask, devices: usize) -> JobId {
        let shape = self.shape(task, devices);
        let open = self
            .open
            .get(&shape)
            .filter(|name| self.gathered.get(*name).is_some_and(|batch| (batch.reserved as usize) < self.most));
        let name = open.cloned().unwrap_or_else(|| {
            self.batches += 1;
            format!("{}-{:03}", self.prefix, self.batches)
        });
        self.open.insert(shape, name.clone());
        let batch = self.gathered.entry(name.clone()).or_insert_with(|| Batch::new(name, shape));
        let job = JobId { batch: batch.name.clone(), task: batch.reserved };
        batch.reserved += 1;
        self.jobs.insert(task.run, job.clone());
        job
    }

    fn shape(&self, task: &RunTask, devices: usize) -> Shape {
        let on_gpus = task.spec.train.arithmetic.device == DeviceKind::Cuda;
        Shape {
            cpus: task.spec.train.threads + self.loader_threads,
            gpus: if on_gpus { devices as u32 } else { 0 },
            memory_bytes: self.memory_bytes,
        }
    }

    /// Adds an attempt to its batch; in the order in which they got their jobs.
    pub(super) fn gather(&mut self, setup: &Setup, start: Start) -> io::Result<()> {
        let (run, attempt) = (start.task.run, start.attempt);
        let on_gpus = start.task.spec.train.arithmetic.device == DeviceKind::Cuda;
        let log = std::path::absolute(setup.folder.log(run, attempt))?;
        // It outlives this process, and another one takes it over.
        let (command, holds_lock) = process::command(setup, &start, None)?;
        let lock = std::path::absolute(setup.folder.run(run).join("lock"))?;
        let command = command.as_std();
        let variable = |(name, value): (&std::ffi::OsStr, Option<&std::ffi::OsStr>)| {
            Some((name.to_str()?.to_owned(), value?.to_owned()))
        };
        // Which GPUs a job may use is what Slurm says.
        let is_ours = |(name, _): &(String, OsString)| !(on_gpus && name == "CUDA_VISIBLE_DEVICES");
        let task = Task {
            run,
            attempt,
            program: command.get_program().into(),
            arguments: command.get_args().map(OsString::from).collect(),
            environment: command.get_envs().filter_map(variable).filter(is_ours).collect(),
            directory: command.get_current_dir().map(Into::into),
            lock: holds_lock.then_some(lock),
            log,
        };
        let batch = self.jobs.get(&run).and_then(|job| self.gathered.get_mut(&job.batch));
        if let Some(batch) = batch {
            batch.tasks.push(task);
        }
        Ok(())
    }

    /// Submits what was gathered, away from `excluded` nodes.
    pub(super) fn submit(&mut self, excluded: &BTreeSet<String>) {
        self.open.clear();
        for mut batch in std::mem::take(&mut self.gathered).into_values() {
            batch.excluded.clone_from(excluded);
            self.order(Order::Submit(batch));
        }
    }

    /// Takes over an attempt that an earlier scheduler submitted, or was about to.
    pub(super) fn adopt(&mut self, open: &OpenAttempt) -> bool {
        let Some(job) = open.job.as_deref().and_then(|job| job.parse::<JobId>().ok()) else { return false };
        self.jobs.insert(open.run, job.clone());
        self.order(Order::Adopt { job, run: open.run, attempt: open.attempt });
        true
    }

    pub(super) async fn next(&mut self) -> Happening {
        let gone = || SlurmError::NotNow { command: "squeue".to_owned(), said: "nobody asks any more".to_owned() };
        self.words.recv().await.unwrap_or_else(|| Happening::Refused(Vec::new(), gone()))
    }

    pub(super) fn next_at_hand(&mut self) -> Option<Happening> {
        self.words.try_recv().ok()
    }

    pub(super) fn forget(&mut self, run: RunId) {
        self.put_off.remove(&run);
        if let Some(job) = self.jobs.remove(&run) {
            self.order(Order::Forget(job));
        }
    }

    pub(super) fn stop(&self, run: RunId, kill: bool) {
        if let Some(job) = self.jobs.get(&run) {
            self.order(Order::Stop { job: job.clone(), kill });
        }
    }

    pub(super) fn put_off(&mut self, exit: Exit) -> Option<Exit> {
        let (since, place) = self.put_off.entry(exit.run).or_insert_with(|| (Instant::now(), None));
        if since.elapsed() >= self.lateness {
            return Some(exit);
        }
        *place = Some(exit);
        None
    }

    pub(super) fn take_put_off(&mut self) -> Vec<Exit> {
        self.put_off.values_mut().filter_map(|(_, exit)| exit.take()).collect()
    }

    fn order(&self, order: Order) {
        // Where nobody is left to take it, `next` says so.
        let _ = self.orders.send(order);
    }
}

/// Where batches lie: beside the runs, which the nodes see too; by its own name, since a link of this machine is none of theirs.
pub(crate) fn batches(runs: &std::path::Path) -> Result<std::path::PathBuf, SchedError> {
    Ok(std::fs::canonicalize(runs).map_err(io("looking for", runs))?.join("slurm"))
}
