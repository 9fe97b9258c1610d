//! What goes on beside the decisions: queueing runs, reading journals, wishes of people, states that nobody needs any more.

use spec::journal::Event as JournalEvent;
use spec::run::RunId;
use spec::state::{RunState, Transition};
use store::{OpenAttempt, QueueRow, Request, Wish, Write};

use super::turn::opened;
use super::{Attempt, Kin, News, Shell, now_ms};
use crate::core::{Canary, Event, Steps, Waiting};
use crate::files::{StateFolder, io};
use crate::{SchedError, follow};

impl Shell<'_> {
    /// Queues what waits among `rows`.
    pub(super) fn enqueue(&mut self, rows: &[QueueRow]) {
        for row in rows.iter().filter(|row| row.wanted) {
            let kin = Kin { trunk: row.trunk.map(|trunk| trunk.run), is_finetuning: row.is_finetuning, heirs: 0 };
            self.kin.insert(row.run, kin);
        }
        for row in rows.iter().filter(|row| row.wanted && !row.state.is_final()) {
            if let Some(parent) = row.trunk.and_then(|trunk| self.kin.get_mut(&trunk.run)) {
                parent.heirs += 1;
            }
        }
        let queued = rows.iter().filter(|row| row.wanted && row.state == RunState::Queued);
        let waiting = queued.map(|row| self.waiting(row)).collect();
        self.core.add(self.began.elapsed(), waiting);
    }

    /// Goes on with attempts that an earlier scheduler has submitted.
    pub(super) fn take_over(&mut self, rows: &[QueueRow], open: &[OpenAttempt]) -> Result<(), SchedError> {
        for attempt in open {
            let Some(row) = rows.iter().find(|row| row.run == attempt.run) else { continue };
            if !self.executor.adopt(attempt) {
                continue;
            }
            // What of its journal is in the database already is not told again.
            let path = self.setup.folder.journal(attempt.run, attempt.attempt);
            let known = follow::read(&path, 0).map_err(io("reading", &path))?;
            let beats = known.lines.iter().any(|line| matches!(line.event, JournalEvent::Heartbeat { .. }));
            let last = known.last().cloned();
            let journal_bytes = attempt.journal_bytes;
            let is_foreign = known.foreign(attempt.run, attempt.attempt).is_some();
            let (number, step, complaint) = (attempt.attempt, row.step, None);
            let new = Attempt { attempt: number, journal_bytes, step, beats, last, complaint, is_foreign };
            self.attempts.insert(attempt.run, new);
            let waiting = self.waiting(row);
            self.core.adopt(self.began.elapsed(), waiting, attempt.node.clone());
            (self.watch)(News::TakenOver(attempt.run));
        }
        Ok(())
    }

    fn waiting(&self, row: &QueueRow) -> Waiting {
        let parts = row.accumulated.unwrap_or(row.accumulate).max(row.accumulate);
        let halved = (parts / row.accumulate).max(1).ilog2();
        // Where memory ran out and the scheduler was gone before the next attempt, that one is still to be halved.
        let halvings = halved + u32::from(row.out_of_memory && row.crashes > 0 && halved < self.setup.rules.halvings);
        let position = self.setup.canaries.iter().position(|canary| *canary == row.run);
        Waiting {
            run: row.run,
            attempt: row.attempt,
            // The row also counts those that called for a smaller part of the batch.
            crashes: row.crashes.saturating_sub(halvings),
            not_before: std::time::Duration::ZERO,
            after: row.trunk.map(|trunk| trunk.run),
            priority: row.priority,
            devices: self.setup.devices_per_run,
            memory: row.memory_bytes,
            seconds: row.estimated_seconds,
            steps: Steps { shared: row.shared_steps(), done: row.step, all: row.steps },
            stopped_at_once: 0,
            halvings,
            most_halvings: (row.batch / u64::from(row.accumulate)).max(1).ilog2(),
            canary: position.map(|position| if position == 0 { Canary::Result } else { Canary::Step }),
            passed: 0,
        }
    }

    /// Takes what is new in the journal of a run into the database; false if there is nothing.
    pub(super) async fn follow(&mut self, run: RunId, write: &mut Option<Write>) -> Result<bool, SchedError> {
        let Some(attempt) = self.attempts.get_mut(&run) else { return Ok(false) };
        let path = self.setup.folder.journal(run, attempt.attempt);
        let added = match follow::read(&path, attempt.journal_bytes) {
            Ok(added) => added,
            // It may be readable later, and no other run has to do with it.
            Err(error) => {
                let note = format!("{}: {error}; it is read again later", path.display());
                if attempt.complaint.as_ref() != Some(&note) {
                    attempt.complaint = Some(note.clone());
                    (self.watch)(News::Noted { run, note });
                }
                return Ok(false);
            }
        };
        if added.end == attempt.journal_bytes {
            return Ok(false);
        }
        let foreign = added.foreign(run, attempt.attempt);
        attempt.is_foreign |= foreign.is_some();
        if let Some(wrong) = foreign.or_else(|| added.mistake.clone())
            && attempt.complaint.is_none()
        {
            attempt.complaint = Some(wrong.clone());
            (self.watch)(News::Noted { run, note: format!("its journal: {wrong}") });
        }
        if attempt.is_foreign {
            attempt.journal_bytes = added.end;
            return Ok(false);
        }
        let write = opened(self.store, write).await?;
        let goes_on =
            |event: &JournalEvent| matches!(event, JournalEvent::Started { resumed_step, .. } if *resumed_step > 0);
        if self.setup.slurm.is_some() && added.lines.iter().any(|line| goes_on(&line.event)) {
            catch_up(&self.setup.folder, write, run, attempt.attempt).await?;
        }
        write.ingest(run, attempt.attempt, &added.lines, attempt.journal_bytes, added.end).await?;
        attempt.journal_bytes = added.end;
        if let Some(last) = added.last() {
            attempt.last = Some(last.clone());
        }
        let mut step = None;
        for line in &added.lines {
            match &line.event {
                JournalEvent::Started { notes, resumed_step, .. } => {
                    step = Some(*resumed_step);
                    notes.iter().for_each(|note| (self.watch)(News::Noted { run, note: note.clone() }));
                }
                JournalEvent::Heartbeat { step: done } => {
                    attempt.beats = true;
                    attempt.step = attempt.step.max(*done);
                }
                JournalEvent::Progress { step: done, .. } => step = Some(*done),
                _ => {}
            }
        }
        if let Some(step) = step {
            attempt.step = step;
            (self.watch)(News::Step { run, step });
        }
        Ok(true)
    }

    /// `run` has its final state. Removes the state that it has gone on from, once no other run waits for it; a budget that is
    /// added later is then trained from its first step on, to the same bits.
    pub(super) fn ended_for_good(&mut self, run: RunId) {
        let Some(trunk) = self.kin.get(&run).and_then(|kin| kin.trunk) else { return };
        let Some(parent) = self.kin.get_mut(&trunk) else { return };
        parent.heirs = parent.heirs.saturating_sub(1);
        if parent.heirs == 0 {
            // What cannot be removed only takes space.
            let _ = std::fs::remove_dir_all(self.setup.folder.run(trunk).join("trunk"));
        }
    }

    /// Does what people have asked for since, and returns whether a run of pre-training has ended with it.
    pub(super) async fn grant_wishes(&mut self) -> Result<bool, SchedError> {
        let mut ended = false;
        for request in self.store.open_requests(self.setup.sweep_id).await? {
            let answer = self.grant(&request, &mut ended).await?;
            self.store.answer(request.id, &answer, now_ms()).await?;
        }
        Ok(ended)
    }

    async fn grant(&mut self, request: &Request, ended: &mut bool) -> Result<String, SchedError> {
        let event = match request.wish {
            Wish::Retry(run) => return self.retry(run).await,
            Wish::Cancel(run) if !self.core.is_pending(run) => return Ok(format!("{run}: neither waits nor runs")),
            Wish::Cancel(run) => Event::Cancel(run),
            Wish::Prioritise(run, priority) => {
                self.store.prioritise(run, priority).await?;
                Event::Prioritise(run, priority)
            }
            Wish::Pause => Event::Pause,
            Wish::Resume => Event::Resume,
        };
        let actions = self.core.handle(self.began.elapsed(), event);
        *ended |= self.perform(None, actions).await?;
        Ok(match request.wish {
            Wish::Cancel(run) if self.core.is_pending(run) => format!("{run}: told to stop"),
            Wish::Cancel(run) | Wish::Retry(run) => format!("{run}: cancelled"),
            Wish::Prioritise(run, priority) => format!("{run}: has priority {priority}"),
            Wish::Pause => "paused: nothing starts, and what runs saves its state".to_owned(),
            Wish::Resume => "goes on".to_owned(),
        })
    }

    async fn retry(&mut self, run: RunId) -> Result<String, SchedError> {
        if self.core.is_pending(run) {
            return Ok(format!("{run}: is tried already"));
        }
        match self.store.change(run, Transition::Retry, now_ms()).await {
            Ok(_) => {}
            Err(conflict @ store::StoreError::Conflict { .. }) => return Ok(conflict.to_string()),
            Err(error) => return Err(error.into()),
        }
        let rows = self.store.queue_of(self.setup.sweep_id, &[run]).await?;
        let rows: Vec<QueueRow> = rows.into_iter().filter(|row| row.wanted).collect();
        if rows.is_empty() {
            return Ok(format!("{run}: no longer asked for by this sweep"));
        }
        self.enqueue(&rows);
        (self.watch)(News::Added(rows));
        Ok(format!("{run}: queued again"))
    }
}

/// A node that was thought lost may have gone on with an attempt after it was settled, until it ended: what it did is in the state that
/// the next attempt goes on from.
async fn catch_up(folder: &StateFolder, write: &mut Write, run: RunId, attempt: u32) -> Result<(), SchedError> {
    for (earlier, bytes) in write.journals_before(run, attempt).await? {
        // What cannot be read is not there to be verified either, which `scalelaw verify samples` says.
        let Ok(late) = follow::read(&folder.journal(run, earlier), bytes) else { continue };
        if late.end > bytes && late.foreign(run, earlier).is_none() {
            write.ingest_late(run, earlier, &late.lines, late.end).await?;
        }
    }
    Ok(())
}
