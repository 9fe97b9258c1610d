//! Journal lines become rows, exactly once: the offset moves in the transaction that stores what was read.

use spec::journal::{Event, Line};
use spec::run::{RunId, RunSpec};
use spec::units::Loss;

use crate::write::Write;
use crate::{Store, StoreError};

impl Write {
    /// Stores `lines` of the journal of an attempt, read from byte `from` up to byte `to`. Does nothing, and returns
    /// false, if somebody has read on from there before, or a newer attempt has the run.
    pub async fn ingest(
        &mut self,
        run: RunId,
        attempt: u32,
        lines: &[Line],
        from: u64,
        to: u64,
    ) -> Result<bool, StoreError> {
        let moved = sqlx::query(
            "update attempt set journal_bytes = ?4, last_seen_ms = coalesce(?5, last_seen_ms)
             where run_id = ?1 and attempt = ?2 and journal_bytes = ?3 and ended_ms is null
                 and attempt = (select run.attempt from run where run.run_id = ?1)",
        )
        .bind(run.to_string())
        .bind(attempt)
        .bind(from as i64)
        .bind(to as i64)
        .bind(lines.iter().map(|line| line.at_ms).rfind(|at_ms| *at_ms > 0))
        .execute(&mut *self.transaction)
        .await
        .map_err(|error| self.sqlite(error))?;
        if moved.rows_affected() != 1 {
            return Ok(false);
        }
        for line in lines {
            let stored = store(&mut self.transaction, &run.to_string(), attempt, &line.event).await;
            stored.map_err(|error| self.sqlite(error))?;
        }
        Ok(true)
    }
}

impl Write {
    /// Takes in what an attempt wrote after it was given up, because its node was thought lost: a later attempt goes on from its state,
    /// so what it did up to there is in the weights. Its result, if it came to one, does not count; the later attempt repeats it.
    pub async fn ingest_late(&mut self, run: RunId, attempt: u32, lines: &[Line], to: u64) -> Result<(), StoreError> {
        sqlx::query("update attempt set journal_bytes = ?3 where run_id = ?1 and attempt = ?2")
            .bind(run.to_string())
            .bind(attempt)
            .bind(to as i64)
            .execute(&mut *self.transaction)
            .await
            .map_err(|error| self.sqlite(error))?;
        let is_of_weights = |event: &Event| {
            matches!(
                event,
                Event::Progress { .. } | Event::Evaluated { .. } | Event::Epoch { .. } | Event::Skipped { .. }
            )
        };
        for line in lines.iter().filter(|line| is_of_weights(&line.event)) {
            let stored = store(&mut self.transaction, &run.to_string(), attempt, &line.event).await;
            stored.map_err(|error| self.sqlite(error))?;
        }
        Ok(())
    }

    /// How far the journals of the attempts on a run before `attempt` have been taken in; the oldest first.
    pub async fn journals_before(&mut self, run: RunId, attempt: u32) -> Result<Vec<(u32, u64)>, StoreError> {
        let query = "select attempt, journal_bytes from attempt where run_id = ?1 and attempt < ?2 order by attempt";
        let rows: Vec<(u32, i64)> = sqlx::query_as(query)
            .bind(run.to_string())
            .bind(attempt)
            .fetch_all(&mut *self.transaction)
            .await
            .map_err(|error| self.sqlite(error))?;
        Ok(rows.into_iter().map(|(attempt, bytes)| (attempt, bytes as u64)).collect())
    }
}

impl Store {
    /// The same in a transaction of its own.
    pub async fn ingest(
        &self,
        run: RunId,
        attempt: u32,
        lines: &[Line],
        from: u64,
        to: u64,
    ) -> Result<bool, StoreError> {
        let mut write = self.write().await?;
        let taken = write.ingest(run, attempt, lines, from, to).await?;
        write.commit().await?;
        Ok(taken)
    }
}

async fn store(
    connection: &mut sqlx::SqliteConnection,
    run: &str,
    attempt: u32,
    event: &Event,
) -> Result<(), sqlx::Error> {
    match event {
        Event::Started { resumed_step, device, hardware, software, notes, trunk } => {
            sqlx::query(
                "update attempt set resumed_step = ?3, device = ?4, message = nullif(?5, ''), hardware = ?6, software = ?7
                 where run_id = ?1 and attempt = ?2",
            )
            .bind(run)
            .bind(attempt)
            .bind(*resumed_step as i64)
            .bind(Some(device).filter(|device| !device.is_empty()))
            .bind(notes.join("; "))
            .bind(hardware)
            .bind(software)
            .execute(&mut *connection)
            .await?;
            // An attempt from the first step on is no branch, whatever an earlier one was.
            if trunk.is_some() || *resumed_step == 0 {
                sqlx::query("update run set trunk_run_id = ?2, trunk_step = ?3 where run_id = ?1")
                    .bind(run)
                    .bind(trunk.map(|trunk| trunk.run.to_string()))
                    .bind(trunk.map(|trunk| trunk.step as i64))
                    .execute(&mut *connection)
                    .await?;
            }
            // What an earlier attempt did after the checkpoint is not in the weights; it will be done again.
            for query in [
                "delete from metric where run_id = ?1 and step > ?2",
                "delete from evaluation where run_id = ?1 and step > ?2",
                "delete from skipped_example where run_id = ?1 and step > ?2",
            ] {
                sqlx::query(query).bind(run).bind(*resumed_step as i64).execute(&mut *connection).await?;
            }
            forget_epochs(connection, run, *resumed_step).await?;
        }
        Event::Progress { step, samples, loss, lr, seconds } => {
            sqlx::query(
                "insert or replace into metric (run_id, step, attempt, samples, loss, lr, seconds) values (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )
            .bind(run)
            .bind(*step as i64)
            .bind(attempt)
            .bind(samples.map(|samples| samples as i64))
            .bind(loss.nats())
            .bind(*lr)
            .bind(*seconds)
            .execute(&mut *connection)
            .await?;
            step_to(connection, run, *step).await?;
        }
        Event::Evaluated { step, loss, accuracy, top5_accuracy } => {
            evaluated(connection, run, attempt, *step, *loss, (*accuracy, *top5_accuracy)).await?;
        }
        Event::Epoch { epoch, samples, digest } => {
            sqlx::query("insert or replace into epoch_digest (run_id, epoch, attempt, samples, digest) values (?1, ?2, ?3, ?4, ?5)")
                .bind(run)
                .bind(*epoch as i64)
                .bind(attempt)
                .bind(*samples as i64)
                .bind(digest)
                .execute(connection)
                .await?;
        }
        Event::Skipped { step, epoch, example, reason } => {
            sqlx::query(
                "insert or replace into skipped_example (run_id, epoch, example, attempt, step, reason)
                 values (?1, ?2, ?3, ?4, ?5, ?6)",
            )
            .bind(run)
            .bind(*epoch as i64)
            .bind(*example as i64)
            .bind(attempt)
            .bind(*step as i64)
            .bind(reason)
            .execute(connection)
            .await?;
        }
        Event::Usage(usage) => {
            sqlx::query(
                "update attempt set data_seconds = ?3, gradient_seconds = ?4, optimizer_seconds = ?5,
                     evaluation_seconds = ?6, checkpoint_seconds = ?7, peak_memory_bytes = ?8, wait_seconds = ?9
                 where run_id = ?1 and attempt = ?2",
            )
            .bind(run)
            .bind(attempt)
            .bind(usage.data_seconds)
            .bind(usage.gradient_seconds)
            .bind(usage.optimizer_seconds)
            .bind(usage.evaluation_seconds)
            .bind(usage.checkpoint_seconds)
            .bind(usage.peak_memory_bytes as i64)
            .bind(usage.wait_seconds)
            .execute(connection)
            .await?;
        }
        Event::Finished(finished) => {
            let step = if finished.step > 0 { finished.step } else { specification(connection, run).await?.steps() };
            // The result is what this line says, whatever became of the line of the evaluation, and whatever a trainer that
            // counts its steps in its own way has said of later ones.
            sqlx::query("delete from evaluation where run_id = ?1 and step > ?2")
                .bind(run)
                .bind(step as i64)
                .execute(&mut *connection)
                .await?;
            let accuracies = (finished.accuracy, finished.top5_accuracy);
            evaluated(connection, run, attempt, step, finished.heldout_loss, accuracies).await?;
            sqlx::query("update run set step = ?2, step_seconds = ?3, state_hash = ?4 where run_id = ?1")
                .bind(run)
                .bind(step as i64)
                .bind(finished.step_seconds)
                .bind(&finished.state_hash)
                .execute(connection)
                .await?;
        }
        Event::Checkpoint { step }
        | Event::Preempted { step }
        | Event::Diverged { step }
        | Event::Heartbeat { step } => {
            step_to(connection, run, *step).await?;
        }
        Event::Header { .. } | Event::Failed { .. } => {}
    }
    Ok(())
}

/// Digests of epochs that ended after the checkpoint are of weights that are gone. Where an epoch ends, the run's specification
/// says.
async fn forget_epochs(connection: &mut sqlx::SqliteConnection, run: &str, step: u64) -> Result<(), sqlx::Error> {
    let spec = specification(connection, run).await?;
    let draws = step.saturating_mul(spec.train.batch) / spec.multiplicity();
    sqlx::query("delete from epoch_digest where run_id = ?1 and epoch * ?2 + samples > ?3")
        .bind(run)
        .bind(spec.data.train_examples as i64)
        .bind(draws as i64)
        .execute(connection)
        .await?;
    Ok(())
}

async fn specification(connection: &mut sqlx::SqliteConnection, run: &str) -> Result<RunSpec, sqlx::Error> {
    let spec: String =
        sqlx::query_scalar("select spec from run where run_id = ?1").bind(run).fetch_one(connection).await?;
    serde_json::from_str(&spec).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

async fn evaluated(
    connection: &mut sqlx::SqliteConnection,
    run: &str,
    attempt: u32,
    step: u64,
    loss: Loss,
    (accuracy, top5_accuracy): (Option<f64>, Option<f64>),
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert or replace into evaluation (run_id, step, attempt, loss, accuracy, top5_accuracy)
         values (?1, ?2, ?3, ?4, ?5, ?6)",
    )
    .bind(run)
    .bind(step as i64)
    .bind(attempt)
    .bind(loss.nats())
    .bind(accuracy)
    .bind(top5_accuracy)
    .execute(connection)
    .await?;
    Ok(())
}

/// Step 0 says nothing.
async fn step_to(connection: &mut sqlx::SqliteConnection, run: &str, step: u64) -> Result<(), sqlx::Error> {
    if step == 0 {
        return Ok(());
    }
    sqlx::query("update run set step = ?2 where run_id = ?1").bind(run).bind(step as i64).execute(connection).await?;
    Ok(())
}
