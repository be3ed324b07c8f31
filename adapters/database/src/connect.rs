//! Opening the database and bringing its schema up to date.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

use daybook_migrations::Migrator;
use sea_orm::sqlx::sqlite::{SqliteAutoVacuum, SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    ConnectOptions, ConnectionTrait, DatabaseConnection, DbErr, SqliteTransactionMode, Statement,
    TransactionOptions, TransactionTrait, TryGetable,
};
use sea_orm_migration::MigratorTrait;
use thiserror::Error;

/// How long a connection waits for another process to finish its transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(15);
/// Up to this size a file is checked as a whole before it is used; a larger one would take too long.
const CHECKED_PAGES: i64 = 4_096;

/// Where the database is.
#[derive(Clone, Debug)]
pub struct DatabaseSettings {
    /// The SQLite file; it is made where it doesn't exist.
    pub file: PathBuf,
    /// How many connections read.
    pub readers: u32,
}

/// The database: every port that stores something. Cloned freely.
#[derive(Clone, Debug)]
pub struct Database {
    pub(crate) writer: DatabaseConnection,
    pub(crate) readers: DatabaseConnection,
}

/// Why the database can't be used. The text says what to do.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The file is something else, or damaged.
    #[error(
        "{0} is damaged or not a Daybook database; restore it from a backup or name another file"
    )]
    Damaged(PathBuf),
    /// A later version has changed the schema.
    #[error(
        "{file} was written by a newer daybook (schema {schema}); use that version or a later one"
    )]
    Newer {
        /// The file.
        file: PathBuf,
        /// The latest step of its schema.
        schema: String,
    },
    /// It can't be opened or written.
    #[error("{file} can't be opened: {reason}")]
    Unusable {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
}

impl Database {
    /// Opens the database and brings its schema up to date.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(settings: &DatabaseSettings) -> Result<Self, OpenError> {
        make(settings)?;
        let writer = connect(settings, 1).await?;
        check(settings, &writer).await?;
        migrate(settings, &writer).await?;
        let readers = connect(settings, settings.readers).await?;
        Ok(Self { writer, readers })
    }

    /// Closes every connection, so that the write-ahead log is folded into the file.
    pub async fn close(self) {
        for (name, pool) in [("readers", self.readers), ("writer", self.writer)] {
            if let Err(error) = pool.close().await {
                tracing::warn!(%error, pool = name, "a connection pool was not closed cleanly");
            }
        }
    }

    /// Begins a transaction that writes. It holds the write lock from its start: a transaction
    /// that reads first and locks later can find that someone else has written in between.
    pub(crate) async fn begin(&self) -> Result<sea_orm::DatabaseTransaction, DbErr> {
        self.writer.begin_with_options(immediate()).await
    }
}

pub(crate) fn immediate() -> TransactionOptions {
    TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    }
}

/// Makes the file where there is none. It holds addresses and password hashes: it is its owner's alone.
fn make(settings: &DatabaseSettings) -> Result<(), OpenError> {
    let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&settings.file);
    match new {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => {
            Err(OpenError::Unusable { file: settings.file.clone(), reason: error.to_string() })
        }
    }
}

async fn connect(
    settings: &DatabaseSettings,
    connections: u32,
) -> Result<DatabaseConnection, OpenError> {
    // The file is set below, as a path: in a URL some characters would mean something else.
    let mut options = ConnectOptions::new("sqlite://daybook.db");
    options
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
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
    sea_orm::Database::connect(options).await.map_err(|error| explain(settings, &error))
}

/// Finds damage before anything is built on it.
async fn check(settings: &DatabaseSettings, db: &DatabaseConnection) -> Result<(), OpenError> {
    let explained = |error: DbErr| explain(settings, &error);
    let pages: Option<i64> = pragma(db, "page_count", "page_count").await.map_err(explained)?;
    if pages.is_some_and(|pages| pages <= CHECKED_PAGES) {
        let verdict: Option<String> =
            pragma(db, "quick_check(1)", "quick_check").await.map_err(explained)?;
        if verdict.as_deref() != Some("ok") {
            return Err(OpenError::Damaged(settings.file.clone()));
        }
    }
    Ok(())
}

async fn pragma<T: TryGetable>(
    db: &DatabaseConnection,
    pragma: &str,
    column: &str,
) -> Result<Option<T>, DbErr> {
    let statement = Statement::from_string(db.get_database_backend(), format!("PRAGMA {pragma}"));
    db.query_one_raw(statement).await?.map(|row| row.try_get("", column)).transpose()
}

async fn migrate(settings: &DatabaseSettings, db: &DatabaseConnection) -> Result<(), OpenError> {
    let explained = |error: DbErr| explain(settings, &error);
    // One transaction: two processes that start at once don't both make the tables.
    let transaction = db.begin_with_options(immediate()).await.map_err(explained)?;
    let known: Vec<_> = Migrator::migrations().iter().map(|step| step.name().to_owned()).collect();
    let applied = Migrator::get_migration_models(&transaction).await.map_err(explained)?;
    if let Some(later) =
        applied.into_iter().map(|step| step.version).filter(|step| !known.contains(step)).max()
    {
        return Err(OpenError::Newer { file: settings.file.clone(), schema: later });
    }
    Migrator::up(&transaction, None).await.map_err(explained)?;
    transaction.commit().await.map_err(explained)
}

fn explain(settings: &DatabaseSettings, error: &DbErr) -> OpenError {
    let file = settings.file.clone();
    let reason = error.to_string();
    // SQLITE_CORRUPT and SQLITE_NOTADB in SQLite's own words; sea-orm keeps no code for them.
    if reason.contains("malformed") || reason.contains("not a database") {
        return OpenError::Damaged(file);
    }
    OpenError::Unusable { file, reason: reason.replace('\n', " ") }
}
