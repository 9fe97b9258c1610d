//! A sweep that grows while it runs: results name the learning rates that are tried next, repeats and the runs of fine-tuning.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use spec::plan::Plan;
use spec::run::RunId;
use spec::state::{RunState, Transition};
use store::{QueueRow, StateRow, Store, StoreError};

use crate::sweepfile::{Facts, Loaded};

/// What a running sweep asks for.
pub(crate) struct Growth<'a> {
    store: &'a Store,
    loaded: &'a Loaded,
    facts: &'a Facts,
    sweep_id: i64,
    /// What the sweep asks for by now.
    applied: BTreeSet<RunId>,
    /// What it has asked for since it runs.
    asked: BTreeSet<RunId>,
}

impl<'a> Growth<'a> {
    /// Begins with the runs of `plan`, which the database has.
    pub(crate) fn new(
        store: &'a Store,
        loaded: &'a Loaded,
        facts: &'a Facts,
        sweep_id: i64,
        plan: &Plan,
    ) -> Growth<'a> {
        Growth { store, loaded, facts, sweep_id, applied: ids(plan), asked: ids(plan) }
    }

    /// The runs that the results of this moment call for and that were not asked for before. Some may have been, in an earlier
    /// invocation: what is finished stays, what failed is tried again.
    pub(crate) async fn more(&mut self) -> Result<Vec<QueueRow>, StoreError> {
        if !self.loaded.sweep.grows() {
            return Ok(Vec::new());
        }
        let plan = self.loaded.plan(self.facts, &self.store.outcomes().await?);
        // What can be wrong with a plan has nothing to do with results, so it was refused before anything ran.
        let plan = plan.map_err(|failure| StoreError::Row(failure.to_string()))?;
        let ids = ids(&plan);
        if ids == self.applied {
            return Ok(Vec::new());
        }
        self.store.apply(&self.loaded.sweep.name, &self.loaded.text, &plan, now_ms()).await?;
        let new: BTreeSet<RunId> = ids.difference(&self.asked).copied().collect();
        self.applied = ids;
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let states = self.store.states(self.sweep_id).await?;
        try_again(self.store, states.iter().filter(|row| new.contains(&row.run))).await?;
        self.asked.extend(&new);
        let mut rows = self.store.queue_of(self.sweep_id, &new.into_iter().collect::<Vec<_>>()).await?;
        rows.sort_by(|a, b| a.estimated_seconds.total_cmp(&b.estimated_seconds));
        Ok(rows)
    }
}

fn ids(plan: &Plan) -> BTreeSet<RunId> {
    plan.runs.iter().map(|run| run.id).collect()
}

/// Puts failed runs back into the queue: whoever runs a sweep again has mended what made them fail, or wants to know. A
/// divergence is a result and stays. Returns how many.
pub(crate) async fn try_again(store: &Store, rows: impl Iterator<Item = &StateRow>) -> Result<usize, StoreError> {
    let failed: Vec<RunId> =
        rows.filter(|row| row.wanted && matches!(row.state, RunState::Failed(_))).map(|row| row.run).collect();
    if failed.is_empty() {
        return Ok(0);
    }
    let mut write = store.write().await?;
    for run in &failed {
        write.change(*run, Transition::Retry, now_ms()).await?;
    }
    write.commit().await?;
    Ok(failed.len())
}

pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
