//! What figures draw that is not a result: losses while they fall, and when devices were held for what.

use std::collections::BTreeMap;

use spec::run::{NotAnId, RunId};

use crate::{Store, StoreError};

/// The losses of a run on its way; steps ascend.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LossCurve {
    /// Step and training loss.
    pub training: Vec<(u64, f64)>,
    /// Step and held-out loss.
    pub held_out: Vec<(u64, f64)>,
}

/// A stretch of time of one device, and the seconds of it by use.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Spell {
    /// Name of the device.
    pub device: String,
    /// When it began.
    pub from_ms: i64,
    /// When it ended.
    pub to_ms: i64,
    /// Steps that their runs still have.
    pub useful: f64,
    /// Steps that were computed again.
    pub repeated: f64,
    /// Runs that were given up.
    pub failed: f64,
    /// Held with nothing on it.
    pub idle: f64,
}

const SPELLS: &str = "
    select device.value as device, started_ms as from_ms, coalesce(ended_ms, started_ms) as to_ms, useful_seconds / number as useful,
        repeated_seconds / number as repeated, failed_seconds / number as failed, 0.0 as idle
    from (
        select attempt_use.*, '[\"' || replace(devices, ',', '\",\"') || '\"]' as names,
            1 + length(devices) - length(replace(devices, ',', '')) as number
        from sweep_run join attempt_use using (run_id) where sweep_id = ?1 and devices is not null
    ), json_each(names) as device
    union all
    select device, session_ms, seen_ms, 0.0, 0.0, 0.0, idle_seconds from device_session where sweep_id = ?1
    order by device, from_ms, to_ms";

impl Store {
    /// The losses that a run has recorded.
    pub async fn loss_curve(&self, run: RunId) -> Result<LossCurve, StoreError> {
        let read = async |query: &'static str| -> Result<Vec<(u64, f64)>, StoreError> {
            let rows: Vec<(i64, f64)> = sqlx::query_as(query)
                .bind(run.to_string())
                .fetch_all(&self.pool)
                .await
                .map_err(|error| self.sqlite(error))?;
            Ok(rows.into_iter().map(|(step, loss)| (step as u64, loss)).collect())
        };
        Ok(LossCurve {
            training: read("select step, loss from metric where run_id = ?1 order by step").await?,
            held_out: read("select step, loss from evaluation where run_id = ?1 order by step").await?,
        })
    }

    /// The newest held-out loss that each unfinished run of a sweep has recorded on its way, with its step; runs without one are not
    /// there.
    pub async fn newest_losses(&self, sweep_id: i64) -> Result<BTreeMap<RunId, (u64, f64)>, StoreError> {
        let rows: Vec<(String, i64, f64)> = sqlx::query_as(
            "select run_id, evaluation.step, evaluation.loss from sweep_run join run using (run_id) join evaluation using (run_id)
             where sweep_id = ?1 and state in ('queued', 'running')
                 and evaluation.step = (select max(step) from evaluation as newest where newest.run_id = run.run_id)",
        )
        .bind(sweep_id)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.sqlite(error))?;
        let known = |(run, step, loss): (String, i64, f64)| {
            let run = run.parse().map_err(|error: NotAnId| StoreError::Row(error.to_string()))?;
            Ok((run, (step as u64, loss)))
        };
        rows.into_iter().map(known).collect()
    }

    /// When devices worked on a sweep or were held for it, by attempt and by session.
    pub async fn spells(&self, sweep_id: i64) -> Result<Vec<Spell>, StoreError> {
        sqlx::query_as(SPELLS).bind(sweep_id).fetch_all(&self.pool).await.map_err(|error| self.sqlite(error))
    }
}
