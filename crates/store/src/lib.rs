//! The database: the one crate that knows SQL.
//!
//! One process writes at a time (the scheduler, which holds the lock of the state folder); everybody else reads through
//! short read-only connections. Every writing transaction begins with `begin immediate`: one that reads first and then
//! wants to write fails at once when somebody else has written in between, and no time-out helps.
//!
//! Queries are plain `&'static str`, but for those that add many rows at once; each is executed by a test against the migrated schema.

mod apply;
mod attempt;
mod curves;
mod fits;
mod ingest;
mod ledger;
mod provenance;
mod queue;
mod read;
mod recorded;
mod request;
mod standing;
mod view;
mod write;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqlitePool, Transaction};

pub use apply::Applied;
pub use attempt::{Ended, OpenAttempt, Outcome, Placement, Process};
pub use curves::{LossCurve, Spell};
pub use ledger::{DeviceLedger, DeviceUse, Ledger};
pub use provenance::{Session, Worked};
pub use queue::{QueueRow, StateRow, Task};
pub use read::{ResultRow, RunRow, SweepRow, by_id};
pub use recorded::{Recorded, Series, Work};
pub use request::{Request, Wish};
pub use standing::{OpenRun, Standing};
pub use view::{AttemptView, MoveView, RunView};
pub use write::Write;

/// Oldest SQLite that is safe here: before it, two connections and a write-ahead log can lose commits.
const OLDEST_SQLITE: (u32, u32, u32) = (3, 51, 3);

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is none yet.
    #[error("{0}: no database; `scalelaw run SWEEP` makes one")]
    Missing(PathBuf),
    /// SQLite would not do something.
    #[error("{path}: {source}{}", hint(.source))]
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// The database was made by a newer version, or a migration was changed.
    #[error("{path}: {source}; was it made by a newer scalelaw?")]
    Migration {
        /// The database file.
        path: PathBuf,
        /// What does not fit.
        source: sqlx::migrate::MigrateError,
    },
    /// The database was made by an older version and has not been brought up to date.
    #[error("{0}: made by an older scalelaw; `scalelaw run SWEEP` brings it up to date once no scheduler works there")]
    Outdated(PathBuf),
    /// A library with a known bug.
    #[error("SQLite {0} is older than 3.51.3 and can lose commits; build with the bundled one")]
    OldSqlite(String),
    /// A row that cannot be.
    #[error("a damaged row: {0}")]
    Row(String),
    /// A change that the state of the run does not allow.
    #[error("run {run}: {why}")]
    Conflict {
        /// The run.
        run: String,
        /// What was to happen and what stood in the way.
        why: String,
    },
}

fn hint(error: &sqlx::Error) -> &'static str {
    let text = error.to_string();
    if text.contains("not a database") || text.contains("malformed") {
        "; that file is no database of scalelaw or it is damaged: the journals in its runs folder still have all results"
    } else if text.contains("disk is full") || text.contains("code: 13") {
        "; free some space and run again, nothing that was acknowledged is lost"
    } else if text.contains("readonly") || text.contains("unable to open") {
        "; is the folder writable?"
    } else {
        ""
    }
}

fn writing(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // A result that was acknowledged survives a power cut.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .pragma("journal_size_limit", "67108864")
        .busy_timeout(Duration::from_secs(10))
}

/// What the database has to look like.
static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// The open database.
#[derive(Clone, Debug)]
pub struct Store {
    pool: SqlitePool,
    path: PathBuf,
}

impl Store {
    /// Opens the database for writing, makes it where there is none and brings it up to date. The caller holds the lock
    /// of the state folder.
    pub async fn open(path: &Path) -> Result<Store, StoreError> {
        let store = Store::connect(path, writing(path).create_if_missing(true)).await?;
        MIGRATIONS.run(&store.pool).await.map_err(|source| StoreError::Migration { path: path.to_owned(), source })?;
        Ok(store)
    }

    /// Opens an existing database for writing beside a scheduler that holds the lock of the state folder: for wishes and
    /// for what no scheduler decides. One of an older version is refused.
    pub async fn open_beside(path: &Path) -> Result<Store, StoreError> {
        if !path.exists() {
            return Err(StoreError::Missing(path.to_owned()));
        }
        Store::connect(path, writing(path)).await?.if_current().await
    }

    /// Opens an existing database for reading only. One of an older version is refused: [`Store::open`] mends it.
    pub async fn open_to_read(path: &Path) -> Result<Store, StoreError> {
        if !path.exists() {
            return Err(StoreError::Missing(path.to_owned()));
        }
        // Many runs are read at once: pages stay in memory, and rows wait for their reader by the hundreds.
        let options = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .busy_timeout(Duration::from_secs(10))
            .pragma("cache_size", "-65536")
            .row_buffer_size(1024);
        Store::connect(path, options).await?.if_current().await
    }

    async fn if_current(self) -> Result<Store, StoreError> {
        let applied: Option<i64> = sqlx::query_scalar("select max(version) from _sqlx_migrations where success")
            .fetch_one(&self.pool)
            .await
            .map_err(|source| self.sqlite(source))?;
        let newest = MIGRATIONS.iter().map(|migration| migration.version).max();
        if applied < newest { Err(StoreError::Outdated(self.path)) } else { Ok(self) }
    }

    async fn connect(path: &Path, options: SqliteConnectOptions) -> Result<Store, StoreError> {
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await;
        let pool = pool.map_err(|source| StoreError::Sqlite { path: path.to_owned(), source })?;
        let store = Store { pool, path: path.to_owned() };
        let version = store.sqlite_version().await?;
        let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let mut part = || parts.next().unwrap_or(0);
        if (part(), part(), part()) < OLDEST_SQLITE {
            return Err(StoreError::OldSqlite(version));
        }
        Ok(store)
    }

    /// Version of the SQLite that is linked.
    pub async fn sqlite_version(&self) -> Result<String, StoreError> {
        sqlx::query_scalar("select sqlite_version()").fetch_one(&self.pool).await.map_err(|source| self.sqlite(source))
    }

    /// Closes the connection, which folds the write-ahead log into the database.
    pub async fn close(self) {
        self.pool.close().await;
    }

    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.pool.begin_with("begin immediate").await.map_err(|source| self.sqlite(source))
    }

    fn sqlite(&self, source: sqlx::Error) -> StoreError {
        StoreError::Sqlite { path: self.path.clone(), source }
    }
}
