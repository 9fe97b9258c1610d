//! Attempts: beginning one, and settling what it came to. Only the newest attempt of a run may write.

use spec::run::{NotAnId, RunId};
use spec::state::{Failure, RunState, Transition};
use sqlx::Row;

use crate::write::Write;
use crate::{Store, StoreError};

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a held-out loss.
    Completed,
    /// With a divergence.
    Diverged,
    /// Told to stop.
    Preempted,
    /// Without a result.
    Crashed,
}

impl Outcome {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Completed => "completed",
            Outcome::Diverged => "diverged",
            Outcome::Preempted => "preempted",
            Outcome::Crashed => "crashed",
        }
    }
}

/// A process, so that it is not taken for another one with the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Process id, also of its group.
    pub pid: i32,
    /// When it started, in clock ticks since the machine did.
    pub start: u64,
    /// Which time the machine was started.
    pub boot_id: String,
}

/// Where an attempt is to work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Names of its devices.
    pub devices: Vec<String>,
    /// Parts that a batch is computed in, where that is not what the run's specification says.
    pub accumulate: Option<u32>,
    /// What finds its job in a cluster's queue.
    pub job: Option<String>,
}

/// The end of an attempt and what it means for the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// How the attempt ended.
    pub outcome: Outcome,
    /// What the run does.
    pub transition: Transition,
    /// What kind of failure it was.
    pub failure: Option<Failure>,
    /// What to tell a person.
    pub message: Option<String>,
    /// Device seconds that it is billed; counted from times of day where the scheduler did not live to see it end.
    pub device_seconds: Option<f64>,
}

/// An attempt that nobody has seen ending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenAttempt {
    /// Its run.
    pub run: RunId,
    /// Its number.
    pub attempt: u32,
    /// Its process, if it was noted in time.
    pub process: Option<Process>,
    /// Its job in a cluster's queue, where it has one.
    pub job: Option<String>,
    /// The node that it works on, once that is known.
    pub node: Option<String>,
    /// How far its journal has been read.
    pub journal_bytes: u64,
}

impl Write {
    /// Gives the run to attempt `attempt`, which must be the next one.
    pub async fn start_attempt(
        &mut self,
        run: RunId,
        attempt: u32,
        placement: &Placement,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        // The state is asked for only where it is not the expected one: a scheduler starts hundreds a second.
        let changed = sqlx::query(
            "update run set state = 'running', attempt = ?2 where run_id = ?1 and attempt = ?2 - 1 and state = 'queued'",
        )
        .bind(run.to_string())
        .bind(attempt)
        .execute(&mut *self.transaction)
        .await
        .map_err(|error| self.sqlite(error))?;
        if changed.rows_affected() != 1 {
            self.next_state(run, Transition::Start).await?;
            return Err(conflict(run, &format!("attempt {attempt} is not the next one")));
        }
        let query = "insert into attempt (run_id, attempt, started_ms, devices, accumulate, job) values (?1, ?2, ?3, ?4, ?5, ?6)";
        sqlx::query(query)
            .bind(run.to_string())
            .bind(attempt)
            .bind(now_ms)
            .bind(placement.devices.join(","))
            .bind(placement.accumulate)
            .bind(&placement.job)
            .execute(&mut *self.transaction)
            .await
            .map_err(|error| self.sqlite(error))?;
        self.record(run, Transition::Start, Some(attempt), None, now_ms).await
    }

    /// Notes which process works on the attempt.
    pub async fn note_process(&mut self, run: RunId, attempt: u32, process: &Process) -> Result<(), StoreError> {
        sqlx::query("update attempt set pid = ?3, pid_start = ?4, boot_id = ?5 where run_id = ?1 and attempt = ?2")
            .bind(run.to_string())
            .bind(attempt)
            .bind(process.pid)
            .bind(process.start as i64)
            .bind(&process.boot_id)
            .execute(&mut *self.transaction)
            .await
            .map_err(|error| self.sqlite(error))?;
        Ok(())
    }

    /// Notes what an attempt at work has been billed so far: what it is billed if its scheduler does not see its end.
    pub async fn note_billed(&mut self, run: RunId, attempt: u32, device_seconds: f64) -> Result<(), StoreError> {
        sqlx::query("update attempt set device_seconds = ?3 where run_id = ?1 and attempt = ?2 and ended_ms is null")
            .bind(run.to_string())
            .bind(attempt)
            .bind(device_seconds)
            .execute(&mut *self.transaction)
            .await
            .map_err(|error| self.sqlite(error))?;
        Ok(())
    }

    /// Notes the node of a cluster that an attempt works on.
    pub async fn note_node(&mut self, run: RunId, attempt: u32, node: &str) -> Result<(), StoreError> {
        sqlx::query("update attempt set node = ?3 where run_id = ?1 and attempt = ?2")
            .bind(run.to_string())
            .bind(attempt)
            .bind(node)
            .execute(&mut *self.transaction)
            .await
            .map_err(|error| self.sqlite(error))?;
        Ok(())
    }

    /// Settles the end of an attempt. False if it had been settled before or a newer attempt has the run.
    pub async fn end_attempt(
        &mut self,
        run: RunId,
        attempt: u32,
        ended: &Ended,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        let closed = sqlx::query(
            "update attempt set ended_ms = ?3, outcome = ?4, message = coalesce(?5, message), failure = ?7,
                 step = (select run.step from run where run.run_id = ?1),
                 device_seconds = coalesce(?6, device_seconds, max(0, coalesce(last_seen_ms, started_ms) - started_ms) / 1000.0)
             where run_id = ?1 and attempt = ?2 and ended_ms is null
                 and attempt = (select run.attempt from run where run.run_id = ?1)",
        )
        .bind(run.to_string())
        .bind(attempt)
        .bind(now_ms)
        .bind(ended.outcome.as_str())
        .bind(&ended.message)
        .bind(ended.device_seconds)
        .bind(ended.failure.map(Failure::as_str))
        .execute(&mut *self.transaction)
        .await
        .map_err(|error| self.sqlite(error))?;
        if closed.rows_affected() != 1 {
            return Ok(false);
        }
        // The open attempt is the run's newest, so the run is at work.
        let next = RunState::Running.next(ended.transition).map_err(|illegal| conflict(run, &illegal))?;
        let crashed = i64::from(ended.outcome == Outcome::Crashed);
        // A completed run must have a loss, and only a completed one may: the table checks it. The loss was ingested
        // into the newest evaluation; here it becomes the run's.
        let changed = sqlx::query(
            "update run set state = ?2, failure = ?3, message = ?4, crashes = crashes + ?5,
                 heldout_loss = case ?2 when 'completed' then
                     (select loss from evaluation where evaluation.run_id = ?1 order by step desc limit 1) end,
                 accuracy = case ?2 when 'completed' then
                     (select accuracy from evaluation where evaluation.run_id = ?1 order by step desc limit 1) end,
                 top5_accuracy = case ?2 when 'completed' then
                     (select top5_accuracy from evaluation where evaluation.run_id = ?1 order by step desc limit 1) end
             where run_id = ?1 and state = 'running'",
        )
        .bind(run.to_string())
        .bind(next.word())
        .bind(next.failure().map(Failure::as_str))
        .bind(&ended.message)
        .bind(crashed)
        .execute(&mut *self.transaction)
        .await
        .map_err(|error| self.sqlite(error))?;
        if changed.rows_affected() != 1 {
            return Err(conflict(run, &"not at work, though its attempt is"));
        }
        self.record(run, ended.transition, Some(attempt), ended.message.as_deref(), now_ms).await?;
        Ok(true)
    }

    /// Moves a run by hand: cancelling, or another try.
    pub async fn change(&mut self, run: RunId, transition: Transition, now_ms: i64) -> Result<RunState, StoreError> {
        let next = self.next_state(run, transition).await?;
        let is_open = "select 1 from attempt where run_id = ?1 and ended_ms is null";
        let open: Option<i64> = sqlx::query_scalar(is_open)
            .bind(run.to_string())
            .fetch_optional(&mut *self.transaction)
            .await
            .map_err(|error| self.sqlite(error))?;
        if open.is_some() {
            return Err(conflict(run, &"an attempt still works on it"));
        }
        sqlx::query("update run set state = ?2, failure = ?3, message = null, crashes = 0 where run_id = ?1")
            .bind(run.to_string())
            .bind(next.word())
            .bind(next.failure().map(Failure::as_str))
            .execute(&mut *self.transaction)
            .await
            .map_err(|error| self.sqlite(error))?;
        self.record(run, transition, None, None, now_ms).await?;
        Ok(next)
    }

    async fn next_state(&mut self, run: RunId, transition: Transition) -> Result<RunState, StoreError> {
        let row: Option<(String, Option<String>)> = sqlx::query_as("select state, failure from run where run_id = ?1")
            .bind(run.to_string())
            .fetch_optional(&mut *self.transaction)
            .await
            .map_err(|error| self.sqlite(error))?;
        let (word, failure) = row.ok_or_else(|| conflict(run, &"not in the database"))?;
        let state =
            RunState::from_words(&word, failure.as_deref()).map_err(|error| StoreError::Row(error.to_string()))?;
        state.next(transition).map_err(|illegal| conflict(run, &illegal))
    }

    /// Writes down a move: whatever changes the state of a run goes through here.
    async fn record(
        &mut self,
        run: RunId,
        transition: Transition,
        attempt: Option<u32>,
        message: Option<&str>,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let query =
            "insert into move (run_id, at_ms, transition, attempt, failure, message) values (?1, ?2, ?3, ?4, ?5, ?6)";
        sqlx::query(query)
            .bind(run.to_string())
            .bind(now_ms)
            .bind(transition.word())
            .bind(attempt)
            .bind(transition.failure().map(Failure::as_str))
            .bind(message)
            .execute(&mut *self.transaction)
            .await
            .map_err(|error| self.sqlite(error))?;
        Ok(())
    }
}

impl Store {
    /// Moves a run by hand, in a transaction of its own.
    pub async fn change(&self, run: RunId, transition: Transition, now_ms: i64) -> Result<RunState, StoreError> {
        let mut write = self.write().await?;
        let next = write.change(run, transition, now_ms).await?;
        write.commit().await?;
        Ok(next)
    }

    /// Attempts that were running when the scheduler before this one ended.
    pub async fn open_attempts(&self) -> Result<Vec<OpenAttempt>, StoreError> {
        let rows = sqlx::query(
            "select run_id, attempt, pid, pid_start, boot_id, journal_bytes, job, node from attempt where ended_ms is null
             order by run_id",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.sqlite(error))?;
        rows.iter()
            .map(|row| {
                let run: String = row.try_get(0)?;
                let (pid, start, boot_id): (Option<i32>, Option<i64>, Option<String>) =
                    (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
                let process = pid.zip(start).zip(boot_id);
                Ok(OpenAttempt {
                    run: run.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
                    attempt: row.try_get(1)?,
                    process: process.map(|((pid, start), boot_id)| Process { pid, start: start as u64, boot_id }),
                    journal_bytes: row.try_get::<i64, _>(5)? as u64,
                    job: row.try_get(6)?,
                    node: row.try_get(7)?,
                })
            })
            .collect::<Result<_, sqlx::Error>>()
            .map_err(|error| self.sqlite(error))
    }

    /// What SQLite finds damaged in the database file; nothing, where it is whole.
    pub async fn damage(&self) -> Result<Vec<String>, StoreError> {
        let found: Vec<String> = sqlx::query_scalar("pragma integrity_check")
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.sqlite(error))?;
        Ok(found.into_iter().filter(|line| line != "ok").collect())
    }

    /// Runs whose row does not say what their moves lead to; none, unless the database was changed by other means. Runs from
    /// before moves were written down are passed over.
    pub async fn inconsistent_runs(&self) -> Result<Vec<RunId>, StoreError> {
        let rows: Vec<Moved> = sqlx::query_as(
            "select run.run_id, run.state, run.failure, move.transition, move.failure as class from run join move using (run_id)
             order by run.run_id, move_id",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.sqlite(error))?;
        let mut wrong = Vec::new();
        for moves in rows.chunk_by(|a, b| a.run_id == b.run_id) {
            let run = &moves[0];
            let transitions: Result<Vec<_>, _> =
                moves.iter().map(|one| Transition::from_words(&one.transition, one.class.as_deref())).collect();
            let said = RunState::from_words(&run.state, run.failure.as_deref());
            let is_right = match (transitions, said) {
                // What began before moves were written down begins with neither of these.
                (Ok(moves), Ok(_)) if !matches!(moves[0], Transition::Start | Transition::Cancel) => true,
                (Ok(moves), Ok(said)) => RunState::after(moves) == Ok(said),
                _ => false,
            };
            if !is_right {
                wrong.push(run.run_id.parse().map_err(|error: NotAnId| StoreError::Row(error.to_string()))?);
            }
        }
        Ok(wrong)
    }
}

/// A move of a run, with where its row says that it stands.
#[derive(sqlx::FromRow)]
struct Moved {
    run_id: String,
    state: String,
    failure: Option<String>,
    transition: String,
    class: Option<String>,
}

fn conflict(run: RunId, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Conflict { run: run.to_string(), why: why.to_string() }
}
