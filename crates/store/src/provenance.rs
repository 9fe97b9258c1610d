//! Where numbers come from: what worked on a sweep, and as what it was started.

use crate::{Store, StoreError};

/// A `scalelaw run` of a sweep.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Session {
    /// When it began.
    pub began_ms: i64,
    /// What it was and where it ran, as JSON.
    pub surroundings: String,
}

/// Attempts that worked with the same hardware and software, as their trainers said it.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Worked {
    /// The processor or GPU, where it was said.
    pub hardware: Option<String>,
    /// The program that computed, where it was said.
    pub software: Option<String>,
    /// How many attempts.
    pub attempts: i64,
    /// Device seconds that those of them were billed that have ended.
    pub seconds: f64,
}

impl Store {
    /// Keeps as what a sweep was started at `began_ms`.
    pub async fn note_session(&self, sweep: i64, began_ms: i64, surroundings: &str) -> Result<(), StoreError> {
        sqlx::query("insert or replace into session (sweep_id, began_ms, surroundings) values (?1, ?2, ?3)")
            .bind(sweep)
            .bind(began_ms)
            .bind(surroundings)
            .execute(&self.pool)
            .await
            .map_err(|error| self.sqlite(error))?;
        Ok(())
    }

    /// As what a sweep was started, in order; nothing of what an older version started.
    pub async fn sessions(&self, sweep: i64) -> Result<Vec<Session>, StoreError> {
        sqlx::query_as("select began_ms, surroundings from session where sweep_id = ?1 order by began_ms")
            .bind(sweep)
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.sqlite(error))
    }

    /// What the attempts of a sweep worked with, most device time first.
    pub async fn worked(&self, sweep: i64) -> Result<Vec<Worked>, StoreError> {
        sqlx::query_as(
            "select hardware, software, count(*) as attempts, total(device_seconds) as seconds
             from sweep_run join attempt using (run_id) where sweep_id = ?1
             group by hardware, software order by seconds desc, attempts desc, hardware, software",
        )
        .bind(sweep)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.sqlite(error))
    }
}
