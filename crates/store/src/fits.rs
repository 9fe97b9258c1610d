//! Fits, each with the hash of the points that went in, so that a stale one is noticed.

use crate::{Store, StoreError};

impl Store {
    /// Keeps a fit; the same law over the same points replaces the earlier one.
    pub async fn save_fit(
        &self,
        sweep: i64,
        law: &str,
        points_hash: &str,
        result: &str,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "insert into fit (sweep_id, law, points_hash, result, fitted_ms) values (?1, ?2, ?3, ?4, ?5)
             on conflict (sweep_id, law, points_hash) do update set result = excluded.result, fitted_ms = excluded.fitted_ms",
        )
        .bind(sweep)
        .bind(law)
        .bind(points_hash)
        .bind(result)
        .bind(now_ms)
        .execute(&self.pool)
        .await
        .map_err(|error| self.sqlite(error))?;
        Ok(())
    }
}
