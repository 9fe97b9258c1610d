//! Wishes of people: written by whoever has one, granted or turned down by the scheduler that works.

use std::collections::BTreeMap;

use spec::run::{NotAnId, RunId};

use crate::{Store, StoreError};

/// What a person wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The run is to be given up, at once if it is at work.
    Cancel(RunId),
    /// The run that failed or was cancelled is to be tried again.
    Retry(RunId),
    /// The run is to have this priority; higher ones start first.
    Prioritise(RunId, i64),
    /// The sweep is to start nothing more; what works goes on.
    Pause,
    /// The sweep is to start runs again.
    Resume,
}

impl Wish {
    fn columns(self) -> (&'static str, Option<RunId>, Option<i64>) {
        match self {
            Wish::Cancel(run) => ("cancel", Some(run), None),
            Wish::Retry(run) => ("retry", Some(run), None),
            Wish::Prioritise(run, priority) => ("prioritise", Some(run), Some(priority)),
            Wish::Pause => ("pause", None, None),
            Wish::Resume => ("resume", None, None),
        }
    }

    fn from_columns(action: &str, run: Option<String>, value: Option<i64>) -> Result<Wish, StoreError> {
        let run = run.map(|run| run.parse()).transpose();
        let run: Option<RunId> = run.map_err(|error: NotAnId| StoreError::Row(error.to_string()))?;
        match (action, run, value) {
            ("cancel", Some(run), _) => Ok(Wish::Cancel(run)),
            ("retry", Some(run), _) => Ok(Wish::Retry(run)),
            ("prioritise", Some(run), Some(priority)) => Ok(Wish::Prioritise(run, priority)),
            ("pause", None, _) => Ok(Wish::Pause),
            ("resume", None, _) => Ok(Wish::Resume),
            _ => Err(StoreError::Row(format!("request {action:?} of {run:?} with {value:?}"))),
        }
    }
}

/// A wish in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its key; later ones have higher keys.
    pub id: i64,
    /// The sweep it is about.
    pub sweep_id: i64,
    /// What is wanted.
    pub wish: Wish,
}

impl Store {
    /// Writes wishes for the scheduler of a sweep, all or none, and returns their keys in the same order.
    pub async fn request(&self, sweep_id: i64, wishes: &[Wish], now_ms: i64) -> Result<Vec<i64>, StoreError> {
        let mut transaction = self.begin().await?;
        let mut keys = Vec::with_capacity(wishes.len());
        for wish in wishes {
            let (action, run, value) = wish.columns();
            let key: i64 = sqlx::query_scalar(
                "insert into request (made_ms, sweep_id, action, run_id, value) values (?1, ?2, ?3, ?4, ?5)
                 returning request_id",
            )
            .bind(now_ms)
            .bind(sweep_id)
            .bind(action)
            .bind(run.map(|run| run.to_string()))
            .bind(value)
            .fetch_one(&mut *transaction)
            .await
            .map_err(|error| self.sqlite(error))?;
            keys.push(key);
        }
        transaction.commit().await.map_err(|error| self.sqlite(error))?;
        Ok(keys)
    }

    /// The wishes of a sweep that nobody has answered, in the order they were made.
    pub async fn open_requests(&self, sweep_id: i64) -> Result<Vec<Request>, StoreError> {
        let rows: Vec<(i64, String, Option<String>, Option<i64>)> = sqlx::query_as(
            "select request_id, action, run_id, value from request
             where done_ms is null and sweep_id = ?1 order by request_id",
        )
        .bind(sweep_id)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.sqlite(error))?;
        let request = |(id, action, run, value): (i64, String, Option<String>, Option<i64>)| {
            Ok(Request { id, sweep_id, wish: Wish::from_columns(&action, run, value)? })
        };
        rows.into_iter().map(request).collect()
    }

    /// Writes what came of a wish. The first answer stays.
    pub async fn answer(&self, request_id: i64, answer: &str, now_ms: i64) -> Result<(), StoreError> {
        sqlx::query("update request set done_ms = ?2, answer = ?3 where request_id = ?1 and done_ms is null")
            .bind(request_id)
            .bind(now_ms)
            .bind(answer)
            .execute(&self.pool)
            .await
            .map_err(|error| self.sqlite(error))?;
        Ok(())
    }

    /// The answers to these wishes; those that nobody has answered are missing.
    pub async fn answers(&self, request_ids: &[i64]) -> Result<BTreeMap<i64, String>, StoreError> {
        let keys = serde_json::to_string(request_ids).unwrap_or_default();
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "select request_id, coalesce(answer, '') from request
             where request_id in (select value from json_each(?1)) and done_ms is not null",
        )
        .bind(keys)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.sqlite(error))?;
        Ok(rows.into_iter().collect())
    }

    /// Stops a sweep from starting anything, and says why; with `None` it starts runs again.
    pub async fn pause(&self, sweep_id: i64, why: Option<&str>) -> Result<(), StoreError> {
        sqlx::query("update sweep set paused = ?2 where sweep_id = ?1")
            .bind(sweep_id)
            .bind(why)
            .execute(&self.pool)
            .await
            .map_err(|error| self.sqlite(error))?;
        Ok(())
    }

    /// Devices and nodes that were out of use are used again.
    pub async fn forgive_devices(&self, session_ms: i64, sweep_id: i64) -> Result<(), StoreError> {
        sqlx::query("update device_session set quarantined = null where session_ms = ?1 and sweep_id = ?2")
            .bind(session_ms)
            .bind(sweep_id)
            .execute(&self.pool)
            .await
            .map_err(|error| self.sqlite(error))?;
        Ok(())
    }

    /// Why a sweep starts nothing; `None` while it does.
    pub async fn paused(&self, sweep_id: i64) -> Result<Option<String>, StoreError> {
        let row: Option<Option<String>> = sqlx::query_scalar("select paused from sweep where sweep_id = ?1")
            .bind(sweep_id)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.sqlite(error))?;
        Ok(row.flatten())
    }

    /// Gives a run its priority; higher ones start first.
    pub async fn prioritise(&self, run: RunId, priority: i64) -> Result<(), StoreError> {
        sqlx::query("update run set priority = ?2 where run_id = ?1")
            .bind(run.to_string())
            .bind(priority)
            .execute(&self.pool)
            .await
            .map_err(|error| self.sqlite(error))?;
        Ok(())
    }
}
