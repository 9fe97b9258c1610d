//! What an export has beside the runs and their results: when they were worked on and where, and everything they recorded on the way.

use std::collections::BTreeMap;

use spec::run::{NotAnId, RunId};

use crate::{Store, StoreError};

/// The work on a run.
#[derive(Clone, Debug, Default, PartialEq, sqlx::FromRow)]
pub struct Work {
    /// When its first attempt started, in milliseconds since 1970.
    pub started_ms: Option<i64>,
    /// When its newest attempt ended; `None` while that one works.
    pub ended_ms: Option<i64>,
    /// Devices of the newest attempt by the names that the scheduler gave them, separated by commas.
    pub devices: Option<String>,
    /// What the trainer of the newest attempt said that it computes on, as in `cuda:0`.
    pub device: Option<String>,
    /// What that is, as it said: a processor or a GPU.
    pub hardware: Option<String>,
    /// What it said that computes, with its version.
    pub software: Option<String>,
    /// Commit of the sweep file when the newest attempt was started, where that was under version control.
    pub git_commit: Option<String>,
    /// Whether files differed from that commit.
    pub git_dirty: Option<bool>,
    /// Node of a cluster of the newest attempt.
    pub node: Option<String>,
    /// Mean training loss of the last steps that it has recorded.
    pub training_loss: Option<f64>,
    /// The lowest held-out loss of all its evaluations.
    pub best_heldout_loss: Option<f64>,
    /// The step of that evaluation.
    pub best_step: Option<i64>,
    /// Billed seconds of steps that are in its weights, as the view `attempt_use` counts them; of attempts that have ended.
    pub useful_seconds: f64,
    /// Billed seconds of steps that were computed again.
    pub repeated_seconds: f64,
    /// Billed seconds of a run that was given up.
    pub failed_seconds: f64,
}

#[derive(sqlx::FromRow)]
struct WorkRow {
    run_id: String,
    #[sqlx(flatten)]
    work: Work,
}

/// A number that a run has recorded on its way.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Recorded {
    /// Steps done.
    pub step: i64,
    /// Samples seen, where the trainer has said it.
    pub samples: Option<i64>,
    /// What it is of.
    pub series: Series,
    /// The number.
    pub value: f64,
}

/// What runs record numbers of, in the order of the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, sqlx::Type)]
#[sqlx(rename_all = "snake_case")]
pub enum Series {
    /// Share of right answers on the held-out set.
    HeldoutAccuracy,
    /// Held-out loss.
    HeldoutLossNats,
    /// Mean training loss of the steps since the number before.
    TrainingLossNats,
}

impl Series {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Series::HeldoutAccuracy => "heldout_accuracy",
            Series::HeldoutLossNats => "heldout_loss_nats",
            Series::TrainingLossNats => "training_loss_nats",
        }
    }
}

const WORK: &str = "
    select sweep_run.run_id, (select min(started_ms) from attempt where attempt.run_id = sweep_run.run_id) as started_ms,
        newest.ended_ms, newest.devices, newest.device, newest.hardware, newest.software, newest.node,
        json_extract(started.surroundings, '$.git.commit') as git_commit, json_extract(started.surroundings, '$.git.changed') as git_dirty,
        (select loss from metric where metric.run_id = sweep_run.run_id order by step desc limit 1) as training_loss,
        best.loss as best_heldout_loss, best.step as best_step, coalesce(used.useful, 0.0) as useful_seconds,
        coalesce(used.repeated, 0.0) as repeated_seconds, coalesce(used.failed, 0.0) as failed_seconds
    from sweep_run join run using (run_id)
        left join attempt as newest on newest.run_id = run.run_id and newest.attempt = run.attempt
        -- One scheduler at a time works here, whichever sweep it is of: the newest one before the attempt started it.
        left join session as started on newest.started_ms is not null and (started.sweep_id, started.began_ms) = (
            select sweep_id, began_ms from session where began_ms <= newest.started_ms order by began_ms desc limit 1)
        left join evaluation as best on best.run_id = run.run_id and best.step = (
            select step from evaluation where evaluation.run_id = run.run_id order by loss, step limit 1)
        left join (
            select run_id, total(useful_seconds) as useful, total(repeated_seconds) as repeated, total(failed_seconds) as failed
            from sweep_run join attempt_use using (run_id) where sweep_id = ?1 group by run_id
        ) as used on used.run_id = run.run_id
    where sweep_run.sweep_id = ?1";

/// Of each series so many numbers above a step, as they stand in the index.
const RECORDED: &str = "
    select * from (select step, null as samples, 'heldout_accuracy' as series, accuracy as value from evaluation
        where run_id = ?1 and step > ?2 and accuracy is not null order by step limit ?5)
    union all select * from (select step, null, 'heldout_loss_nats', loss from evaluation
        where run_id = ?1 and step > ?3 order by step limit ?5)
    union all select * from (select step, samples, 'training_loss_nats', loss from metric
        where run_id = ?1 and step > ?4 order by step limit ?5)";

impl Store {
    /// The work on every run of a sweep.
    pub async fn work(&self, sweep_id: i64) -> Result<BTreeMap<RunId, Work>, StoreError> {
        let rows: Vec<WorkRow> =
            sqlx::query_as(WORK).bind(sweep_id).fetch_all(&self.pool).await.map_err(|error| self.sqlite(error))?;
        let run = |id: &str| id.parse().map_err(|error: NotAnId| StoreError::Row(error.to_string()));
        rows.into_iter().map(|row| Ok((run(&row.run_id)?, row.work))).collect()
    }

    /// What a run has recorded on its way, one series after the other, steps ascending: at most so many numbers of those that come
    /// after one, or of all.
    pub async fn recorded(
        &self,
        run: RunId,
        after: Option<&Recorded>,
        most: usize,
    ) -> Result<Vec<Recorded>, StoreError> {
        let above = |series: Series| match after {
            Some(last) if last.series == series => last.step,
            Some(last) if last.series > series => i64::MAX,
            _ => -1,
        };
        let rows: Result<Vec<Recorded>, _> = sqlx::query_as(RECORDED)
            .bind(run.to_string())
            .bind(above(Series::HeldoutAccuracy))
            .bind(above(Series::HeldoutLossNats))
            .bind(above(Series::TrainingLossNats))
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await;
        let mut rows = rows.map_err(|error| self.sqlite(error))?;
        rows.sort_by_key(|row| (row.series, row.step));
        rows.truncate(most);
        Ok(rows)
    }
}
