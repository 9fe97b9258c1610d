//! Runs as a scheduler needs them: light ones for the whole sweep, whole ones only when they start.

use spec::plan::run_label;
use spec::run::{RunId, RunSpec};
use spec::state::RunState;
use spec::trunk::Trunk;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::read::{Problem, trunk};
use crate::write::Write;
use crate::{Store, StoreError};

/// A run of a sweep without its specification, so that ten thousand of them take little memory.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueRow {
    /// Its identity.
    pub run: RunId,
    /// The run in words.
    pub label: String,
    /// Where it stands.
    pub state: RunState,
    /// Number of the newest attempt; 0 before the first.
    pub attempt: u32,
    /// Attempts that crashed.
    pub crashes: u32,
    /// Higher ones first.
    pub priority: i64,
    /// Whether the sweep file still asks for it.
    pub wanted: bool,
    /// The run that the sweep lets it branch off.
    pub trunk: Option<Trunk>,
    /// Whether it starts from the weights of another run.
    pub is_finetuning: bool,
    /// Estimated seconds on its devices.
    pub estimated_seconds: f64,
    /// Estimated bytes of memory.
    pub memory_bytes: u64,
    /// Examples of a batch.
    pub batch: u64,
    /// Parts that a batch is computed in.
    pub accumulate: u32,
    /// Parts that the newest attempt computed it in, where memory had run out before.
    pub accumulated: Option<u32>,
    /// Whether memory ran out in the newest attempt.
    pub out_of_memory: bool,
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// Share of its time that goes into training; the rest is evaluation. An evaluation of an example counts as a third of a step
    /// on it.
    pub training_share: f64,
}

impl QueueRow {
    /// Steps at the beginning that the sweep lets another run take.
    pub fn shared_steps(&self) -> u64 {
        self.trunk.map_or(0, |trunk| trunk.step.min(self.steps))
    }
}

/// What a trainer has to be told of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// The run.
    pub run: RunId,
    /// What the sweep calls the model.
    pub model: String,
    /// What it trains.
    pub spec: RunSpec,
    /// The run that the sweep lets it branch off.
    pub trunk: Option<Trunk>,
}

/// The page comes first: `cross` tells SQLite so, which knows nothing of its length.
const QUEUE: &str = "
    select run.run_id, sweep_run.model, run.spec, parent.spec as parent_spec, run.state, run.failure, run.attempt, run.crashes,
        run.priority, run.step, cell.steps, cell.memory_bytes, sweep_run.trunk_run_id, sweep_run.trunk_step, sweep_run.wanted,
        sweep_run.estimated_seconds, attempt.accumulate, attempt.failure as attempt_failure
    from json_each(?2) as page cross join sweep_run on sweep_run.sweep_id = ?1 and sweep_run.run_id = page.value
        join run using (run_id) join cell using (cell_key)
        left join run as parent on parent.run_id = run.pretrained_run_id
        left join attempt on attempt.run_id = run.run_id and attempt.attempt = run.attempt
    order by page.key";

const ORDER: &str = "
    select run.run_id from sweep_run join run using (run_id) join cell using (cell_key)
    where sweep_run.sweep_id = ?1
    order by sweep_run.estimated_seconds, cell.lr, run.seed, run.run_id";

/// Rows that are read at a time: specifications are large, and none is kept.
const PAGE: usize = 500;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateRow {
    /// Its identity.
    pub run: RunId,
    /// Its state.
    pub state: RunState,
    /// Whether the sweep file still asks for it.
    pub wanted: bool,
}

impl Store {
    /// All runs of a sweep, cheapest first.
    pub async fn queue(&self, sweep_id: i64) -> Result<Vec<QueueRow>, StoreError> {
        let order: Vec<String> =
            sqlx::query_scalar(ORDER).bind(sweep_id).fetch_all(&self.pool).await.map_err(|error| self.sqlite(error))?;
        self.queue_in(sweep_id, &order).await
    }

    /// These runs of a sweep, those of them that it has.
    pub async fn queue_of(&self, sweep_id: i64, runs: &[RunId]) -> Result<Vec<QueueRow>, StoreError> {
        let runs: Vec<String> = runs.iter().map(ToString::to_string).collect();
        self.queue_in(sweep_id, &runs).await
    }

    async fn queue_in(&self, sweep_id: i64, order: &[String]) -> Result<Vec<QueueRow>, StoreError> {
        let mut queue = Vec::with_capacity(order.len());
        for page in order.chunks(PAGE) {
            let page = serde_json::to_string(page).unwrap_or_default();
            let rows = sqlx::query(QUEUE).bind(sweep_id).bind(page).fetch_all(&self.pool).await;
            for row in &rows.map_err(|error| self.sqlite(error))? {
                queue.push(decode(row).map_err(|error| StoreError::Row(error.to_string()))?);
            }
        }
        Ok(queue)
    }

    /// Where the runs of a sweep stand.
    pub async fn states(&self, sweep_id: i64) -> Result<Vec<StateRow>, StoreError> {
        let rows: Vec<(String, String, Option<String>, bool)> = sqlx::query_as(
            "select run_id, state, failure, wanted from sweep_run join run using (run_id) where sweep_id = ?1",
        )
        .bind(sweep_id)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.sqlite(error))?;
        let row = |(run, state, failure, wanted): &(String, String, Option<String>, bool)| -> Result<_, Problem> {
            let state = RunState::from_words(state, failure.as_deref())?;
            Ok(StateRow { run: run.parse()?, state, wanted: *wanted })
        };
        rows.iter().map(|one| row(one).map_err(|error| StoreError::Row(error.to_string()))).collect()
    }
}

impl Write {
    /// What a trainer has to be told of a run of the sweep.
    pub async fn task(&mut self, sweep_id: i64, run: RunId) -> Result<Task, StoreError> {
        let query =
            "select model, spec, sweep_run.trunk_run_id, sweep_run.trunk_step from sweep_run join run using (run_id)
             where sweep_id = ?1 and run_id = ?2";
        let row = sqlx::query(query)
            .bind(sweep_id)
            .bind(run.to_string())
            .fetch_one(&mut *self.transaction)
            .await
            .map_err(|error| self.sqlite(error))?;
        let task = || -> Result<Task, Problem> {
            let spec = serde_json::from_str(&row.try_get::<String, _>("spec")?)?;
            Ok(Task { run, model: row.try_get("model")?, spec, trunk: trunk(&row, "trunk_run_id", "trunk_step")? })
        };
        task().map_err(|error| StoreError::Row(error.to_string()))
    }
}

fn decode(row: &SqliteRow) -> Result<QueueRow, Problem> {
    let number = |column: &str| row.try_get::<i64, _>(column).map(|value| value as u64);
    let spec: RunSpec = serde_json::from_str(&row.try_get::<String, _>("spec")?)?;
    let parent: Option<String> = row.try_get("parent_spec")?;
    let parent: Option<RunSpec> = parent.map(|parent| serde_json::from_str(&parent)).transpose()?;
    let failure: Option<String> = row.try_get("failure")?;
    let evaluated = spec.data.heldout_examples as f64 * spec.evaluation_steps().len() as f64;
    Ok(QueueRow {
        run: row.try_get::<String, _>("run_id")?.parse()?,
        label: run_label(&row.try_get::<String, _>("model")?, &spec, parent.as_ref()),
        state: RunState::from_words(&row.try_get::<String, _>("state")?, failure.as_deref())?,
        attempt: row.try_get("attempt")?,
        crashes: row.try_get("crashes")?,
        priority: row.try_get("priority")?,
        wanted: number("wanted")? == 1,
        trunk: trunk(row, "trunk_run_id", "trunk_step")?,
        is_finetuning: spec.pretrained.is_some(),
        estimated_seconds: row.try_get("estimated_seconds")?,
        memory_bytes: number("memory_bytes")?,
        batch: spec.train.batch,
        accumulate: spec.train.arithmetic.accumulate.max(1),
        accumulated: row.try_get("accumulate")?,
        out_of_memory: row.try_get::<Option<String>, _>("attempt_failure")?.as_deref() == Some("oom"),
        step: number("step")?,
        steps: number("steps")?,
        training_share: spec.samples() as f64 / (spec.samples() as f64 + evaluated / 3.0),
    })
}
