//! One turn of the loop: what has happened goes to the core, what it answers becomes durable at once, then it is done.

use spec::run::RunId;
use spec::state::{RunState, Transition};
use store::{Ended, Placement, StoreError, Write};

use super::{Attempt, KEEP_USES, News, Shell, now_ms};
use crate::SchedError;
use crate::core::{Action, Ending, Event, Settled};
use crate::executor::{Exit, Happening, Start};
use crate::verdict::judge;

/// What is done once a turn is durable.
enum Effect {
    Terminate(RunId),
    Kill(RunId),
    Start(Box<Start>),
    Settled(Settled),
    Cancelled(RunId),
    Tell(News),
    Pause(Option<String>),
}

impl Shell<'_> {
    /// Reads journals and wishes. Like all turns it returns whether a run of pre-training has ended for good: a search has to know also
    /// of one that will have no result.
    pub(super) async fn tick(&mut self) -> Result<bool, SchedError> {
        let cancelled = self.grant_wishes().await?;
        let mut write = None;
        let mut actions = self.look_who_is_busy(None);
        let runs: Vec<RunId> =
            if self.is_time_to_follow() { self.attempts.keys().copied().collect() } else { Vec::new() };
        for run in runs {
            if self.follow(run, &mut write).await?
                && let Some(attempt) = self.attempts.get(&run)
            {
                let (attempt, step, beats, is_last) =
                    (attempt.attempt, attempt.step, attempt.beats, attempt.last.is_some());
                let sign = Event::Sign { run, attempt, step, beats, is_last };
                actions.extend(self.core.handle(self.began.elapsed(), sign));
            }
        }
        for exit in self.executor.take_put_off() {
            if let Some(event) = self.judge(exit, &mut write).await? {
                actions.extend(self.core.handle(self.began.elapsed(), event));
            }
        }
        actions.extend(self.core.handle(self.began.elapsed(), Event::Tick));
        if self.uses_kept.elapsed() >= KEEP_USES || !self.unnoted.is_empty() {
            let write = opened(self.store, &mut write).await?;
            self.write_uses(write).await?;
        }
        Ok(self.perform(write, actions).await? || cancelled)
    }

    /// Settles what has ended, and tells the core what else has happened.
    pub(super) async fn heed(&mut self, happenings: Vec<Happening>) -> Result<bool, SchedError> {
        let mut write = None;
        let mut actions = Vec::new();
        for happening in happenings {
            let event = match happening {
                Happening::Ended(exit) => self.judge(exit, &mut write).await?,
                Happening::Placed { run, attempt, node, seconds } => {
                    opened(self.store, &mut write).await?.note_node(run, attempt, &node).await?;
                    Some(Event::Placed { run, attempt, node, seconds })
                }
                Happening::Suspended { run, attempt } => Some(Event::Suspended { run, attempt }),
                Happening::Told(text) => {
                    (self.watch)(News::Told(text));
                    None
                }
                Happening::Refused(attempts, error) => {
                    self.perform(write, actions).await?;
                    self.never_started(&attempts, &error.to_string()).await?;
                    return Err(error.into());
                }
            };
            if let Some(event) = event {
                if let Event::Ended { run, .. } = event {
                    actions.extend(self.look_who_is_busy(Some(run)));
                }
                actions.extend(self.core.handle(self.began.elapsed(), event));
            }
        }
        self.perform(write, actions).await
    }

    /// What an attempt came to; `None` if its journal may not be seen whole yet.
    async fn judge(&mut self, exit: Exit, write: &mut Option<Write>) -> Result<Option<Event>, SchedError> {
        let (run, attempt) = (exit.run, exit.attempt);
        self.follow(run, write).await?;
        let known = self.attempts.get(&run);
        let last = known.and_then(|attempt| attempt.last.as_ref());
        let exit = if last.is_none() { self.executor.put_off(exit) } else { Some(exit) };
        let mut ending = exit.map(|exit| judge(last, &exit.how, &self.setup.folder.log(run, attempt)));
        if let Some(Ending::Crashed { message, .. }) = &mut ending
            && let Some(wrong) = known.and_then(|attempt| attempt.complaint.as_ref())
        {
            *message += &format!("; of its journal: {wrong}");
        }
        Ok(ending.map(|ending| Event::Ended { run, attempt, ending }))
    }

    /// Makes `actions` durable together with what `write` holds already, then does them.
    pub(super) async fn perform(&mut self, write: Option<Write>, actions: Vec<Action>) -> Result<bool, SchedError> {
        let (mut write, now) = (write, now_ms());
        let mut effects = Vec::new();
        for action in actions {
            let effect = match action {
                Action::Terminate(run) => Effect::Terminate(run),
                Action::Kill(run) => Effect::Kill(run),
                Action::Pause(why) => Effect::Pause(why),
                Action::Cancel(run) => {
                    opened(self.store, &mut write).await?.change(run, Transition::Cancel, now).await?;
                    Effect::Cancelled(run)
                }
                Action::Quarantine { place, why } => {
                    let write = opened(self.store, &mut write).await?;
                    let (session, sweep) = (self.session_ms, self.setup.sweep_id);
                    write.note_quarantine(session, sweep, &place, &why, now).await?;
                    Effect::Tell(News::Quarantined { place, why })
                }
                Action::Settle(settled) => {
                    let ended = Ended {
                        outcome: settled.outcome,
                        transition: settled.transition,
                        failure: settled.failure,
                        message: settled.message.clone(),
                        device_seconds: Some(settled.device_seconds),
                    };
                    let write = opened(self.store, &mut write).await?;
                    // Whose process is gone needs nobody to find it.
                    self.unnoted.retain(|(run, ..)| *run != settled.run);
                    write.end_attempt(settled.run, settled.attempt, &ended, now).await?;
                    // Now, and not when it is told: the same run may start again in this very turn.
                    self.executor.forget(settled.run);
                    Effect::Settled(settled)
                }
                Action::Start { run, attempt, devices, halvings } => {
                    let devices = self.core.device_names(&devices);
                    let write = opened(self.store, &mut write).await?;
                    Effect::Start(Box::new(self.prepare(write, run, attempt, devices, halvings).await?))
                }
            };
            effects.push(effect);
        }
        if let Some(mut write) = write {
            self.write_processes(&mut write).await?;
            write.commit().await?;
        }
        let mut results = false;
        let mut starts = false;
        for effect in effects {
            match effect {
                Effect::Terminate(run) => self.executor.terminate(run),
                Effect::Kill(run) => self.executor.kill(run),
                Effect::Start(start) => {
                    starts = true;
                    self.start(*start).await?;
                }
                Effect::Settled(settled) => results |= self.settled(settled),
                Effect::Cancelled(run) => {
                    results |= self.is_pretraining(run);
                    self.ended_for_good(run);
                    (self.watch)(News::Cancelled(run));
                }
                Effect::Tell(news) => (self.watch)(news),
                Effect::Pause(why) => {
                    self.store.pause(self.setup.sweep_id, why.as_deref()).await?;
                    if why.is_none() {
                        self.store.forgive_devices(self.session_ms, self.setup.sweep_id).await?;
                    }
                    (self.watch)(News::Paused(why));
                }
            }
        }
        if starts {
            self.executor.submit(self.core.quarantined());
        }
        Ok(results)
    }

    async fn write_processes(&mut self, write: &mut Write) -> Result<(), StoreError> {
        for (run, attempt, process) in self.unnoted.drain(..) {
            write.note_process(run, attempt, &process).await?;
        }
        Ok(())
    }

    /// Makes ready what an attempt needs: its folder, and its rows.
    async fn prepare(
        &mut self,
        write: &mut Write,
        run: RunId,
        attempt: u32,
        devices: Vec<String>,
        halvings: u32,
    ) -> Result<Start, SchedError> {
        let task = write.task(self.setup.sweep_id, run).await?;
        self.setup.folder.prepare(&task, attempt)?;
        let parts = task.spec.train.arithmetic.accumulate.max(1);
        let accumulate = (halvings > 0).then(|| parts << halvings);
        let job = self.executor.next_job(&task, devices.len());
        let placement = Placement { devices, accumulate, job };
        write.start_attempt(run, attempt, &placement, now_ms()).await?;
        let is_trunk = self.kin.get(&run).is_some_and(|kin| kin.heirs > 0);
        Ok(Start { task, attempt, devices: placement.devices, accumulate, is_trunk })
    }

    async fn start(&mut self, start: Start) -> Result<(), SchedError> {
        let (run, attempt) = (start.task.run, start.attempt);
        let is_built_in = start.task.spec.trainer.is_none();
        match self.executor.start(self.setup, start) {
            Ok(process) => self.unnoted.extend(process.map(|process| (run, attempt, process))),
            Err(source) => {
                self.never_started(&[(run, attempt)], &source.to_string()).await?;
                return Err(match is_built_in {
                    true => SchedError::Worker { worker: self.setup.worker.clone(), source },
                    false => SchedError::Io { what: format!("starting the trainer of run {run}"), source },
                });
            }
        }
        let new = Attempt {
            attempt,
            journal_bytes: 0,
            step: 0,
            beats: false,
            last: None,
            complaint: None,
            is_foreign: false,
        };
        self.attempts.insert(run, new);
        (self.watch)(News::Started { run, attempt });
        Ok(())
    }

    /// Nothing has happened to these runs; the machine or the sweep file is not fit.
    async fn never_started(&mut self, attempts: &[(RunId, u32)], why: &str) -> Result<(), SchedError> {
        let mut write = self.store.write().await?;
        for (run, attempt) in attempts {
            let ended = Ended {
                outcome: store::Outcome::Preempted,
                transition: Transition::Requeue,
                failure: None,
                message: Some(why.to_owned()),
                device_seconds: Some(0.0),
            };
            write.end_attempt(*run, *attempt, &ended, now_ms()).await?;
        }
        Ok(write.commit().await?)
    }

    /// Tells of an attempt that is settled, and whether a run of pre-training has ended with it.
    fn settled(&mut self, settled: Settled) -> bool {
        let Settled { run, transition, message, device_seconds, .. } = settled;
        let last = self.attempts.remove(&run).and_then(|attempt| attempt.last);
        let heldout_loss = match last {
            Some(spec::journal::Event::Finished(finished)) => Some(finished.heldout_loss.nats()),
            _ => None,
        };
        let state = RunState::Running.next(transition).unwrap_or(RunState::Running);
        if state.is_final() {
            self.ended_for_good(run);
        }
        (self.watch)(News::Ended { run, state, heldout_loss, message, device_seconds });
        state.is_final() && self.is_pretraining(run)
    }

    fn is_pretraining(&self, run: RunId) -> bool {
        self.kin.get(&run).is_some_and(|kin| !kin.is_finetuning)
    }
}

/// The transaction of this turn, begun where it has not been.
pub(super) async fn opened<'a>(
    store: &store::Store,
    write: &'a mut Option<Write>,
) -> Result<&'a mut Write, StoreError> {
    match write {
        Some(write) => Ok(write),
        none => Ok(none.insert(store.write().await?)),
    }
}
