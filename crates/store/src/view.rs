//! Runs as a person looks at them: light rows, found without reading a specification or a metric.

use spec::plan::{Recipe, recipe_label};
use spec::run::{NotAnId, RunId};
use spec::selector::Candidate;
use spec::state::RunState;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::read::Problem;
use crate::{Store, StoreError};

/// A run of a sweep without its specification.
#[derive(Clone, Debug, PartialEq)]
pub struct RunView {
    /// Its identity.
    pub run: RunId,
    /// What the sweep calls the model.
    pub model: String,
    /// Budget, learning rate and seed.
    pub recipe: Recipe,
    /// Those of the run whose weights it started from.
    pub pretrained: Option<Recipe>,
    /// Where it stands.
    pub state: RunState,
    /// Why it failed, or what its last attempt said.
    pub message: Option<String>,
    /// Number of the newest attempt; 0 before the first.
    pub attempt: u32,
    /// Attempts that crashed.
    pub crashes: u32,
    /// Higher ones start first.
    pub priority: i64,
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// Steps at the beginning that the sweep lets another run take.
    pub shared_steps: u64,
    /// The run that takes them.
    pub trunk: Option<RunId>,
    /// Whether the sweep file still asks for it.
    pub wanted: bool,
    /// Estimated seconds on its devices.
    pub estimated_seconds: f64,
    /// Device seconds that its ended attempts were billed.
    pub device_seconds: f64,
    /// Held-out loss at the end.
    pub heldout_loss: Option<f64>,
    /// Held-out accuracy at the end.
    pub accuracy: Option<f64>,
    /// Why no fit and no figure is to use it, where a person has said so.
    pub excluded: Option<String>,
}

impl RunView {
    /// The run in words.
    pub fn label(&self) -> String {
        recipe_label(&self.model, self.recipe, self.pretrained)
    }

    /// What a selector asks of it.
    pub fn candidate(&self) -> Candidate<'_> {
        let Recipe { epochs, lr, seed } = self.recipe;
        Candidate { run: self.run, model: &self.model, epochs, lr, seed, state: self.state }
    }
}

macro_rules! views {
    ($part:literal) => {
        concat!(
            "select run.run_id, sweep_run.model, cell.epochs, cell.lr, run.seed, parent.run_id as parent_id,
        parent_cell.epochs as parent_epochs, parent_cell.lr as parent_lr, parent.seed as parent_seed, run.state, run.failure,
        run.message, run.attempt, run.crashes, run.priority, run.step, cell.steps, sweep_run.trunk_run_id, sweep_run.trunk_step,
        sweep_run.wanted, sweep_run.estimated_seconds, run.heldout_loss, run.accuracy, exclusion.reason,
        (select total(device_seconds) from attempt where attempt.run_id = run.run_id) as device_seconds
    from sweep_run join run using (run_id) join cell using (cell_key)
        left join run as parent on parent.run_id = run.pretrained_run_id
        left join cell as parent_cell on parent_cell.cell_key = parent.cell_key
        left join exclusion on exclusion.run_id = run.run_id
    where sweep_run.sweep_id = ?1 ",
            $part
        )
    };
}

/// Share of the steps behind the shared ones that are done.
pub(crate) fn share_done(step: u64, steps: u64, shared: u64) -> f64 {
    let own = steps.saturating_sub(shared).max(1);
    (step.saturating_sub(shared) as f64 / own as f64).min(1.0)
}

/// Which runs of a sweep are read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// All of them.
    All,
    /// Wanted ones that failed, or crashed and will be tried again.
    Problems,
    /// Those that a person has excluded.
    Excluded,
    /// The best of those trained from nothing.
    LowestLoss,
    /// The best of those that were fine-tuned.
    HighestAccuracy,
}

impl Part {
    fn query(self) -> &'static str {
        match self {
            Part::All => views!("order by sweep_run.estimated_seconds, cell.lr, run.seed, run.run_id"),
            Part::Problems => views!(
                "and sweep_run.wanted and sweep_run.run_id in (
                     select run_id from run where state = 'failed' or state in ('queued', 'running') and (crashes > 0 or state = 'queued' and message is not null))
                 order by sweep_run.estimated_seconds, cell.lr, run.seed, run.run_id"
            ),
            Part::Excluded => views!(
                "and sweep_run.wanted and sweep_run.run_id in (select run_id from exclusion) order by run.run_id"
            ),
            Part::LowestLoss => views!(
                "and sweep_run.run_id = (
                     select run_id from run cross join sweep_run using (run_id)
                     where heldout_loss is not null and pretrained_run_id is null and sweep_id = ?1 and wanted
                         and not exists (select 1 from exclusion where exclusion.run_id = run.run_id)
                     order by heldout_loss, run_id limit 1)"
            ),
            Part::HighestAccuracy => views!(
                "and sweep_run.run_id = (
                     select run_id from run cross join sweep_run using (run_id)
                     where accuracy is not null and pretrained_run_id is not null and sweep_id = ?1 and wanted
                         and not exists (select 1 from exclusion where exclusion.run_id = run.run_id)
                     order by accuracy desc, run_id limit 1)"
            ),
        }
    }
}

/// An attempt as a person looks at it.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct AttemptView {
    /// Its number.
    pub attempt: u32,
    /// When it started.
    pub started_ms: i64,
    /// When it ended; `None` while it runs.
    pub ended_ms: Option<i64>,
    /// How it ended: completed, diverged, preempted, crashed.
    pub outcome: Option<String>,
    /// What kind of failure ended it.
    pub failure: Option<String>,
    /// What was said of its end.
    pub message: Option<String>,
    /// Names of its devices, separated by commas.
    pub devices: Option<String>,
    /// The node of a cluster.
    pub node: Option<String>,
    /// The step that it went on from.
    pub resumed_step: Option<i64>,
    /// The last step that it reached.
    pub step: Option<i64>,
    /// Billed.
    pub device_seconds: Option<f64>,
    /// Parts that a batch was computed in, where that is not what the specification says.
    pub accumulate: Option<u32>,
}

/// A move of a run.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct MoveView {
    /// When.
    pub at_ms: i64,
    /// As [`spec::state::Transition::word`] has it.
    pub transition: String,
    /// The attempt that it is about; `None` for what a person did.
    pub attempt: Option<u32>,
    /// The class of a failure.
    pub failure: Option<String>,
    /// What was said.
    pub message: Option<String>,
}

impl Store {
    /// The runs of a sweep, cheapest first, as [`Store::runs`] orders them; those that the file no longer asks for among them.
    pub async fn views(&self, sweep_id: i64) -> Result<Vec<RunView>, StoreError> {
        self.views_of(sweep_id, Part::All).await
    }

    pub(crate) async fn views_of(&self, sweep_id: i64, part: Part) -> Result<Vec<RunView>, StoreError> {
        let rows = sqlx::query(part.query()).bind(sweep_id).fetch_all(&self.pool).await;
        let rows = rows.map_err(|error| self.sqlite(error))?;
        rows.iter().map(|row| decode(row).map_err(|error| StoreError::Row(error.to_string()))).collect()
    }

    /// Runs whose identity begins with `beginning`, at most five.
    pub async fn runs_beginning(&self, beginning: &str) -> Result<Vec<RunId>, StoreError> {
        let rows: Vec<String> =
            sqlx::query_scalar("select run_id from run where substr(run_id, 1, length(?1)) = ?1 limit 5")
                .bind(beginning)
                .fetch_all(&self.pool)
                .await
                .map_err(|error| self.sqlite(error))?;
        let parsed = rows.iter().map(|run| run.parse());
        parsed.collect::<Result<_, _>>().map_err(|error: NotAnId| StoreError::Row(error.to_string()))
    }

    /// The attempts of a run, the first one first.
    pub async fn attempts(&self, run: RunId) -> Result<Vec<AttemptView>, StoreError> {
        sqlx::query_as(
            "select attempt, started_ms, ended_ms, outcome, failure, message, devices, node, resumed_step, step, device_seconds,
                 accumulate
             from attempt where run_id = ?1 order by attempt",
        )
        .bind(run.to_string())
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.sqlite(error))
    }

    /// The moves of a run, in order.
    pub async fn moves(&self, run: RunId) -> Result<Vec<MoveView>, StoreError> {
        sqlx::query_as(
            "select at_ms, transition, attempt, failure, message from move where run_id = ?1 order by move_id",
        )
        .bind(run.to_string())
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.sqlite(error))
    }

    /// The specification of a run, as JSON.
    pub async fn spec_json(&self, run: RunId) -> Result<Option<String>, StoreError> {
        sqlx::query_scalar("select spec from run where run_id = ?1")
            .bind(run.to_string())
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.sqlite(error))
    }

    /// Leaves runs out of every fit and figure, for a reason; all or none. A new reason replaces an older one.
    pub async fn exclude(&self, runs: &[RunId], reason: &str, now_ms: i64) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        for run in runs {
            sqlx::query(
                "insert into exclusion (run_id, reason, made_ms) values (?1, ?2, ?3)
                 on conflict do update set reason = excluded.reason, made_ms = excluded.made_ms",
            )
            .bind(run.to_string())
            .bind(reason)
            .bind(now_ms)
            .execute(&mut *transaction)
            .await
            .map_err(|error| self.sqlite(error))?;
        }
        transaction.commit().await.map_err(|error| self.sqlite(error))
    }

    /// Takes exclusions back; all or none. Returns how many there were.
    pub async fn include(&self, runs: &[RunId]) -> Result<u64, StoreError> {
        let mut transaction = self.begin().await?;
        let mut taken_back = 0;
        for run in runs {
            let done = sqlx::query("delete from exclusion where run_id = ?1")
                .bind(run.to_string())
                .execute(&mut *transaction)
                .await
                .map_err(|error| self.sqlite(error))?;
            taken_back += done.rows_affected();
        }
        transaction.commit().await.map_err(|error| self.sqlite(error))?;
        Ok(taken_back)
    }
}

fn decode(row: &SqliteRow) -> Result<RunView, Problem> {
    let number = |column: &str| row.try_get::<i64, _>(column).map(|value| value as u64);
    let failure: Option<String> = row.try_get("failure")?;
    let parent: Option<String> = row.try_get("parent_id")?;
    let pretrained = match parent {
        Some(_) => Some(Recipe {
            epochs: row.try_get("parent_epochs")?,
            lr: row.try_get("parent_lr")?,
            seed: number("parent_seed")?,
        }),
        None => None,
    };
    let steps = number("steps")?;
    Ok(RunView {
        run: row.try_get::<String, _>("run_id")?.parse()?,
        model: row.try_get("model")?,
        recipe: Recipe { epochs: row.try_get("epochs")?, lr: row.try_get("lr")?, seed: number("seed")? },
        pretrained,
        state: RunState::from_words(&row.try_get::<String, _>("state")?, failure.as_deref())?,
        message: row.try_get("message")?,
        attempt: row.try_get("attempt")?,
        crashes: row.try_get("crashes")?,
        priority: row.try_get("priority")?,
        step: number("step")?,
        steps,
        shared_steps: row.try_get::<Option<i64>, _>("trunk_step")?.map_or(0, |step| (step as u64).min(steps)),
        trunk: row.try_get::<Option<String>, _>("trunk_run_id")?.map(|run| run.parse()).transpose()?,
        wanted: number("wanted")? == 1,
        estimated_seconds: row.try_get("estimated_seconds")?,
        device_seconds: row.try_get("device_seconds")?,
        heldout_loss: row.try_get("heldout_loss")?,
        accuracy: row.try_get("accuracy")?,
        excluded: row.try_get("reason")?,
    })
}
