//! Applying a sweep: new cells are added, known ones kept, those no longer asked for are let go but not forgotten.

use std::collections::{BTreeMap, BTreeSet};

use spec::plan::{Plan, PlannedRun};
use spec::run::{NotAnId, RunId};
use sqlx::{QueryBuilder, SqliteConnection};

use crate::{Store, StoreError};

/// What applying a sweep changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Runs that are new to the sweep.
    pub new: usize,
    /// Runs it had already.
    pub kept: usize,
    /// Runs it had and no longer asks for; their results stay.
    pub dropped: usize,
}

impl Applied {
    /// What applying `plan` to a sweep changes that has `known` runs, each with whether it still asks for it.
    pub fn between(known: &BTreeMap<RunId, bool>, plan: &Plan) -> Applied {
        let planned: BTreeSet<RunId> = plan.runs.iter().map(|run| run.id).collect();
        let kept = planned.iter().filter(|run| known.contains_key(run)).count();
        let dropped = known.iter().filter(|(run, wanted)| **wanted && !planned.contains(run)).count();
        Applied { new: planned.len() - kept, kept, dropped }
    }
}

impl Store {
    /// Makes the sweep `name` ask for exactly the runs of `plan`, and returns its key. Doing it twice changes nothing.
    pub async fn apply(
        &self,
        name: &str,
        source: &str,
        plan: &Plan,
        now_ms: i64,
    ) -> Result<(i64, Applied), StoreError> {
        let mut transaction = self.begin().await?;
        let sql = |error| self.sqlite(error);
        let sweep_id: i64 = sqlx::query_scalar(
            "insert into sweep (name, source, applied_ms) values (?1, ?2, ?3)
             on conflict (name) do update set source = excluded.source, applied_ms = excluded.applied_ms
             returning sweep_id",
        )
        .bind(name)
        .bind(source)
        .bind(now_ms)
        .fetch_one(&mut *transaction)
        .await
        .map_err(sql)?;
        let rows: Vec<(String, bool, Asked)> = known(&mut transaction, sweep_id).await.map_err(sql)?;
        let mut known = BTreeMap::new();
        let mut asked = BTreeMap::new();
        for (run, wanted, row) in rows {
            let run: RunId = run.parse().map_err(|error: NotAnId| StoreError::Row(error.to_string()))?;
            known.insert(run, wanted);
            asked.extend(wanted.then_some((run, row)));
        }
        // All runs before what refers to them.
        let new: Vec<&PlannedRun> = plan.runs.iter().filter(|run| !known.contains_key(&run.id)).collect();
        for runs in new.chunks(ROWS) {
            insert(&mut transaction, runs).await.map_err(sql)?;
        }
        let changed = |run: &&PlannedRun| asked.get(&run.id) != Some(&Asked::of(run));
        let changed: Vec<&PlannedRun> = plan.runs.iter().filter(changed).collect();
        for runs in changed.chunks(ROWS) {
            ask(&mut transaction, sweep_id, runs).await.map_err(sql)?;
        }
        let planned: BTreeSet<RunId> = plan.runs.iter().map(|run| run.id).collect();
        let dropped: Vec<&RunId> = asked.keys().filter(|run| !planned.contains(run)).collect();
        sqlx::query(
            "update sweep_run set wanted = 0 where sweep_id = ?1 and run_id in (select value from json_each(?2))",
        )
        .bind(sweep_id)
        .bind(serde_json::to_string(&dropped).unwrap_or_default())
        .execute(&mut *transaction)
        .await
        .map_err(sql)?;
        transaction.commit().await.map_err(sql)?;
        Ok((sweep_id, Applied::between(&known, plan)))
    }
}

/// Rows that one statement adds: a statement for each row costs most of its time between two threads. SQLite takes 32,766 values.
const ROWS: usize = 500;

/// What a sweep says of a run that it asks for.
#[derive(Debug, PartialEq)]
struct Asked {
    model: String,
    estimated_seconds: f64,
    trunk: Option<(String, i64)>,
}

impl Asked {
    fn of(planned: &PlannedRun) -> Asked {
        Asked {
            model: planned.model.clone(),
            estimated_seconds: planned.price.seconds * planned.own_share(),
            trunk: planned.trunk.map(|trunk| (trunk.run.to_string(), trunk.step as i64)),
        }
    }
}

/// The runs of a sweep, each with whether it still asks for it.
async fn known(connection: &mut SqliteConnection, sweep_id: i64) -> Result<Vec<(String, bool, Asked)>, sqlx::Error> {
    type Row = (String, bool, String, f64, Option<String>, Option<i64>);
    let rows: Vec<Row> = sqlx::query_as(
        "select run_id, wanted, model, estimated_seconds, trunk_run_id, trunk_step from sweep_run where sweep_id = ?1",
    )
    .bind(sweep_id)
    .fetch_all(connection)
    .await?;
    let row = |(run, wanted, model, estimated_seconds, trunk, step): Row| {
        (run, wanted, Asked { model, estimated_seconds, trunk: trunk.zip(step) })
    };
    Ok(rows.into_iter().map(row).collect())
}

async fn insert(connection: &mut SqliteConnection, runs: &[&PlannedRun]) -> Result<(), sqlx::Error> {
    let mut cells = QueryBuilder::new(
        "insert or ignore into cell
         (cell_key, dataset, epochs, lr, parameters, parameters_without_head, macs, flops, samples, steps, memory_bytes) ",
    );
    cells.push_values(runs, |mut row, planned| {
        let (spec, price) = (&planned.spec, &planned.price);
        row.push_bind(planned.cell.to_string())
            .push_bind(spec.data.dataset.as_str())
            .push_bind(spec.train.epochs)
            .push_bind(spec.train.lr)
            .push_bind(price.parameters as i64)
            .push_bind(price.parameters_without_head as i64)
            .push_bind(price.macs as i64)
            .push_bind(price.flops)
            .push_bind(price.samples as i64)
            .push_bind(price.steps as i64)
            .push_bind(price.bytes as i64);
    });
    cells.build().execute(&mut *connection).await?;
    let mut rows = QueryBuilder::new("insert or ignore into run (run_id, cell_key, seed, spec, pretrained_run_id) ");
    rows.push_values(runs, |mut row, planned| {
        row.push_bind(planned.id.to_string())
            .push_bind(planned.cell.to_string())
            .push_bind(planned.spec.seed as i64)
            .push_bind(serde_json::to_string(&planned.spec).unwrap_or_default())
            .push_bind(planned.spec.pretrained.map(|parent| parent.to_string()));
    });
    rows.build().execute(connection).await?;
    Ok(())
}

async fn ask(connection: &mut SqliteConnection, sweep_id: i64, runs: &[&PlannedRun]) -> Result<(), sqlx::Error> {
    let mut rows = QueryBuilder::new(
        "insert into sweep_run (sweep_id, run_id, model, estimated_seconds, trunk_run_id, trunk_step) ",
    );
    rows.push_values(runs, |mut row, planned| {
        let Asked { model, estimated_seconds, trunk } = Asked::of(planned);
        let (trunk, step) = trunk.unzip();
        row.push_bind(sweep_id)
            .push_bind(planned.id.to_string())
            .push_bind(model)
            .push_bind(estimated_seconds)
            .push_bind(trunk)
            .push_bind(step);
    });
    rows.push(
        " on conflict (sweep_id, run_id) do update
         set wanted = 1, model = excluded.model, estimated_seconds = excluded.estimated_seconds,
             trunk_run_id = excluded.trunk_run_id, trunk_step = excluded.trunk_step",
    );
    rows.build().execute(connection).await?;
    Ok(())
}
