//! Where a sweep stands, summed up by the database: what is shown of ten thousand runs is not read run by run.

use std::collections::BTreeMap;

use spec::state::RunState;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::view::{Part, RunView, share_done};
use crate::{Store, StoreError};

/// Where the runs stand that the file of a sweep asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// How many runs are in each state, by its word.
    pub states: BTreeMap<String, usize>,
    /// Estimated device seconds of those that were not cancelled.
    pub estimated_seconds: f64,
    /// Of these, seconds of runs that have a result.
    pub done_seconds: f64,
    /// Runs that something will still happen to by itself: those at work first, then as they will start.
    pub open: Vec<OpenRun>,
    /// Runs that failed, and those that crashed and will be tried again; cheapest first.
    pub problems: Vec<RunView>,
    /// Runs that a person has excluded from fits and figures.
    pub excluded: Vec<RunView>,
    /// The run with the lowest held-out loss of those trained from nothing, excluded ones left out.
    pub lowest_loss: Option<RunView>,
    /// The fine-tuned run with the highest held-out accuracy, excluded ones left out.
    pub highest_accuracy: Option<RunView>,
}

/// A run that waits or runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpenRun {
    /// Whether an attempt works on it.
    pub running: bool,
    /// Estimated device seconds of what is done of it.
    pub done_seconds: f64,
    /// Estimated device seconds that are left of it.
    pub left_seconds: f64,
}

impl Standing {
    /// Runs of the sweep.
    pub fn runs(&self) -> usize {
        self.states.values().sum()
    }

    /// Runs in a state.
    pub fn count(&self, state: &str) -> usize {
        self.states.get(state).copied().unwrap_or(0)
    }

    /// Share of the estimated compute that is done: 1 once every run that was not cancelled has a result.
    pub fn share(&self) -> f64 {
        let begun: f64 = self.open.iter().map(|run| run.done_seconds).sum();
        let done = self.done_seconds + begun;
        if self.estimated_seconds > 0.0 { (done / self.estimated_seconds).min(1.0) } else { 1.0 }
    }
}

const STATES: &str = "
    select state, count(*) as runs, total(estimated_seconds) as seconds from sweep_run join run using (run_id)
    where sweep_id = ?1 and wanted group by state";

const OPEN: &str = "
    select state, estimated_seconds, step, steps, coalesce(sweep_run.trunk_step, 0) as before
    from sweep_run join run using (run_id) join cell using (cell_key)
    where sweep_id = ?1 and wanted and state in ('queued', 'running')
    order by state = 'running' desc, priority desc, estimated_seconds, cell.lr, seed, run.run_id";

impl Store {
    /// Where a sweep stands.
    pub async fn standing(&self, sweep_id: i64) -> Result<Standing, StoreError> {
        let mut standing = Standing::default();
        for row in &self.rows(STATES, sweep_id).await? {
            let (state, seconds): (String, f64) = (row.get("state"), row.get("seconds"));
            match state.as_str() {
                "cancelled" => {}
                "completed" | "diverged" => {
                    standing.done_seconds += seconds;
                    standing.estimated_seconds += seconds;
                }
                _ => standing.estimated_seconds += seconds,
            }
            standing.states.insert(state, row.get::<i64, _>("runs") as usize);
        }
        standing.open = self.rows(OPEN, sweep_id).await?.iter().map(open).collect();
        standing.problems = self.views_of(sweep_id, Part::Problems).await?;
        standing.excluded = self.views_of(sweep_id, Part::Excluded).await?;
        standing.lowest_loss = self.views_of(sweep_id, Part::LowestLoss).await?.pop();
        standing.highest_accuracy = self.views_of(sweep_id, Part::HighestAccuracy).await?.pop();
        Ok(standing)
    }

    async fn rows(&self, query: &'static str, sweep_id: i64) -> Result<Vec<SqliteRow>, StoreError> {
        sqlx::query(query).bind(sweep_id).fetch_all(&self.pool).await.map_err(|error| self.sqlite(error))
    }
}

fn open(row: &SqliteRow) -> OpenRun {
    let number = |column| row.get::<i64, _>(column) as u64;
    let done = share_done(number("step"), number("steps"), number("before"));
    let seconds: f64 = row.get("estimated_seconds");
    OpenRun {
        running: row.get::<&str, _>("state") == RunState::Running.word(),
        done_seconds: seconds * done,
        left_seconds: seconds * (1.0 - done),
    }
}
