//! Applying a sweep: new cells are added, known ones kept, those no longer asked for are let go but not forgotten.

use std::collections::{BTreeMap, BTreeSet};

use spec::plan::{Plan, PlannedRun};
use spec::run::{NotAnId, RunId};

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
        let planned: BTreeSet<RunId> = plan.runs.iter().map(|run| run.spec.id()).collect();
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
        let known: Vec<(String, bool)> = sqlx::query_as("select run_id, wanted from sweep_run where sweep_id = ?1")
            .bind(sweep_id)
            .fetch_all(&mut *transaction)
            .await
            .map_err(sql)?;
        let parsed = known.iter().map(|(run, wanted)| Ok((run.parse()?, *wanted)));
        let known: BTreeMap<RunId, bool> =
            parsed.collect::<Result<_, NotAnId>>().map_err(|error| StoreError::Row(error.to_string()))?;
        sqlx::query("update sweep_run set wanted = 0 where sweep_id = ?1")
            .bind(sweep_id)
            .execute(&mut *transaction)
            .await
            .map_err(sql)?;
        // All runs before what refers to them.
        for planned in &plan.runs {
            insert(&mut transaction, planned).await.map_err(sql)?;
        }
        for planned in &plan.runs {
            sqlx::query(
                "insert into sweep_run (sweep_id, run_id, model, estimated_seconds, trunk_run_id, trunk_step)
                 values (?1, ?2, ?3, ?4, ?5, ?6)
                 on conflict (sweep_id, run_id) do update
                 set wanted = 1, model = excluded.model, estimated_seconds = excluded.estimated_seconds,
                     trunk_run_id = excluded.trunk_run_id, trunk_step = excluded.trunk_step",
            )
            .bind(sweep_id)
            .bind(planned.spec.id().to_string())
            .bind(&planned.model)
            .bind(planned.price.seconds * planned.own_share())
            .bind(planned.trunk.map(|trunk| trunk.run.to_string()))
            .bind(planned.trunk.map(|trunk| trunk.step as i64))
            .execute(&mut *transaction)
            .await
            .map_err(sql)?;
        }
        transaction.commit().await.map_err(sql)?;
        Ok((sweep_id, Applied::between(&known, plan)))
    }
}

async fn insert(connection: &mut sqlx::SqliteConnection, planned: &PlannedRun) -> Result<(), sqlx::Error> {
    let (spec, price) = (&planned.spec, &planned.price);
    sqlx::query(
        "insert or ignore into cell
         (cell_key, dataset, epochs, lr, parameters, parameters_without_head, macs, flops, samples, steps, memory_bytes)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )
    .bind(spec.cell().to_string())
    .bind(&spec.data.dataset)
    .bind(spec.train.epochs)
    .bind(spec.train.lr)
    .bind(price.parameters as i64)
    .bind(price.parameters_without_head as i64)
    .bind(price.macs as i64)
    .bind(price.flops)
    .bind(price.samples as i64)
    .bind(price.steps as i64)
    .bind(price.bytes as i64)
    .execute(&mut *connection)
    .await?;
    let json = serde_json::to_string(spec).unwrap_or_default();
    sqlx::query(
        "insert or ignore into run (run_id, cell_key, seed, spec, pretrained_run_id) values (?1, ?2, ?3, ?4, ?5)",
    )
    .bind(spec.id().to_string())
    .bind(spec.cell().to_string())
    .bind(spec.seed as i64)
    .bind(json)
    .bind(spec.pretrained.map(|parent| parent.to_string()))
    .execute(connection)
    .await?;
    Ok(())
}
