//! Where the device time of a sweep went.

use spec::estimate::Estimator;
use spec::journal::Usage;

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
    /// Of all of it, for steps that their runs still have.
    pub useful: f64,
    /// For steps that a later attempt had to compute again, and for starting without getting to one.
    pub repeated: f64,
    /// For runs that were given up.
    pub failed: f64,
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

/// Where the time of a device went, in seconds; the first three add up to what was billed on it.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct DeviceLedger {
    /// Name of the device.
    pub device: String,
    /// Steps that their runs still have.
    pub useful: f64,
    /// Steps that were computed again.
    pub repeated: f64,
    /// Runs that were given up.
    pub failed: f64,
    /// Held with nothing on it.
    pub idle: f64,
    /// Held with something on it: what was billed, but for the last second before a scheduler was killed.
    pub busy: f64,
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

const ATTEMPTS: &str = "
    select count(*), total(iif(outcome = 'preempted', seconds, 0.0)), total(iif(outcome = 'crashed', seconds, 0.0)), total(seconds),
        total(useful_seconds), total(failed_seconds)
    from sweep_run join attempt_use using (run_id) where sweep_id = ?1";

/// Identities are hashes: the first ones are a sample. An attempt of several devices is billed the time of all of them.
const FINISHED: &str = "
    select estimated_seconds, (select total(device_seconds) from attempt where attempt.run_id = run.run_id)
    from sweep_run join run using (run_id)
    where sweep_id = ?1 and wanted and state = 'completed' order by run.run_id limit 1000";

const DEVICES: &str = "
    with used as (
        select device.value as device, total(useful_seconds / number) as useful, total(repeated_seconds / number) as repeated,
            total(failed_seconds / number) as failed
        from (
            select attempt_use.*, '[\"' || replace(devices, ',', '\",\"') || '\"]' as names,
                1 + length(devices) - length(replace(devices, ',', '')) as number
            from sweep_run join attempt_use using (run_id) where sweep_id = ?1 and devices is not null
        ), json_each(names) as device
        group by device.value
    ), held as (
        select device, total(idle_seconds) as idle, total(busy_seconds) as busy from device_session where sweep_id = ?1
        group by device
    )
    select device, coalesce(useful, 0.0) as useful, coalesce(repeated, 0.0) as repeated, coalesce(failed, 0.0) as failed,
        coalesce(idle, 0.0) as idle, coalesce(busy, 0.0) as busy
    from used full join held using (device) order by device";

const USAGE: &str = "
    select sum(data_seconds), total(wait_seconds), total(gradient_seconds), total(optimizer_seconds),
        total(evaluation_seconds), total(checkpoint_seconds), max(peak_memory_bytes)
    from sweep_run join attempt using (run_id) where sweep_id = ?1 and wanted";

type Sums = (Option<f64>, f64, f64, f64, f64, f64, Option<i64>);

impl Store {
    /// Where the device time of a sweep went.
    pub async fn ledger(&self, sweep_id: i64) -> Result<Ledger, StoreError> {
        let damaged: i64 = sqlx::query_scalar(
            "select count(distinct example) from skipped_example
             where run_id in (select run_id from sweep_run where sweep_id = ?1)",
        )
        .bind(sweep_id)
        .fetch_one(&self.pool)
        .await
        .map_err(|error| self.sqlite(error))?;
        let (attempts, preempted, crashed, billed, useful, failed): (i64, f64, f64, f64, f64, f64) =
            sqlx::query_as(ATTEMPTS).bind(sweep_id).fetch_one(&self.pool).await.map_err(|error| self.sqlite(error))?;
        Ok(Ledger {
            with_result: billed - preempted - crashed,
            preempted,
            crashed,
            useful,
            repeated: billed - useful - failed,
            failed,
            attempts: attempts as u64,
            damaged_examples: damaged as u64,
            usage: self.usage(sweep_id).await?,
            devices: self.devices(sweep_id).await?,
        })
    }

    /// Where the time of each device went that a sweep was billed for or held.
    pub async fn ledger_by_device(&self, sweep_id: i64) -> Result<Vec<DeviceLedger>, StoreError> {
        sqlx::query_as(DEVICES).bind(sweep_id).fetch_all(&self.pool).await.map_err(|error| self.sqlite(error))
    }

    /// What up to a thousand runs with a result say of the estimates.
    pub async fn estimator(&self, sweep_id: i64) -> Result<Estimator, StoreError> {
        let rows: Vec<(f64, f64)> =
            sqlx::query_as(FINISHED).bind(sweep_id).fetch_all(&self.pool).await.map_err(|error| self.sqlite(error))?;
        let mut estimator = Estimator::default();
        rows.iter().for_each(|(estimated, measured)| estimator.learn(*estimated, *measured));
        Ok(estimator)
    }

    async fn usage(&self, sweep_id: i64) -> Result<Option<Usage>, StoreError> {
        let sums: Sums =
            sqlx::query_as(USAGE).bind(sweep_id).fetch_one(&self.pool).await.map_err(|error| self.sqlite(error))?;
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
