//! One transaction that writes: what a scheduler decides at once becomes true at once.

use std::path::PathBuf;

use sqlx::{Sqlite, Transaction};

use crate::{Store, StoreError};

/// Changes that become durable together, with [`Write::commit`]; dropped, they never were.
#[derive(Debug)]
pub struct Write {
    pub(crate) transaction: Transaction<'static, Sqlite>,
    path: PathBuf,
}

impl Store {
    /// Begins to write. No other function of this store may be awaited before the end: there is one connection.
    pub async fn write(&self) -> Result<Write, StoreError> {
        Ok(Write { transaction: self.begin().await?, path: self.path.clone() })
    }
}

impl Write {
    /// Makes all changes durable. After an error nobody knows whether they are: the database has to be read again.
    pub async fn commit(self) -> Result<(), StoreError> {
        let path = self.path;
        self.transaction.commit().await.map_err(|source| StoreError::Sqlite { path, source })
    }

    pub(crate) fn sqlite(&self, source: sqlx::Error) -> StoreError {
        StoreError::Sqlite { path: self.path.clone(), source }
    }

    /// Adds to what the devices of a scheduler were used for, since it began at `session_ms`: for each its name, busy and idle
    /// seconds.
    pub async fn note_devices<'a>(
        &mut self,
        session_ms: i64,
        sweep_id: i64,
        uses: impl Iterator<Item = (&'a str, f64, f64)>,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        for (device, busy, idle) in uses {
            sqlx::query(
                "insert into device_session (session_ms, sweep_id, device, seen_ms, busy_seconds, idle_seconds)
                 values (?1, ?2, ?3, ?4, ?5, ?6)
                 on conflict do update set seen_ms = excluded.seen_ms, busy_seconds = excluded.busy_seconds,
                     idle_seconds = excluded.idle_seconds",
            )
            .bind(session_ms)
            .bind(sweep_id)
            .bind(device)
            .bind(now_ms)
            .bind(busy)
            .bind(idle)
            .execute(&mut *self.transaction)
            .await
            .map_err(|error| self.sqlite(error))?;
        }
        Ok(())
    }

    /// Notes that a device or node is used no more in this session.
    pub async fn note_quarantine(
        &mut self,
        session_ms: i64,
        sweep_id: i64,
        place: &str,
        why: &str,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "insert into device_session (session_ms, sweep_id, device, seen_ms, quarantined) values (?1, ?2, ?3, ?4, ?5)
             on conflict do update set quarantined = excluded.quarantined",
        )
        .bind(session_ms)
        .bind(sweep_id)
        .bind(place)
        .bind(now_ms)
        .bind(why)
        .execute(&mut *self.transaction)
        .await
        .map_err(|error| self.sqlite(error))?;
        Ok(())
    }
}
