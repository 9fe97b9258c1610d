//! Attempts: beginning one, and settling what it came to. Only the newest attempt of a run may write.

use spec::run::RunId;
use spec::state::{Failure, RunState, Transition};
use sqlx::Row;

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
    fn as_str(self) -> &'static str {
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

/// The end of an attempt and what it means for the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// How the attempt ended.
    pub outcome: Outcome,
    /// What the run does.
    pub transition: Transition,
    /// What to tell a person.
    pub message: Option<String>,
    /// Seconds the attempt held its slot; counted from times of day where the scheduler did not live to see it end.
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
    /// How far its journal has been read.
    pub journal_bytes: u64,
}

impl Store {
    /// Gives the run to attempt `attempt`, which must be the next one.
    pub async fn start_attempt(&self, run: RunId, attempt: u32, now_ms: i64) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        let sql = |error| self.sqlite(error);
        let state = self.state(&mut transaction, run).await?;
        let next = state.next(Transition::Start).map_err(|illegal| conflict(run, &illegal))?;
        let changed = sqlx::query("update run set state = ?2, attempt = ?3 where run_id = ?1 and attempt = ?3 - 1")
            .bind(run.to_string())
            .bind(next.word())
            .bind(attempt)
            .execute(&mut *transaction)
            .await
            .map_err(sql)?;
        if changed.rows_affected() != 1 {
            return Err(conflict(run, &format!("attempt {attempt} is not the next one")));
        }
        sqlx::query("insert into attempt (run_id, attempt, started_ms) values (?1, ?2, ?3)")
            .bind(run.to_string())
            .bind(attempt)
            .bind(now_ms)
            .execute(&mut *transaction)
            .await
            .map_err(sql)?;
        transaction.commit().await.map_err(sql)
    }

    /// Notes which process works on the attempt.
    pub async fn note_process(&self, run: RunId, attempt: u32, process: &Process) -> Result<(), StoreError> {
        sqlx::query("update attempt set pid = ?3, pid_start = ?4, boot_id = ?5 where run_id = ?1 and attempt = ?2")
            .bind(run.to_string())
            .bind(attempt)
            .bind(process.pid)
            .bind(process.start as i64)
            .bind(&process.boot_id)
            .execute(&self.pool)
            .await
            .map_err(|error| self.sqlite(error))?;
        Ok(())
    }

    /// Settles the end of an attempt. False if it had been settled before or a newer attempt has the run.
    pub async fn end_attempt(&self, run: RunId, attempt: u32, ended: &Ended, now_ms: i64) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let sql = |error| self.sqlite(error);
        let closed = sqlx::query(
            "update attempt set ended_ms = ?3, outcome = ?4, message = coalesce(?5, message),
                 device_seconds = coalesce(?6, max(0, coalesce(last_seen_ms, started_ms) - started_ms) / 1000.0)
             where run_id = ?1 and attempt = ?2 and ended_ms is null
                 and attempt = (select run.attempt from run where run.run_id = ?1)",
        )
        .bind(run.to_string())
        .bind(attempt)
        .bind(now_ms)
        .bind(ended.outcome.as_str())
        .bind(&ended.message)
        .bind(ended.device_seconds)
        .execute(&mut *transaction)
        .await
        .map_err(sql)?;
        if closed.rows_affected() != 1 {
            return Ok(false);
        }
        let state = self.state(&mut transaction, run).await?;
        let next = state.next(ended.transition).map_err(|illegal| conflict(run, &illegal))?;
        let crashed = i64::from(ended.outcome == Outcome::Crashed);
        // A completed run must have a loss, and only a completed one may: the table checks it. The loss was ingested
        // into the newest evaluation; here it becomes the run's.
        sqlx::query(
            "update run set state = ?2, failure = ?3, message = ?4, crashes = crashes + ?5,
                 heldout_loss = case ?2 when 'completed' then
                     (select loss from evaluation where evaluation.run_id = ?1 order by step desc limit 1) end,
                 accuracy = case ?2 when 'completed' then
                     (select accuracy from evaluation where evaluation.run_id = ?1 order by step desc limit 1) end,
                 top5_accuracy = case ?2 when 'completed' then
                     (select top5_accuracy from evaluation where evaluation.run_id = ?1 order by step desc limit 1) end
             where run_id = ?1",
        )
        .bind(run.to_string())
        .bind(next.word())
        .bind(next.failure().map(Failure::as_str))
        .bind(&ended.message)
        .bind(crashed)
        .execute(&mut *transaction)
        .await
        .map_err(sql)?;
        transaction.commit().await.map_err(sql)?;
        Ok(true)
    }

    /// Attempts that were running when the scheduler before this one ended.
    pub async fn open_attempts(&self) -> Result<Vec<OpenAttempt>, StoreError> {
        let rows = sqlx::query(
            "select run_id, attempt, pid, pid_start, boot_id, journal_bytes from attempt where ended_ms is null order by run_id",
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
                })
            })
            .collect::<Result<_, sqlx::Error>>()
            .map_err(|error| self.sqlite(error))
    }

    /// Moves a run by hand: cancelling, or another try.
    pub async fn change(&self, run: RunId, transition: Transition) -> Result<RunState, StoreError> {
        let mut transaction = self.begin().await?;
        let state = self.state(&mut transaction, run).await?;
        let next = state.next(transition).map_err(|illegal| conflict(run, &illegal))?;
        sqlx::query("update run set state = ?2, failure = ?3, message = null, crashes = 0 where run_id = ?1")
            .bind(run.to_string())
            .bind(next.word())
            .bind(next.failure().map(Failure::as_str))
            .execute(&mut *transaction)
            .await
            .map_err(|error| self.sqlite(error))?;
        transaction.commit().await.map_err(|error| self.sqlite(error))?;
        Ok(next)
    }

    async fn state(&self, connection: &mut sqlx::SqliteConnection, run: RunId) -> Result<RunState, StoreError> {
        let row: Option<(String, Option<String>)> = sqlx::query_as("select state, failure from run where run_id = ?1")
            .bind(run.to_string())
            .fetch_optional(connection)
            .await
            .map_err(|error| self.sqlite(error))?;
        let (word, failure) = row.ok_or_else(|| conflict(run, &"not in the database"))?;
        RunState::from_words(&word, failure.as_deref()).map_err(|error| StoreError::Row(error.to_string()))
    }
}

fn conflict(run: RunId, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Conflict { run: run.to_string(), why: why.to_string() }
}
