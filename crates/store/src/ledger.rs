//! Where the device time of a sweep went.

use spec::journal::Usage;
use spec::ledger::{Billed, Split, split};

use crate::{Store, StoreError};

/// Where the device time of a sweep went, in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    /// Attempts that ended with a result.
    pub with_result: f64,
    /// Attempts that were stopped; their checkpoints were gone on from.
    pub preempted: f64,
    /// Attempts that crashed.
    pub crashed: f64,
    /// The same time by what it was good for.
    pub split: Split,
    /// Attempts that have ended.
    pub attempts: u64,
    /// Examples that were left out of an epoch as damaged, each once however many runs and epochs lack it.
    pub damaged_examples: u64,
    /// What attempts spent their time on, those that were killed left out; `None` where no attempt has said.
    pub usage: Option<Usage>,
    /// What schedulers held, each device in each session.
    pub devices: Vec<DeviceUse>,
}

/// A device while a scheduler held it.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct DeviceUse {
    /// When the scheduler began.
    pub session_ms: i64,
    /// Name of the device, or of a node.
    pub device: String,
    /// When its use was last written down.
    pub seen_ms: i64,
    /// Seconds with an attempt on it.
    pub busy_seconds: f64,
    /// Seconds without.
    pub idle_seconds: f64,
    /// Why it is used no more.
    pub quarantined: Option<String>,
}

impl Ledger {
    /// Device seconds of all attempts that have ended.
    pub fn billed(&self) -> f64 {
        self.with_result + self.preempted + self.crashed
    }

    /// Seconds that devices were held with nothing on them.
    pub fn idle(&self) -> f64 {
        self.devices.iter().map(|device| device.idle_seconds).sum()
    }

    /// The devices of the newest scheduler.
    pub fn newest_devices(&self) -> &[DeviceUse] {
        let newest = self.devices.last().map(|device| device.session_ms);
        let from = self.devices.partition_point(|device| Some(device.session_ms) < newest);
        &self.devices[from..]
    }
}

#[derive(sqlx::FromRow)]
struct Attempted {
    run_id: String,
    outcome: String,
    device_seconds: f64,
    resumed_step: i64,
    step: i64,
    given_up: bool,
}

const ATTEMPTS: &str = "
    select attempt.run_id, attempt.outcome, coalesce(attempt.device_seconds, 0.0) as device_seconds,
        coalesce(attempt.resumed_step, 0) as resumed_step, coalesce(attempt.step, attempt.resumed_step, 0) as step,
        run.state in ('failed', 'cancelled') as given_up
    from sweep_run join run using (run_id) join attempt using (run_id)
    where sweep_run.sweep_id = ?1 and attempt.outcome is not null
    order by attempt.run_id, attempt.attempt";

type Sums = (Option<f64>, f64, f64, f64, f64, f64, Option<i64>);

impl Store {
    /// Where the device time of a sweep went.
    pub async fn ledger(&self, sweep_id: i64) -> Result<Ledger, StoreError> {
        let rows: Vec<Attempted> =
            sqlx::query_as(ATTEMPTS).bind(sweep_id).fetch_all(&self.pool).await.map_err(|error| self.sqlite(error))?;
        let damaged: i64 = sqlx::query_scalar(
            "select count(distinct example) from skipped_example
             where run_id in (select run_id from sweep_run where sweep_id = ?1)",
        )
        .bind(sweep_id)
        .fetch_one(&self.pool)
        .await
        .map_err(|error| self.sqlite(error))?;
        let mut ledger = Ledger {
            damaged_examples: damaged as u64,
            attempts: rows.len() as u64,
            usage: self.usage(sweep_id).await?,
            devices: self.devices(sweep_id).await?,
            ..Ledger::default()
        };
        for row in &rows {
            match row.outcome.as_str() {
                "preempted" => ledger.preempted += row.device_seconds,
                "crashed" => ledger.crashed += row.device_seconds,
                _ => ledger.with_result += row.device_seconds,
            }
        }
        for run in rows.chunk_by(|a, b| a.run_id == b.run_id) {
            let billed = |row: &Attempted| Billed {
                seconds: row.device_seconds,
                from: row.resumed_step as u64,
                to: row.step as u64,
            };
            let attempts: Vec<Billed> = run.iter().map(billed).collect();
            ledger.split = ledger.split.and(split(&attempts, run[0].given_up));
        }
        Ok(ledger)
    }

    async fn usage(&self, sweep_id: i64) -> Result<Option<Usage>, StoreError> {
        let sums: Sums = sqlx::query_as(
            "select sum(data_seconds), total(wait_seconds), total(gradient_seconds), total(optimizer_seconds),
                 total(evaluation_seconds), total(checkpoint_seconds), max(peak_memory_bytes)
             from attempt where run_id in (select run_id from sweep_run where sweep_id = ?1 and wanted)",
        )
        .bind(sweep_id)
        .fetch_one(&self.pool)
        .await
        .map_err(|error| self.sqlite(error))?;
        let (data, wait_seconds, gradient_seconds, optimizer_seconds, evaluation_seconds, checkpoint_seconds, peak) =
            sums;
        // A sum over nothing but nulls is null.
        Ok(data.map(|data_seconds| Usage {
            data_seconds,
            wait_seconds,
            gradient_seconds,
            optimizer_seconds,
            evaluation_seconds,
            checkpoint_seconds,
            peak_memory_bytes: peak.unwrap_or(0) as u64,
        }))
    }

    /// What schedulers of a sweep held, the newest session last.
    async fn devices(&self, sweep_id: i64) -> Result<Vec<DeviceUse>, StoreError> {
        sqlx::query_as(
            "select session_ms, device, seen_ms, busy_seconds, idle_seconds, quarantined from device_session
             where sweep_id = ?1 order by session_ms, device",
        )
        .bind(sweep_id)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.sqlite(error))
    }

    /// Text of a sweep's file as it was last applied.
    pub async fn source(&self, sweep_id: i64) -> Result<String, StoreError> {
        sqlx::query_scalar("select source from sweep where sweep_id = ?1")
            .bind(sweep_id)
            .fetch_one(&self.pool)
            .await
            .map_err(|error| self.sqlite(error))
    }
}
