//! Does what the core decides: one loop, one place where everything that can happen comes together.
//!
//! The loop never leaves early because of a run: what a run comes to is written down and the others go on. Only what
//! stops all of them, such as a database that cannot be written, ends it, and then the workers are told to save first.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use spec::files::DataFiles;
use spec::journal::Event as JournalEvent;
use spec::run::RunId;
use spec::state::{Failure, RunState, Transition};
use store::{Ended, Outcome, RunRow, Store, StoreError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::core::{Action, Core, Ending, Event, Rules, Waiting};
use crate::files::{StateFolder, io};
use crate::launch::Others;
use crate::{SchedError, follow, process};

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
    /// The GPUs that may be used, as CUDA_VISIBLE_DEVICES names them; a slot of a run on a GPU is one of them.
    pub gpus: Vec<String>,
    /// Slots, retries, grace.
    pub rules: Rules,
    /// Seconds between checkpoints.
    pub checkpoint_seconds: f64,
    /// Threads of one worker that make batches ahead of time.
    pub loader_threads: u32,
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
    /// Results have called for runs that nobody could name before.
    Added(Vec<RunRow>),
    /// A person wants to stop.
    Stopping,
    /// Time has passed.
    Tick,
}

/// How the sweep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Every run has its final state.
    Done,
    /// A signal stopped it.
    Stopped {
        /// Its number: 2 or 15.
        signal: i32,
    },
}

/// How often journals are read.
const TICK: Duration = Duration::from_millis(200);

/// Exit code of a worker that saved its state and stopped.
const PREEMPTED: i32 = 75;

struct Attempt {
    row: RunRow,
    attempt: u32,
    pid: i32,
    began: Instant,
    journal_bytes: u64,
    /// The line after which none follows, once it has come.
    last: Option<JournalEvent>,
}

struct Shell<'a> {
    store: &'a Store,
    setup: &'a Setup,
    rows: BTreeMap<RunId, RunRow>,
    attempts: BTreeMap<RunId, Attempt>,
    children: JoinSet<(RunId, u32, std::io::Result<ExitStatus>)>,
    watch: &'a mut dyn FnMut(News),
}

/// Works off all queued runs among `rows`, in their order. What an earlier scheduler has left open must be settled.
///
/// Whenever a run of pre-training has its result, `more` is asked for runs that were not among `rows`: results may call for some
/// that nobody could name before. They are queued behind the others.
pub async fn run(
    store: &Store,
    setup: &Setup,
    rows: Vec<RunRow>,
    watch: &mut dyn FnMut(News),
    more: impl AsyncFnMut() -> Result<Vec<RunRow>, StoreError>,
) -> Result<End, SchedError> {
    let mut core = Core::new(setup.rules, queued(&rows));
    let rows = rows.into_iter().map(|row| (row.run, row)).collect();
    let mut shell = Shell { store, setup, rows, attempts: BTreeMap::new(), children: JoinSet::new(), watch };
    let result = shell.go(&mut core, more).await;
    if result.is_err() {
        shell.save_all().await;
    }
    result
}

/// The queued runs among `rows`, as the core knows them.
fn queued<'a>(rows: impl IntoIterator<Item = &'a RunRow>) -> Vec<Waiting> {
    let queued = rows.into_iter().filter(|row| row.wanted && row.state == RunState::Queued);
    queued
        .map(|row| Waiting {
            run: row.run,
            attempt: row.attempt,
            crashes: row.crashes,
            not_before: Duration::ZERO,
            after: row.trunk.map(|trunk| trunk.run),
        })
        .collect()
}

impl Shell<'_> {
    async fn go(
        &mut self,
        core: &mut Core,
        mut more: impl AsyncFnMut() -> Result<Vec<RunRow>, StoreError>,
    ) -> Result<End, SchedError> {
        let listen =
            |kind| signal(kind).map_err(|source| SchedError::Io { what: "listening for signals".to_owned(), source });
        let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let began = Instant::now();
        let mut stopped_by = 2;
        while !core.is_done() {
            let event = tokio::select! {
                biased;
                _ = interrupt.recv() => { stopped_by = 2; Event::Stop }
                _ = terminate.recv() => { stopped_by = 15; Event::Stop }
                Some(ended) = self.children.join_next() => match ended {
                    Ok((run, attempt, status)) => self.reap(run, attempt, status).await?,
                    // Only a panic in the two lines that wait for a child could lead here.
                    Err(_) => Event::Tick,
                },
                _ = ticks.tick() => { self.follow_all().await?; Event::Tick }
            };
            if event == Event::Stop && !core.is_stopping() {
                (self.watch)(News::Stopping);
            }
            for action in core.handle(began.elapsed(), event) {
                let ended = match action {
                    Action::Settle { run, transition: Transition::Complete | Transition::Diverge, .. } => Some(run),
                    _ => None,
                };
                self.perform(action).await?;
                if let Some(run) = ended {
                    self.drop_trunk(run);
                    if self.rows.get(&run).is_some_and(|row| row.spec.pretrained.is_none()) {
                        self.add(core, more().await?);
                    }
                }
            }
            (self.watch)(News::Tick);
        }
        Ok(if core.is_stopping() { End::Stopped { signal: stopped_by } } else { End::Done })
    }

    /// Queues runs that nobody has asked for before.
    fn add(&mut self, core: &mut Core, new: Vec<RunRow>) {
        if new.is_empty() {
            return;
        }
        core.add(queued(&new));
        (self.watch)(News::Added(new.clone()));
        self.rows.extend(new.into_iter().map(|row| (row.run, row)));
    }

    /// Removes the state that `run` has gone on from, once no other run waits for it. A budget that is added later is then
    /// trained from its first step on, to the same bits.
    fn drop_trunk(&mut self, run: RunId) {
        if let Some(row) = self.rows.get_mut(&run) {
            row.state = RunState::Completed;
        }
        let Some(trunk) = self.rows.get(&run).and_then(|row| row.trunk) else { return };
        let waits =
            |row: &RunRow| row.wanted && !row.state.is_final() && row.trunk.is_some_and(|own| own.run == trunk.run);
        if !self.rows.values().any(waits) {
            // What cannot be removed only takes space.
            let _ = std::fs::remove_dir_all(self.setup.folder.run(trunk.run).join("trunk"));
        }
    }

    async fn perform(&mut self, action: Action) -> Result<(), SchedError> {
        match action {
            Action::Start { run, attempt, slot } => self.start(run, attempt, slot).await,
            Action::Terminate(run) => {
                self.signal(run, Signal::TERM);
                Ok(())
            }
            Action::Kill(run) => {
                self.signal(run, Signal::KILL);
                Ok(())
            }
            Action::Settle { run, attempt, outcome, transition, message } => {
                self.settle(run, attempt, outcome, transition, message).await
            }
        }
    }

    fn signal(&self, run: RunId, signal: Signal) {
        if let Some(attempt) = self.attempts.get(&run) {
            process::signal(attempt.pid, signal);
        }
    }

    async fn start(&mut self, run: RunId, attempt: u32, slot: usize) -> Result<(), SchedError> {
        let Some(row) = self.rows.get(&run).cloned() else { return Ok(()) };
        let log = self.setup.folder.prepare(&row, attempt)?;
        self.store.start_attempt(run, attempt, now_ms()).await?;
        let folder = self.setup.folder.run(run);
        let began = Instant::now();
        let child = match process::start(self.setup, &folder, attempt, &row, slot, self.is_trunk(run), log) {
            Ok(child) => child,
            Err(source) => {
                // Nothing has happened to the run; the machine is not fit.
                let message = Some(source.to_string());
                let ended = Ended {
                    outcome: Outcome::Preempted,
                    transition: Transition::Requeue,
                    message,
                    device_seconds: Some(0.0),
                };
                self.store.end_attempt(run, attempt, &ended, now_ms()).await?;
                return Err(SchedError::Worker { worker: self.setup.worker.clone(), source });
            }
        };
        let pid = child.id().map_or(0, |pid| pid as i32);
        self.attempts.insert(run, Attempt { row, attempt, pid, began, journal_bytes: 0, last: None });
        let mut child = child;
        self.children.spawn(async move { (run, attempt, child.wait().await) });
        if let Some(process) = process::identify(pid) {
            self.store.note_process(run, attempt, &process).await?;
        }
        (self.watch)(News::Started { run, attempt });
        Ok(())
    }

    /// Whether other runs go on from its state.
    fn is_trunk(&self, run: RunId) -> bool {
        self.rows.values().any(|row| row.wanted && row.trunk.is_some_and(|trunk| trunk.run == run))
    }

    async fn follow_all(&mut self) -> Result<(), SchedError> {
        let runs: Vec<RunId> = self.attempts.keys().copied().collect();
        for run in runs {
            self.follow(run).await?;
        }
        Ok(())
    }

    /// Takes what is new in the journal of a run into the database.
    async fn follow(&mut self, run: RunId) -> Result<(), SchedError> {
        let Some(attempt) = self.attempts.get_mut(&run) else { return Ok(()) };
        let path = self.setup.folder.journal(run, attempt.attempt);
        let added = follow::read(&path, attempt.journal_bytes).map_err(io("reading", &path))?;
        if added.end == attempt.journal_bytes {
            return Ok(());
        }
        self.store.ingest(run, attempt.attempt, &added.lines, attempt.journal_bytes, added.end).await?;
        attempt.journal_bytes = added.end;
        if let Some(last) = added.last() {
            attempt.last = Some(last.clone());
        }
        for line in &added.lines {
            if let JournalEvent::Started { notes, .. } = &line.event {
                notes.iter().for_each(|note| (self.watch)(News::Noted { run, note: note.clone() }));
            }
        }
        let mut steps = added.lines.iter().filter_map(|line| match &line.event {
            JournalEvent::Progress { step, .. } => Some(*step),
            JournalEvent::Started { resumed_step, .. } => Some(*resumed_step),
            _ => None,
        });
        if let Some(step) = steps.next_back() {
            (self.watch)(News::Step { run, step });
        }
        Ok(())
    }

    /// What a process that has ended came to.
    async fn reap(
        &mut self,
        run: RunId,
        attempt: u32,
        status: std::io::Result<ExitStatus>,
    ) -> Result<Event, SchedError> {
        self.follow(run).await?;
        let last = self.attempts.get(&run).and_then(|attempt| attempt.last.clone());
        let code = status.as_ref().ok().and_then(ExitStatus::code);
        let crashed = |class, message| Ending::Crashed { class, message };
        let ending = match (last, code) {
            // The journal is the truth: a result that reached the disk counts, whatever killed the process afterwards.
            (Some(JournalEvent::Finished(_)), _) => Ending::Completed,
            (Some(JournalEvent::Diverged { .. }), _) => Ending::Diverged,
            (Some(JournalEvent::Preempted { .. }), Some(PREEMPTED)) => Ending::Preempted,
            (Some(JournalEvent::Failed { class, message }), _) => crashed(class, message),
            _ => {
                let said = process::tail(&self.setup.folder.log(run, attempt));
                let how = status.as_ref().map_or_else(ToString::to_string, |status| process::describe(*status));
                let message = if said.is_empty() { how } else { format!("{how}: {said}") };
                let class = if code.is_some() { Failure::Code } else { Failure::Node };
                crashed(class, message)
            }
        };
        Ok(Event::Ended { run, attempt, ending })
    }

    async fn settle(
        &mut self,
        run: RunId,
        attempt: u32,
        outcome: Outcome,
        transition: Transition,
        message: Option<String>,
    ) -> Result<(), SchedError> {
        let Some(ended) = self.attempts.remove(&run) else { return Ok(()) };
        let device_seconds = ended.began.elapsed().as_secs_f64();
        let record = Ended { outcome, transition, message: message.clone(), device_seconds: Some(device_seconds) };
        self.store.end_attempt(run, attempt, &record, now_ms()).await?;
        let heldout_loss = match ended.last {
            Some(JournalEvent::Finished(finished)) => Some(finished.heldout_loss.nats()),
            _ => None,
        };
        let state =
            ended.row.state.next(Transition::Start).and_then(|state| state.next(transition)).unwrap_or(ended.row.state);
        (self.watch)(News::Ended { run, state, heldout_loss, message, device_seconds });
        Ok(())
    }

    /// The end of everything: let the workers save what they have. What they came to is settled by the next scheduler.
    async fn save_all(&mut self) {
        let runs: Vec<RunId> = self.attempts.keys().copied().collect();
        runs.iter().for_each(|run| self.signal(*run, Signal::TERM));
        let all = async { while self.children.join_next().await.is_some() {} };
        if tokio::time::timeout(self.setup.rules.grace, all).await.is_err() {
            runs.iter().for_each(|run| self.signal(*run, Signal::KILL));
        }
    }
}

pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
