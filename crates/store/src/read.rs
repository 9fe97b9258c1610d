//! What a person, a fit or a figure wants to know.

use std::collections::BTreeMap;

use spec::journal::Usage;
use spec::plan::{Outcome, Outcomes, run_label};
use spec::run::{NotAnId, RunId, RunSpec};
use spec::samples::{SeenEpoch, Skipped};
use spec::state::RunState;
use spec::trunk::Trunk;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::{Store, StoreError};

/// A sweep in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepRow {
    /// Its key.
    pub sweep_id: i64,
    /// Its name.
    pub name: String,
    /// When its file was last applied.
    pub applied_ms: i64,
}

/// A run as a sweep sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRow {
    /// Its identity.
    pub run: RunId,
    /// What the sweep calls the model.
    pub model: String,
    /// What it trains.
    pub spec: RunSpec,
    /// The run whose weights it started from, where that is one of the sweep's.
    pub pretrained: Option<RunSpec>,
    /// The run that the sweep lets it branch off.
    pub trunk: Option<Trunk>,
    /// The run that it has branched off.
    pub branched: Option<Trunk>,
    /// Where it stands.
    pub state: RunState,
    /// Why it failed, or what its last attempt said.
    pub message: Option<String>,
    /// Number of the newest attempt; 0 before the first.
    pub attempt: u32,
    /// Attempts that crashed.
    pub crashes: u32,
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// Whether the sweep file still asks for it.
    pub wanted: bool,
    /// Why no fit and no figure is to use it, where a person has said so.
    pub excluded: Option<String>,
    /// Estimated seconds on one device.
    pub estimated_seconds: f64,
    /// All parameters.
    pub parameters: u64,
    /// Parameters without the classifier.
    pub parameters_without_head: u64,
    /// Multiply-accumulates of a forward pass for one example.
    pub macs: u64,
    /// Operations of the training.
    pub flops: f64,
    /// Examples seen at the end.
    pub samples: u64,
    /// Seconds that all attempts held a slot: what is billed.
    pub device_seconds: f64,
    /// Billed seconds of the steps that it has from the run it branched off: that run's, in proportion.
    pub shared_seconds: f64,
    /// What all attempts took together, those that were killed left out; `None` where no attempt has said.
    pub usage: Option<Usage>,
    /// The result.
    pub result: Option<ResultRow>,
}

/// What a completed run came to.
#[derive(Clone, Debug, PartialEq)]
pub struct ResultRow {
    /// Held-out loss at the end.
    pub heldout_loss: f64,
    /// Held-out accuracy at the end, where the trainer has said it.
    pub accuracy: Option<f64>,
    /// Share of the held-out set whose five most likely classes have the right one among them.
    pub top5_accuracy: Option<f64>,
    /// Median seconds of a step, where the trainer has said them.
    pub step_seconds: Option<f64>,
    /// Hash of the final weights and momentum, where the trainer has said it.
    pub state_hash: Option<String>,
}

impl RunRow {
    /// The run in words.
    pub fn label(&self) -> String {
        run_label(&self.model, &self.spec, self.pretrained.as_ref())
    }

    /// Steps at the beginning that the sweep lets another run take.
    pub fn shared_steps(&self) -> u64 {
        self.trunk.map_or(0, |trunk| trunk.step.min(self.steps))
    }

    /// Training examples per second at the median step.
    pub fn images_per_second(&self) -> Option<f64> {
        let median = self.result.as_ref().and_then(|result| result.step_seconds).filter(|seconds| *seconds > 0.0);
        median.map(|seconds| self.spec.train.batch as f64 / seconds)
    }

    /// Operations per second at the median step, by the count of the architecture.
    pub fn flops_per_second(&self) -> Option<f64> {
        self.images_per_second().map(|images| images * self.flops / self.samples as f64)
    }

    /// Seconds of training if nothing had been restarted: steps times the median step, the paper's convention. `None` where there
    /// is no result, or the trainer has not said how long its steps take.
    pub fn train_seconds(&self) -> Option<f64> {
        self.result.as_ref()?.step_seconds.map(|seconds| seconds * self.steps as f64)
    }
}

/// Runs by their identity.
pub fn by_id(rows: &[RunRow]) -> BTreeMap<RunId, &RunRow> {
    rows.iter().map(|row| (row.run, row)).collect()
}

const RUNS: &str = "
    select run.run_id, sweep_run.model, run.spec, run.state, run.failure, run.message, run.attempt, run.crashes, run.step,
        cell.steps, sweep_run.trunk_run_id as planned_trunk_run_id, sweep_run.trunk_step as planned_trunk_step,
        run.trunk_run_id, run.trunk_step, sweep_run.wanted, sweep_run.estimated_seconds, cell.parameters, cell.parameters_without_head, cell.macs,
        cell.flops, cell.samples, run.heldout_loss, run.accuracy, run.top5_accuracy, run.step_seconds, run.state_hash,
        coalesce(took.device_seconds, 0.0) as device_seconds, took.data_seconds, took.gradient_seconds,
        took.optimizer_seconds, took.evaluation_seconds, took.checkpoint_seconds, took.peak_memory_bytes, took.wait_seconds, exclusion.reason as excluded
    from sweep_run join run using (run_id) join cell using (cell_key)
        left join exclusion on exclusion.run_id = run.run_id
        left join (
            select run_id, total(device_seconds) as device_seconds, sum(data_seconds) as data_seconds,
                total(gradient_seconds) as gradient_seconds, total(optimizer_seconds) as optimizer_seconds,
                total(evaluation_seconds) as evaluation_seconds, total(checkpoint_seconds) as checkpoint_seconds,
                max(peak_memory_bytes) as peak_memory_bytes, total(wait_seconds) as wait_seconds
            from attempt where run_id in (select run_id from sweep_run where sweep_id = ?1) group by run_id
        ) as took using (run_id)
    where sweep_run.sweep_id = ?1
    order by sweep_run.estimated_seconds, cell.lr, run.seed, run.run_id";

impl Store {
    /// All sweeps, the newest first.
    pub async fn sweeps(&self) -> Result<Vec<SweepRow>, StoreError> {
        let rows: Vec<(i64, String, i64)> =
            sqlx::query_as("select sweep_id, name, applied_ms from sweep order by applied_ms desc, sweep_id desc")
                .fetch_all(&self.pool)
                .await
                .map_err(|error| self.sqlite(error))?;
        Ok(rows.into_iter().map(|(sweep_id, name, applied_ms)| SweepRow { sweep_id, name, applied_ms }).collect())
    }

    /// The runs of a sweep, cheapest first; those that the file no longer asks for among them.
    pub async fn runs(&self, sweep_id: i64) -> Result<Vec<RunRow>, StoreError> {
        let rows = sqlx::query(RUNS).bind(sweep_id).fetch_all(&self.pool).await.map_err(|error| self.sqlite(error))?;
        let rows = rows.iter().map(|row| decode(row).map_err(|error| StoreError::Row(error.to_string())));
        let mut rows: Vec<RunRow> = rows.collect::<Result<_, _>>()?;
        let specs: BTreeMap<RunId, RunSpec> = rows.iter().map(|row| (row.run, row.spec.clone())).collect();
        let known = by_id(&rows);
        let shared: Vec<f64> = rows.iter().map(|row| shared_seconds(row, &known)).collect();
        for (row, shared) in rows.iter_mut().zip(shared) {
            row.shared_seconds = shared;
            row.pretrained = row.spec.pretrained.and_then(|parent| specs.get(&parent).cloned());
        }
        Ok(rows)
    }

    /// What every run in the database that has ended has come to, whichever sweep asked for it.
    pub async fn outcomes(&self) -> Result<Outcomes, StoreError> {
        let rows: Vec<(String, bool, Option<f64>)> = sqlx::query_as(
            "select run_id, state in ('failed', 'cancelled'), heldout_loss from run
             where state in ('completed', 'diverged', 'failed', 'cancelled')",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.sqlite(error))?;
        let outcome = |(run, given_up, loss): (String, bool, Option<f64>)| {
            let run = run.parse().map_err(|error: NotAnId| StoreError::Row(error.to_string()))?;
            let ended = if given_up { Outcome::GivenUp } else { loss.map_or(Outcome::Diverged, Outcome::Loss) };
            Ok((run, ended))
        };
        rows.into_iter().map(outcome).collect()
    }

    /// The epochs of a run.
    pub async fn epochs(&self, run: RunId) -> Result<Vec<SeenEpoch>, StoreError> {
        let rows: Vec<(i64, i64, String)> =
            sqlx::query_as("select epoch, samples, digest from epoch_digest where run_id = ?1 order by epoch")
                .bind(run.to_string())
                .fetch_all(&self.pool)
                .await
                .map_err(|error| self.sqlite(error))?;
        let row = |(epoch, samples, digest): (i64, i64, String)| SeenEpoch {
            epoch: epoch as u64,
            samples: samples as u64,
            digest,
        };
        Ok(rows.into_iter().map(row).collect())
    }

    /// The examples of a run that were damaged and did not enter its weights.
    pub async fn skipped(&self, run: RunId) -> Result<Vec<Skipped>, StoreError> {
        let rows: Vec<(i64, i64, String)> = sqlx::query_as(
            "select epoch, example, reason from skipped_example where run_id = ?1 order by epoch, example",
        )
        .bind(run.to_string())
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.sqlite(error))?;
        let row = |(epoch, example, reason): (i64, i64, String)| Skipped {
            epoch: epoch as u64,
            example: example as u64,
            reason,
        };
        Ok(rows.into_iter().map(row).collect())
    }

    /// The newest sweep that has asked for a run; `None` if there is no such run.
    pub async fn sweep_of(&self, run: RunId) -> Result<Option<SweepRow>, StoreError> {
        let row: Option<(i64, String, i64)> = sqlx::query_as(
            "select sweep_id, name, applied_ms from sweep_run join sweep using (sweep_id) where run_id = ?1
             order by wanted desc, applied_ms desc, sweep_id desc limit 1",
        )
        .bind(run.to_string())
        .fetch_optional(&self.pool)
        .await
        .map_err(|error| self.sqlite(error))?;
        Ok(row.map(|(sweep_id, name, applied_ms)| SweepRow { sweep_id, name, applied_ms }))
    }
}

pub(crate) type Problem = Box<dyn std::error::Error + Send + Sync>;

/// What the steps before the branch have cost, along the whole chain of branches.
fn shared_seconds(row: &RunRow, rows: &BTreeMap<RunId, &RunRow>) -> f64 {
    let Some(trunk) = row.branched else { return 0.0 };
    let Some(shorter) = rows.get(&trunk.run) else { return 0.0 };
    let before = shorter.branched.map_or(0, |earlier| earlier.step);
    let share = trunk.step.saturating_sub(before) as f64 / shorter.steps.saturating_sub(before).max(1) as f64;
    shared_seconds(shorter, rows) + share * shorter.device_seconds
}

pub(crate) fn trunk(row: &SqliteRow, run: &str, step: &str) -> Result<Option<Trunk>, Problem> {
    let (run, step): (Option<String>, Option<i64>) = (row.try_get(run)?, row.try_get(step)?);
    let Some((run, step)) = run.zip(step) else { return Ok(None) };
    Ok(Some(Trunk { run: run.parse()?, step: step as u64 }))
}

fn decode(row: &SqliteRow) -> Result<RunRow, Problem> {
    let text = |column: &str| row.try_get::<String, _>(column);
    let number = |column: &str| row.try_get::<i64, _>(column).map(|value| value as u64);
    let failure: Option<String> = row.try_get("failure")?;
    let loss: Option<f64> = row.try_get("heldout_loss")?;
    let result = match loss {
        Some(heldout_loss) => Some(ResultRow {
            heldout_loss,
            accuracy: row.try_get("accuracy")?,
            top5_accuracy: row.try_get("top5_accuracy")?,
            step_seconds: row.try_get("step_seconds")?,
            state_hash: row.try_get("state_hash")?,
        }),
        None => None,
    };
    // A sum over nothing but nulls is null.
    let usage = match row.try_get::<Option<f64>, _>("data_seconds")? {
        Some(data_seconds) => Some(Usage {
            data_seconds,
            wait_seconds: row.try_get("wait_seconds")?,
            gradient_seconds: row.try_get("gradient_seconds")?,
            optimizer_seconds: row.try_get("optimizer_seconds")?,
            evaluation_seconds: row.try_get("evaluation_seconds")?,
            checkpoint_seconds: row.try_get("checkpoint_seconds")?,
            peak_memory_bytes: row.try_get::<Option<i64>, _>("peak_memory_bytes")?.unwrap_or(0) as u64,
        }),
        None => None,
    };
    Ok(RunRow {
        run: text("run_id")?.parse()?,
        model: text("model")?,
        spec: serde_json::from_str(&text("spec")?)?,
        pretrained: None,
        trunk: trunk(row, "planned_trunk_run_id", "planned_trunk_step")?,
        branched: trunk(row, "trunk_run_id", "trunk_step")?,
        state: RunState::from_words(&text("state")?, failure.as_deref())?,
        message: row.try_get("message")?,
        attempt: row.try_get("attempt")?,
        crashes: row.try_get("crashes")?,
        step: number("step")?,
        steps: number("steps")?,
        wanted: number("wanted")? == 1,
        excluded: row.try_get("excluded")?,
        estimated_seconds: row.try_get("estimated_seconds")?,
        parameters: number("parameters")?,
        parameters_without_head: number("parameters_without_head")?,
        macs: number("macs")?,
        flops: row.try_get("flops")?,
        samples: number("samples")?,
        device_seconds: row.try_get("device_seconds")?,
        shared_seconds: 0.0,
        usage,
        result,
    })
}
