//! Does what the core decides: one loop, one place where everything that can happen comes together.
//!
//! What is decided in one turn becomes durable in one transaction, before anything of it is done: a run is never at work without a
//! row that says so. The loop never leaves early because of a run: what a run comes to is written down and the others go on. Only
//! what stops all of them, such as a database that cannot be written, ends it, and then the workers are told to save first.

mod follow_up;
mod turn;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use spec::files::DataFiles;
use spec::journal::Event as JournalEvent;
use spec::run::RunId;
use spec::state::RunState;
use store::{OpenAttempt, Process, QueueRow, Store, StoreError, Write};
use tokio::signal::unix::{Signal as Listener, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior};

use crate::SchedError;
use crate::core::{Action, Core, Device, Event, Over, Rules};
use crate::executor::{Executor, Happening};
use crate::files::StateFolder;
use crate::gpu;
use crate::launch::Others;

/// What the shell needs beside the runs.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where runs happen.
    pub folder: StateFolder,
    /// The worker program.
    pub worker: PathBuf,
    /// Trainers beside it.
    pub others: Others,
    /// Where the data sets lie, by their fingerprints.
    pub data: BTreeMap<String, DataFiles>,
    /// What runs are computed on; the names of GPUs are those of CUDA_VISIBLE_DEVICES.
    pub devices: Vec<Device>,
    /// Devices of one run.
    pub devices_per_run: u32,
    /// Whether the devices are GPUs of this machine.
    pub on_gpus: bool,
    /// Whether GPUs on which others compute are left alone.
    pub skip_busy: bool,
    /// How attempts are submitted, where Slurm starts them.
    pub slurm: Option<OnSlurm>,
    /// Retries, grace, budget.
    pub rules: Rules,
    /// Runs that go first and alone: the cheapest first, which has to come to its end.
    pub canaries: Vec<RunId>,
    /// The sweep.
    pub sweep_id: i64,
    /// Seconds between checkpoints.
    pub checkpoint_seconds: f64,
    /// Threads of one worker that make batches ahead of time.
    pub loader_threads: u32,
}

/// How attempts are submitted to Slurm.
#[derive(Clone, Debug)]
pub struct OnSlurm {
    /// As the sweep file has it.
    pub settings: spec::sweep::Slurm,
    /// The name of the sweep, which the names of jobs begin with.
    pub name: String,
}

/// Something that happened, for whoever watches.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// An attempt has started.
    Started {
        /// Its run.
        run: RunId,
        /// Its number.
        attempt: u32,
    },
    /// There is something to know of where an attempt begins, such as a damaged checkpoint.
    Noted {
        /// The run.
        run: RunId,
        /// As the worker says it.
        note: String,
    },
    /// There is something to know of the cluster.
    Told(String),
    /// An attempt that an earlier scheduler had submitted goes on.
    TakenOver(RunId),
    /// A run has come so far.
    Step {
        /// The run.
        run: RunId,
        /// Steps done.
        step: u64,
    },
    /// An attempt has ended.
    Ended {
        /// Its run.
        run: RunId,
        /// What the run is now.
        state: RunState,
        /// Held-out loss, where there is one.
        heldout_loss: Option<f64>,
        /// What to tell a person.
        message: Option<String>,
        /// How long it held its slot.
        device_seconds: f64,
    },
    /// Results have called for runs that nobody could name before, or a person for another try.
    Added(Vec<QueueRow>),
    /// A run that waited was cancelled.
    Cancelled(RunId),
    /// A device or a node is used no more.
    Quarantined {
        /// Its name.
        place: String,
        /// What happened there.
        why: String,
    },
    /// Nothing starts any more, and why; or it does again.
    Paused(Option<String>),
    /// A person wants to stop.
    Stopping,
    /// Time has passed.
    Tick,
}

/// How the sweep ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// By itself.
    Over(Over),
    /// A signal stopped it.
    Stopped {
        /// Its number: 2 or 15.
        signal: i32,
    },
}

/// How often journals are read and wishes are looked for.
const TICK: Duration = Duration::from_millis(200);

/// How often results are looked at, while there are other runs to start.
const LOOK_AT_RESULTS: Duration = Duration::from_secs(1);

/// Longest that news in a journal goes unread.
const LONGEST_UNREAD: Duration = Duration::from_secs(10);

/// How often the use of devices is written down: what a killed scheduler loses of it.
const KEEP_USES: Duration = Duration::from_secs(1);

/// An attempt at work.
pub(crate) struct Attempt {
    pub(crate) attempt: u32,
    pub(crate) journal_bytes: u64,
    pub(crate) step: u64,
    pub(crate) beats: bool,
    /// The line after which none follows, once it has come.
    pub(crate) last: Option<JournalEvent>,
    /// What is wrong with its journal, which has been told.
    pub(crate) complaint: Option<String>,
    /// Whether its journal is of somebody else.
    pub(crate) is_foreign: bool,
}

/// What is kept of a run: only what other runs have to do with it.
pub(crate) struct Kin {
    pub(crate) trunk: Option<RunId>,
    pub(crate) is_finetuning: bool,
    /// Runs that wait to go on from its state.
    pub(crate) heirs: usize,
}

pub(crate) struct Shell<'a> {
    pub(crate) store: &'a Store,
    pub(crate) setup: &'a Setup,
    pub(crate) core: Core,
    pub(crate) executor: Executor,
    pub(crate) kin: BTreeMap<RunId, Kin>,
    pub(crate) attempts: BTreeMap<RunId, Attempt>,
    /// Processes that are to be written down with the next change.
    pub(crate) unnoted: Vec<(RunId, u32, Process)>,
    pub(crate) watch: &'a mut dyn FnMut(News),
    pub(crate) began: Instant,
    pub(crate) session_ms: i64,
    uses_kept: Instant,
    followed: Instant,
    pub(crate) gpus: gpu::Watch,
}

/// What made the loop turn.
enum Happened {
    Stop(i32),
    Happenings(Vec<Happening>),
    Tick,
}

struct Listening {
    interrupt: Listener,
    terminate: Listener,
    ticks: Interval,
}

/// Works off all queued runs among `rows`, in their order. What an earlier scheduler has left open must be settled, but for the
/// attempts in `open`: jobs of a cluster, of runs among `rows`, which are taken over.
///
/// Whenever a run of pre-training has ended for good, `more` is asked for runs that were not among `rows`: results may call for some
/// that nobody could name before. They are queued behind the others.
pub async fn run(
    store: &Store,
    setup: &Setup,
    rows: Vec<QueueRow>,
    open: &[OpenAttempt],
    watch: &mut dyn FnMut(News),
    mut more: impl AsyncFnMut() -> Result<Vec<QueueRow>, StoreError>,
) -> Result<End, SchedError> {
    let (now, session_ms) = (Instant::now(), now_ms());
    let gpus = setup.devices.iter().filter(|_| setup.on_gpus).map(|device| device.name.clone()).collect();
    let mut shell = Shell {
        store,
        setup,
        core: Core::new(setup.rules, setup.devices.clone(), Vec::new()),
        executor: Executor::new(setup, session_ms).await?,
        kin: BTreeMap::new(),
        attempts: BTreeMap::new(),
        unnoted: Vec::new(),
        watch,
        began: now,
        session_ms,
        uses_kept: now,
        followed: now,
        gpus: gpu::Watch::new(gpus, setup.skip_busy),
    };
    // First what works: others may wait for it.
    shell.take_over(&rows, open)?;
    shell.enqueue(&rows);
    drop(rows);
    let result = shell.go(&mut more).await;
    if result.is_err() {
        shell.executor.save_all(setup.rules.grace).await;
    }
    result
}

impl Shell<'_> {
    async fn go(
        &mut self,
        more: &mut impl AsyncFnMut() -> Result<Vec<QueueRow>, StoreError>,
    ) -> Result<End, SchedError> {
        let listen =
            |kind| signal(kind).map_err(|source| SchedError::Io { what: "listening for signals".to_owned(), source });
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (interrupt, terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        let mut listening = Listening { interrupt, terminate, ticks };
        let mut stopped_by = 2;
        // Whether there are results that may call for more runs, and when they were last looked at.
        let (mut has_results, mut looked) = (false, Instant::now());
        loop {
            match self.core.over() {
                Some(Over::Stopped) => break,
                Some(over) => {
                    self.keep_uses().await?;
                    return Ok(End::Over(over));
                }
                None => {}
            }
            has_results |= match self.wait(&mut listening).await {
                Happened::Stop(signal) => {
                    stopped_by = signal;
                    if !self.core.is_stopping() {
                        (self.watch)(News::Stopping);
                    }
                    let actions = self.core.handle(self.began.elapsed(), Event::Stop);
                    self.perform(None, actions).await?
                }
                Happened::Happenings(happenings) => self.heed(happenings).await?,
                Happened::Tick => self.tick().await?,
            };
            // A large sweep takes a second to plan anew: once a second, and at once where nothing else can start.
            if has_results && (looked.elapsed() >= LOOK_AT_RESULTS || self.core.is_drained()) {
                (has_results, looked) = (false, Instant::now());
                let new = more().await?;
                if !new.is_empty() {
                    self.enqueue(&new);
                    (self.watch)(News::Added(new));
                    let actions = self.core.handle(self.began.elapsed(), Event::Tick);
                    self.perform(None, actions).await?;
                }
            }
            (self.watch)(News::Tick);
        }
        self.keep_uses().await?;
        Ok(End::Stopped { signal: stopped_by })
    }

    async fn wait(&mut self, listening: &mut Listening) -> Happened {
        tokio::select! {
            biased;
            _ = listening.interrupt.recv() => Happened::Stop(2),
            _ = listening.terminate.recv() => Happened::Stop(15),
            // What has ended together is settled together.
            happening = self.executor.next() => {
                let mut happenings = vec![happening];
                while let Some(happening) = self.executor.next_at_hand() {
                    happenings.push(happening);
                }
                Happened::Happenings(happenings)
            }
            _ = listening.ticks.tick() => Happened::Tick,
        }
    }

    /// Whether journals are to be read: those on a file system that nodes share as often as the queue is looked at.
    fn is_time_to_follow(&mut self) -> bool {
        let poll = self.setup.slurm.as_ref().map_or(0.0, |slurm| slurm.settings.poll_seconds);
        let is_time = self.followed.elapsed() >= Duration::from_secs_f64(poll).min(LONGEST_UNREAD);
        if is_time {
            self.followed = Instant::now();
        }
        is_time
    }

    /// Tells the core which GPUs nothing is to start on, where it is time to ask; `ended` is a run whose attempt is over.
    fn look_who_is_busy(&mut self, ended: Option<RunId>) -> Vec<Action> {
        let (core, executor) = (&self.core, &self.executor);
        if let Some(run) = ended {
            self.gpus.ended(core.devices_of(run));
        }
        let has_ours = |gpu| core.runs_on(gpu).any(|run| Some(run) != ended);
        let busy = self.gpus.look(has_ours, |pid| executor.owns(pid));
        busy.map(|busy| self.core.handle(self.began.elapsed(), Event::Busy(busy))).unwrap_or_default()
    }

    /// Writes down what the devices were used for.
    async fn keep_uses(&mut self) -> Result<(), SchedError> {
        let mut write = self.store.write().await?;
        self.write_uses(&mut write).await?;
        Ok(write.commit().await?)
    }

    async fn write_uses(&mut self, write: &mut Write) -> Result<(), SchedError> {
        self.uses_kept = Instant::now();
        // A place in a cluster's queue that was not used costs nothing.
        let uses = self.core.uses().filter(|(_, used)| used.busy + used.idle > 0.0);
        let uses = uses.map(|(name, used)| (name, used.busy, used.idle));
        write.note_devices(self.session_ms, self.setup.sweep_id, uses, now_ms()).await?;
        for (run, attempt, seconds) in self.core.billed() {
            write.note_billed(run, attempt, seconds).await?;
        }
        Ok(())
    }
}

pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
