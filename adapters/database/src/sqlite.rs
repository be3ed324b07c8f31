//! SQLite: one file, write-ahead log, every commit synced to disk before it is acknowledged, one
//! connection that writes and a pool of connections that read.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use daybook_events::{ElectionError, Lead};
use sea_orm::sqlx::Connection as _;
use sea_orm::sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnection, SqliteJournalMode, SqliteSynchronous,
};
use sea_orm::{
    ConnectOptions, DatabaseConnection, DbErr, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};

use crate::database::{Migrate, OpenError, migrate, scalar};
use crate::pool::Pool;

/// How long a connection waits for another process to finish its transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(15);
/// Up to this size a file is checked as a whole before it is used; a larger one would take too long.
const CHECKED_PAGES: i64 = 4_096;

/// A database in a file.
#[derive(Clone, Debug)]
pub struct SqliteSettings {
    /// The file; it is made where it doesn't exist.
    pub file: PathBuf,
    /// How many connections read.
    pub readers: u32,
}

/// What there is beside the connections.
#[derive(Debug)]
pub(crate) struct Sqlite {
    file: PathBuf,
}

impl Sqlite {
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Takes the lead by locking a file beside the database; the lock goes with the process.
    pub(crate) fn try_lead(&self, what: &str) -> Result<Option<Box<dyn Lead>>, ElectionError> {
        let mut name = self.file.clone().into_os_string();
        name.push(format!(".{what}.lock"));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(name)
            .map_err(|error| ElectionError(error.to_string()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(FileLead(file)))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(ElectionError(error.to_string())),
        }
    }
}

/// The lead that a locked file stands for.
struct FileLead(File);

#[async_trait]
impl Lead for FileLead {
    async fn is_held(&mut self) -> bool {
        // It is, until the file is closed.
        self.0.metadata().is_ok()
    }
}

/// Opens the file and looks at its schema: the connection that writes, and those that read.
pub(crate) async fn open(
    settings: &SqliteSettings,
    schema: Migrate,
) -> Result<(Sqlite, Pool, Pool), OpenError> {
    make(settings)?;
    let writer = connect(settings, 1).await?;
    check(settings, &writer).await?;
    let explained = |error: &DbErr| explain(settings, error);
    // One transaction: two processes that start at once don't both make the tables.
    let begun = writer.begin_with_options(immediate()).await.map_err(|error| explained(&error))?;
    migrate(begun, schema, &name(settings), explained).await?;
    let readers = connect(settings, settings.readers).await?;
    let sqlite = Sqlite { file: settings.file.clone() };
    Ok((sqlite, Pool::lasting(writer), Pool::lasting(readers)))
}

pub(crate) fn immediate() -> TransactionOptions {
    TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    }
}

fn name(settings: &SqliteSettings) -> String {
    settings.file.display().to_string()
}

/// Makes the file where there is none. It holds addresses and password hashes: it is its owner's alone.
fn make(settings: &SqliteSettings) -> Result<(), OpenError> {
    let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&settings.file);
    match new {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => {
            Err(OpenError::Unusable { database: name(settings), reason: error.to_string() })
        }
    }
}

async fn connect(
    settings: &SqliteSettings,
    connections: u32,
) -> Result<DatabaseConnection, OpenError> {
    // The file is set below, as a path: in a URL some characters would mean something else.
    let mut options = ConnectOptions::new("sqlite://daybook.db");
    options
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // The task of sqlx 0.9 that ends old connections may miscount those that are idle, and then never
        // ends itself (sqlx issue 3645). A file's connections need not be made anew.
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .sqlx_logging(false);
    let file = settings.file.clone();
    options.map_sqlx_sqlite_opts(move |sqlite| {
        sqlite
            .filename(&file)
            .auto_vacuum(SqliteAutoVacuum::None)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            .pragma("cache_size", "-16384")
            .pragma("wal_autocheckpoint", "4000")
            .statement_cache_capacity(512)
    });
    options.map_sqlx_sqlite_before_acquire(|connection, _| {
        Box::pin(std::future::ready(Ok(is_at_rest(connection))))
    });
    sea_orm::Database::connect(options).await.map_err(|error| explain(settings, &error))
}

/// Whether no transaction is open, as far as the driver knows; otherwise the connection is given up.
///
/// Where the disk is full, `SQLite` may end a transaction by itself. The driver then still believes in it,
/// and takes the next for a part of it: that part would be acknowledged and never committed.
fn is_at_rest(connection: &SqliteConnection) -> bool {
    !connection.is_in_transaction()
}

/// Finds damage before anything is built on it.
async fn check(settings: &SqliteSettings, db: &DatabaseConnection) -> Result<(), OpenError> {
    let explained = |error: DbErr| explain(settings, &error);
    let pages: Option<i64> =
        scalar(db, "PRAGMA page_count", "page_count").await.map_err(explained)?;
    if pages.is_some_and(|pages| pages <= CHECKED_PAGES) {
        let verdict: Option<String> =
            scalar(db, "PRAGMA quick_check(1)", "quick_check").await.map_err(explained)?;
        if verdict.as_deref() != Some("ok") {
            return Err(OpenError::Damaged(name(settings)));
        }
    }
    Ok(())
}

fn explain(settings: &SqliteSettings, error: &DbErr) -> OpenError {
    let database = name(settings);
    let reason = error.to_string();
    // SQLITE_CORRUPT and SQLITE_NOTADB in SQLite's own words; sea-orm keeps no code for them.
    if reason.contains("malformed") || reason.contains("not a database") {
        return OpenError::Damaged(database);
    }
    OpenError::Unusable { database, reason: reason.replace('\n', " ") }
}

#[cfg(test)]
mod tests {
    use sea_orm::ConnectionTrait;

    use super::*;

    async fn positions(pool: &Pool) -> Option<i64> {
        scalar(pool, "SELECT count(*) AS count FROM checkpoints", "count").await.unwrap()
    }

    #[tokio::test]
    async fn a_transaction_that_sqlite_has_ended_by_itself_takes_no_other_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let settings = SqliteSettings { file: folder.path().join("daybook.db"), readers: 1 };
        let (_sqlite, writer, readers) = open(&settings, Migrate::Up).await.unwrap();
        for number in 1..=3 {
            let ended = writer.begin(immediate()).await.unwrap();
            // As SQLite does it where the disk is full: the driver is not told.
            ended.execute_unprepared("ROLLBACK").await.unwrap();
            drop(ended);
            drop(writer.begin(immediate()).await.unwrap());
            let next = writer.begin(immediate()).await.unwrap();
            let insert = format!("INSERT INTO checkpoints VALUES ('{number}', 1)");
            next.execute_unprepared(&insert).await.unwrap();
            next.commit().await.unwrap();
            assert_eq!(positions(&readers).await, Some(number));
        }
    }
}
