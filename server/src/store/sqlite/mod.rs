//! SQLite: two files in the data directory, one writer each, several readers.
//!
//! WAL with `synchronous = FULL`: what a method has returned `Ok` for survives a loss of power. Several
//! processes may have the files open (the commands that run beside a server); a writer waits for another
//! for at most [`BUSY_TIMEOUT`]. This folder is the only place that knows sqlx and SQL.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::pool::PoolOptions;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous,
};
use sqlx::{Connection, Row, Sqlite, SqliteConnection, SqlitePool, Transaction};
use tokio::sync::Mutex;

use super::StoreError;

mod case;
mod rollout;
mod telemetry;
mod trust;

/// How long a writer waits for another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections for reading, per file.
const READERS_MAX: u32 = 4;

static STATE: Migrator = sqlx::migrate!("migrations/sqlite/state");
static TELEMETRY: Migrator = sqlx::migrate!("migrations/sqlite/telemetry");

/// What SQLite or its driver said.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct EngineError(EngineCause);

#[derive(Debug, thiserror::Error)]
enum EngineCause {
    #[error(transparent)]
    Query(#[from] sqlx::Error),
    #[error(transparent)]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

/// SQLite's result code for a full disk: SQLITE_FULL.
const FULL: &str = "13";

impl EngineCause {
    fn is_full(&self) -> bool {
        let Self::Query(sqlx::Error::Database(error)) = self else {
            return false;
        };
        error.code().is_some_and(|code| code == FULL)
    }
}

/// Turns an engine's error into [`StoreError::Engine`], or [`StoreError::Full`]: `.map_err(engine("read the endpoints"))`.
fn engine<E>(action: &'static str) -> impl FnOnce(E) -> StoreError
where
    EngineCause: From<E>,
{
    move |error| {
        let cause = EngineCause::from(error);
        if cause.is_full() {
            return StoreError::Full { action };
        }
        StoreError::Engine {
            action,
            source: EngineError(cause),
        }
    }
}

/// A column of exactly `N` bytes.
fn blob<const N: usize, I>(
    row: &SqliteRow,
    column: I,
    what: &'static str,
) -> Result<[u8; N], StoreError>
where
    I: sqlx::ColumnIndex<SqliteRow>,
{
    row.try_get::<&[u8], _>(column)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(StoreError::Damaged { what })
}

/// Bytes of a page of a new file. A quiet endpoint's batch has one or two KiB: of those a page of SQLite's usual
/// 4 KiB holds one and wastes the rest, `fleetsim --agents 200 --rate 100` prints what that costs.
const PAGE_BYTES: u32 = 16 << 10;

/// One database file: a single connection that writes, several that read.
#[derive(Debug, Clone)]
struct Database {
    writer: SqlitePool,
    reader: SqlitePool,
}

impl Database {
    /// Opens a file, brings it up to date, and makes it where that is wanted.
    async fn open(path: &Path, migrator: &Migrator, create: bool) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .page_size(PAGE_BYTES)
            .busy_timeout(BUSY_TIMEOUT);
        let writer = pool(1, options.clone().create_if_missing(create)).await?;
        migrator
            .run(&writer)
            .await
            .map_err(engine("bring the database up to date"))?;
        let reader = pool(READERS_MAX, options.pragma("query_only", "ON")).await?;
        Ok(Self { writer, reader })
    }

    /// A transaction that holds the file's write lock from the start, also against other processes.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(engine("begin a transaction"))
    }

    /// Copies it as it is at one moment into a file that does not exist.
    async fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        sqlx::query("VACUUM INTO ?")
            .bind(path.to_string_lossy().as_ref())
            .execute(&self.writer)
            .await
            .map(drop)
            .map_err(engine("copy the database"))
    }

    /// Reads all of it; the first damage, where there is one.
    async fn check(&self) -> Result<Option<String>, StoreError> {
        let found: String = sqlx::query_scalar("PRAGMA quick_check(1)")
            .fetch_one(&self.reader)
            .await
            .map_err(engine("check the database"))?;
        Ok((found != "ok").then_some(found))
    }

    /// Closes it; what was committed stays.
    async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

async fn pool(connections: u32, options: SqliteConnectOptions) -> Result<SqlitePool, StoreError> {
    PoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(BUSY_TIMEOUT * 3)
        // Where the disk is full SQLite itself rolls back, and the driver goes on believing in a transaction: no other
        // could ever begin on that connection. Another takes its place.
        .before_acquire(|connection: &mut SqliteConnection, _| {
            Box::pin(async move { Ok(!connection.is_in_transaction()) })
        })
        .connect_with(options)
        .await
        .map_err(engine("open the database"))
}

/// `state.db`. Implements [`StateStore`](super::StateStore): the trust half in `trust.rs`, the case half in `case.rs`.
#[derive(Debug, Clone)]
pub(crate) struct SqliteState(Database);

impl SqliteState {
    /// Opens the file, and makes it where it is missing.
    pub(crate) async fn open(path: &Path) -> Result<Self, StoreError> {
        Database::open(path, &STATE, true).await.map(Self)
    }

    /// Opens the file, which must be there.
    pub(crate) async fn open_existing(path: &Path) -> Result<Self, StoreError> {
        Database::open(path, &STATE, false).await.map(Self)
    }

    /// Copies it as it is at one moment into a file that does not exist.
    pub(crate) async fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        self.0.copy_to(path).await
    }

    /// Reads all of it; the first damage, where there is one.
    pub(crate) async fn check(&self) -> Result<Option<String>, StoreError> {
        self.0.check().await
    }

    /// Closes it.
    pub(crate) async fn close(&self) {
        self.0.close().await;
    }
}

/// `telemetry.db`. Implements [`TelemetryStore`](super::telemetry::TelemetryStore).
#[derive(Debug)]
pub(crate) struct SqliteTelemetry {
    file: Database,
    runs: Mutex<telemetry::Runs>,
}

impl SqliteTelemetry {
    /// Opens the file, and makes it where it is missing.
    pub(crate) async fn open(path: &Path) -> Result<Self, StoreError> {
        Self::new(path, true).await
    }

    /// Opens the file, which must be there.
    pub(crate) async fn open_existing(path: &Path) -> Result<Self, StoreError> {
        Self::new(path, false).await
    }

    async fn new(path: &Path, create: bool) -> Result<Self, StoreError> {
        Ok(Self {
            file: Database::open(path, &TELEMETRY, create).await?,
            runs: Mutex::default(),
        })
    }

    /// Copies it as it is at one moment into a file that does not exist.
    pub(crate) async fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        self.file.copy_to(path).await
    }

    /// Reads all of it; the first damage, where there is one.
    pub(crate) async fn check(&self) -> Result<Option<String>, StoreError> {
        self.file.check().await
    }

    /// Closes it.
    pub(crate) async fn close(&self) {
        self.file.close().await;
    }
}

#[cfg(test)]
mod tests;
