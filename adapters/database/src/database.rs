//! The database behind the ports, whichever engine it is.

use std::sync::Arc;

use daybook_events::Installation as _;
use daybook_migrations::Migrator;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, TransactionOptions};
use sea_orm_migration::MigratorTrait;
use thiserror::Error;

use crate::pool::Pool;
use crate::postgres::{Postgres, PostgresSettings};
use crate::sqlite::{self, Sqlite, SqliteSettings};

/// Where the database is, and how it is used.
#[derive(Clone, Debug)]
pub enum DatabaseSettings {
    /// A file of this machine.
    Sqlite(SqliteSettings),
    /// A server, shared with other instances.
    Postgres(PostgresSettings),
}

/// Whether the schema is brought up to date, or only looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Migrate {
    /// It is brought up to date.
    Up,
    /// It has to be up to date.
    Check,
}

/// The database: every port that stores something. Cloned freely.
#[derive(Clone, Debug)]
pub struct Database {
    pub(crate) engine: Engine,
    /// What changes the database, but for the journal on Postgres.
    pub(crate) writer: Pool,
    pub(crate) readers: Pool,
}

#[derive(Clone, Debug)]
pub(crate) enum Engine {
    Sqlite(Arc<Sqlite>),
    Postgres(Arc<Postgres>),
}

/// Why the database can't be used. The text says what to do, and names no secret.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The file is something else, or damaged.
    #[error("{0} is damaged or not a Daybook database; restore it from a backup or name another")]
    Damaged(String),
    /// A later version has changed the schema.
    #[error(
        "{database} was written by a newer daybook (schema {schema}); use that version or a later one"
    )]
    Newer {
        /// The database.
        database: String,
        /// The latest step of its schema.
        schema: String,
    },
    /// The schema is not up to date, and was not to be changed.
    #[error("{0} has an older schema; run `daybook migrate` first")]
    Older(String),
    /// It can't be opened or written.
    #[error("{database} can't be used: {reason}")]
    Unusable {
        /// The database.
        database: String,
        /// Why, and what to do.
        reason: String,
    },
}

impl Database {
    /// Opens the database and looks at its schema.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(settings: &DatabaseSettings, migrate: Migrate) -> Result<Self, OpenError> {
        let (opened, name) = match settings {
            DatabaseSettings::Sqlite(settings) => {
                let (sqlite, writer, readers) = sqlite::open(settings, migrate).await?;
                let engine = Engine::Sqlite(Arc::new(sqlite));
                (Self { engine, writer, readers }, settings.file.display().to_string())
            }
            DatabaseSettings::Postgres(settings) => {
                let (postgres, pool) = Postgres::open(settings, migrate).await?;
                let engine = Engine::Postgres(Arc::new(postgres));
                (Self { engine, writer: pool.clone(), readers: pool }, settings.place()?)
            }
        };
        // A copy is noticed before anything is told outside in the name of the original.
        match opened.identity().await {
            Ok(_) => Ok(opened),
            Err(error) => {
                opened.close().await;
                let reason = error.to_string().replace('\n', " ");
                Err(OpenError::Unusable { database: name, reason })
            }
        }
    }

    /// Closes every connection, so that on SQLite the write-ahead log is folded into the file.
    pub async fn close(self) {
        for (name, pool) in [("readers", &self.readers), ("writer", &self.writer)] {
            if let Err(error) = pool.close().await {
                tracing::warn!(%error, pool = name, "a connection pool was not closed cleanly");
            }
        }
        if let Engine::Postgres(postgres) = &self.engine {
            postgres.close().await;
        }
    }

    /// Begins a transaction that writes. On SQLite it holds the write lock from its start: a
    /// transaction that reads first and locks later can find that someone else has written in
    /// between.
    pub(crate) async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        self.writer.begin(self.engine.writing()).await
    }
}

impl Engine {
    /// Tells the workers of other processes that there is something to do, once it is committed.
    pub(crate) async fn tell_workers(&self, db: &impl ConnectionTrait) -> Result<(), DbErr> {
        if let Self::Postgres(_) = self {
            db.execute_unprepared("SELECT pg_notify('daybook', 'tasks')").await?;
        }
        Ok(())
    }

    fn writing(&self) -> TransactionOptions {
        match self {
            Self::Sqlite(_) => sqlite::immediate(),
            Self::Postgres(_) => TransactionOptions::default(),
        }
    }
}

/// Brings the schema up to date, or sees that it is, within a transaction that keeps others from
/// doing the same.
pub(crate) async fn migrate(
    transaction: DatabaseTransaction,
    migrate: Migrate,
    database: &str,
    explain: impl Fn(&DbErr) -> OpenError,
) -> Result<(), OpenError> {
    let explained = |error: DbErr| explain(&error);
    let known: Vec<_> = Migrator::migrations().iter().map(|step| step.name().to_owned()).collect();
    let manager = sea_orm_migration::SchemaManager::new(&transaction);
    if migrate == Migrate::Check
        && !manager.has_table("seaql_migrations").await.map_err(explained)?
    {
        return Err(OpenError::Older(database.to_owned()));
    }
    let applied = Migrator::get_migration_models(&transaction).await.map_err(explained)?;
    let applied: Vec<_> = applied.into_iter().map(|step| step.version).collect();
    if let Some(later) = applied.iter().filter(|step| !known.contains(step)).max() {
        let (database, schema) = (database.to_owned(), later.clone());
        return Err(OpenError::Newer { database, schema });
    }
    match migrate {
        Migrate::Up => Migrator::up(&transaction, None).await.map_err(explained)?,
        Migrate::Check if known.iter().any(|step| !applied.contains(step)) => {
            return Err(OpenError::Older(database.to_owned()));
        }
        Migrate::Check => {}
    }
    transaction.commit().await.map_err(explained)
}

/// The one row that a statement without parameters answers.
pub(crate) async fn scalar<T: sea_orm::TryGetable>(
    db: &impl ConnectionTrait,
    sql: &str,
    column: &str,
) -> Result<Option<T>, DbErr> {
    let statement = sea_orm::Statement::from_string(db.get_database_backend(), sql.to_owned());
    db.query_one_raw(statement).await?.map(|row| row.try_get("", column)).transpose()
}
