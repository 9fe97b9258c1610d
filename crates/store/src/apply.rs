//! Applying a sweep: new cells are added, known ones kept, those no longer asked for are let go but not forgotten.

use spec::plan::{Plan, PlannedRun};

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

impl Store {
    /// Makes the sweep `name` ask for exactly the runs of `plan`. Doing it twice changes nothing.
    pub async fn apply(&self, name: &str, source: &str, plan: &Plan, now_ms: i64) -> Result<Applied, StoreError> {
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
        let wanted: i64 = sqlx::query_scalar("select count(*) from sweep_run where sweep_id = ?1 and wanted = 1")
            .bind(sweep_id)
            .fetch_one(&mut *transaction)
            .await
            .map_err(sql)?;
        sqlx::query("update sweep_run set wanted = 0 where sweep_id = ?1")
            .bind(sweep_id)
            .execute(&mut *transaction)
            .await
            .map_err(sql)?;
        let mut kept = 0;
        for planned in &plan.runs {
            insert(&mut transaction, planned).await.map_err(sql)?;
            let known = sqlx::query(
                "update sweep_run set wanted = 1, model = ?3, estimated_seconds = ?4 where sweep_id = ?1 and run_id = ?2",
            )
            .bind(sweep_id)
            .bind(planned.spec.id().to_string())
            .bind(&planned.model)
            .bind(planned.price.seconds)
            .execute(&mut *transaction)
            .await
            .map_err(sql)?;
            if known.rows_affected() == 1 {
                kept += 1;
                continue;
            }
            sqlx::query("insert into sweep_run (sweep_id, run_id, model, estimated_seconds) values (?1, ?2, ?3, ?4)")
                .bind(sweep_id)
                .bind(planned.spec.id().to_string())
                .bind(&planned.model)
                .bind(planned.price.seconds)
                .execute(&mut *transaction)
                .await
                .map_err(sql)?;
        }
        transaction.commit().await.map_err(sql)?;
        let new = plan.runs.len() - kept;
        Ok(Applied { new, kept, dropped: (wanted as usize).saturating_sub(kept) })
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
    sqlx::query("insert or ignore into run (run_id, cell_key, seed, spec) values (?1, ?2, ?3, ?4)")
        .bind(spec.id().to_string())
        .bind(spec.cell().to_string())
        .bind(spec.seed as i64)
        .bind(json)
        .execute(connection)
        .await?;
    Ok(())
}
