//! Postgres: a server that several instances share.
//!
//! What differs from SQLite stands here: connecting, the lock that gives events their order, the
//! append in one step, leads, and hearing of what other instances commit.

mod append;
mod arrays;
mod lead;
mod listen;
mod maintenance;
mod url;
mod writable;

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use daybook_events::JournalError;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sea_orm::sqlx::{self, ConnectOptions, Connection};
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbErr, SqlxPostgresConnector, TransactionOptions,
};
use uuid::Uuid;

use crate::database::{Migrate, OpenError, migrate, scalar};
use crate::pool::Pool;

/// The server that is needed: earlier ones are not tested with.
const OLDEST: i32 = 150_000;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How much longer than a statement may take the server is waited for.
const ALLOWANCE: Duration = Duration::from_secs(2);
/// How long the server may take to end a session.
const END_PATIENCE_MILLIS: i64 = 5_000;

/// Keeps appends apart, in this database; released with the transaction. The migrations' function
/// takes the same.
const APPEND_LOCK: &str = "pg_advisory_xact_lock(1684109676, 1)";
const MIGRATION_LOCK: &str = "pg_advisory_xact_lock(1684109676, 2)";

/// A database on a server.
#[derive(Clone)]
pub struct PostgresSettings {
    /// Where it is, such as `postgres://user:password@host/database?sslmode=verify-full`.
    pub url: String,
    /// How many connections there are at most, beside those of the journal, of the lead and of who
    /// listens.
    pub connections: u32,
    /// How long a statement may take.
    pub statement_timeout: Duration,
}

impl fmt::Debug for PostgresSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.debug_struct("PostgresSettings")
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

impl PostgresSettings {
    /// Where the database is, without secrets: `host:port/name`.
    ///
    /// # Errors
    /// [`OpenError`] where the URL can't be read.
    pub fn place(&self) -> Result<String, OpenError> {
        Ok(place(&self.options()?))
    }

    fn options(&self) -> Result<PgConnectOptions, OpenError> {
        url::check(&self.url).map_err(|reason| OpenError::Unusable {
            database: "the URL".to_owned(),
            reason: reason.to_owned(),
        })?;
        PgConnectOptions::from_str(&self.url).map_err(|_| OpenError::Unusable {
            database: "the URL".to_owned(),
            reason:
                "it is no Postgres URL; it looks like postgres://user:password@host:5432/database"
                    .to_owned(),
        })
    }
}

fn place(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    match options.get_socket() {
        Some(socket) => format!("{}/{database}", socket.display()),
        None => format!("{}:{}/{database}", options.get_host(), options.get_port()),
    }
}

/// What there is beside the pool.
pub(crate) struct Postgres {
    options: PgConnectOptions,
    /// The name that all sessions of this process have.
    application: String,
    bound: Duration,
    /// The session that appends. It is no pool's: a pool asks the server whether a connection is
    /// well each time it comes back, and that is half of what an append costs a single client.
    journal: tokio::sync::Mutex<Option<append::Session>>,
    /// The session that tries to lead.
    trying: tokio::sync::Mutex<Option<PgConnection>>,
    /// Sessions whose last append may or may not have been committed, or still be.
    suspects: Mutex<Vec<i32>>,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Postgres(…)")
    }
}

impl Postgres {
    /// Connects, and looks at the server's version and at the schema.
    pub(crate) async fn open(
        settings: &PostgresSettings,
        schema: Migrate,
    ) -> Result<(Self, Pool), OpenError> {
        let application = format!("daybook {}", Uuid::now_v7());
        let options = session(settings.options()?, &application, settings.statement_timeout);
        let unusable = |reason| OpenError::Unusable { database: place(&options), reason };
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&options));
        let connection = connected
            .await
            .map_err(|_| unusable("the server does not answer; is it there?".to_owned()))?
            .map_err(|error| unusable(explain(&error, &options)))?;
        // One connection, as long as the schema is looked at.
        drop(connection);
        let explained = |error: &DbErr| unusable(explain_db(error, &options));
        let pool = connections(options.clone(), 1);
        for looked in [look_at_version(&pool).await, look_at_encodings(&pool).await] {
            looked.map_err(|error| match error {
                Ok(reason) => unusable(reason),
                Err(error) => explained(&error),
            })?;
        }
        let begun = sea_orm::TransactionTrait::begin(&pool).await.map_err(|e| explained(&e))?;
        // Two processes that start at once don't both make the tables. It may take its time.
        begun
            .execute_unprepared(&format!(
                "SET LOCAL statement_timeout = 0; SELECT {MIGRATION_LOCK}"
            ))
            .await
            .map_err(|error| explained(&error))?;
        migrate(begun, schema, &place(&options), explained).await?;
        let _ = pool.close().await;

        let (size, bound) = (settings.connections, settings.statement_timeout + ALLOWANCE);
        let for_pool = options.clone();
        let pool = Pool::renewed(bound, move || connections(for_pool.clone(), size));
        let postgres = Self {
            options,
            application,
            bound,
            journal: tokio::sync::Mutex::new(None),
            trying: tokio::sync::Mutex::new(None),
            suspects: Mutex::default(),
        };
        Ok((postgres, pool))
    }

    pub(crate) async fn close(&self) {
        if let Some(session) = self.journal.lock().await.take() {
            session.close().await;
        }
        if let Some(session) = self.trying.lock().await.take() {
            // The server notices all the same.
            let _ = tokio::time::timeout(CONNECT_TIMEOUT, session.close()).await;
        }
    }

    /// Begins a transaction that appends: after the lock, what it reads is the present state.
    /// Answers it with the number of its session.
    pub(crate) async fn begin_append(
        &self,
        pool: &Pool,
    ) -> Result<(DatabaseTransaction, i32), DbErr> {
        let transaction = pool.begin(TransactionOptions::default()).await?;
        let sql = format!(
            "SELECT pg_backend_pid() AS pid, {APPEND_LOCK}, pg_notify('daybook', 'events')"
        );
        let pid = scalar(&transaction, &sql, "pid").await?;
        Ok((transaction, pid.unwrap_or_default()))
    }

    /// Remembers a session whose append may still be under way, until it is known not to be.
    pub(crate) fn suspect(&self, pid: i32) {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner).push(pid);
    }

    /// Ends the sessions whose appends may still be under way: only then it can be looked up what
    /// became of them. A statement goes on when its client's connection is lost.
    pub(crate) async fn end_suspects(&self, pool: &Pool) -> Result<(), JournalError> {
        let suspects = self.suspects.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for pid in suspects {
            let sql = format!(
                "SELECT pg_terminate_backend(pid, {END_PATIENCE_MILLIS}) AS ended \
                 FROM pg_stat_activity WHERE pid = {pid} AND application_name = '{}'",
                self.application
            );
            let ended: Result<Option<bool>, DbErr> = scalar(pool, &sql, "ended").await;
            match ended {
                // Where it isn't there any more, it has ended by itself.
                Ok(None | Some(true)) => {
                    let mut left = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
                    left.retain(|other| *other != pid);
                }
                Ok(Some(false)) => {
                    let reason = "a session with an append under way could not be ended";
                    return Err(JournalError::Unavailable(reason.to_owned()));
                }
                Err(error) => return Err(JournalError::Unavailable(error.to_string())),
            }
        }
        Ok(())
    }
}

/// How every session of this process is to be, whatever the server's own settings are.
fn session(
    options: PgConnectOptions,
    application: &str,
    statement_timeout: Duration,
) -> PgConnectOptions {
    let timeout = statement_timeout.as_millis().to_string();
    options
        .application_name(application)
        .statement_cache_capacity(512)
        .options([
            // What is acknowledged is on disk.
            ("synchronous_commit", "on"),
            ("default_transaction_isolation", "read committed"),
            ("statement_timeout", &*timeout),
            // An instance that stands still with the lock in hand holds up all others.
            ("idle_in_transaction_session_timeout", "3s"),
            // A client that is gone without a word keeps neither locks nor leads.
            ("tcp_keepalives_idle", "10"),
            ("tcp_keepalives_interval", "5"),
            ("tcp_keepalives_count", "3"),
        ])
        .disable_statement_logging()
}

/// A pool that connects when it is asked to.
fn connections(options: PgConnectOptions, most: u32) -> sea_orm::DatabaseConnection {
    let pool = pool(most).connect_lazy_with(options);
    SqlxPostgresConnector::from_sqlx_postgres_pool(pool)
}

/// What all pools have in common. Connections may get as old as they like: the task of sqlx 0.9 that ends
/// old ones may miscount those that are idle, and then never ends itself (sqlx issue 3645).
fn pool(most: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(CONNECT_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// What is wrong with the server's version, if anything.
async fn look_at_version(db: &impl ConnectionTrait) -> Result<(), Result<String, DbErr>> {
    let sql = "SELECT current_setting('server_version_num')::integer AS number";
    let number: Option<i32> = scalar(db, sql, "number").await.map_err(Err)?;
    number.and_then(too_old).map_or(Ok(()), |reason| Err(Ok(reason)))
}

/// What is wrong with how texts are stored or sent, if anything.
async fn look_at_encodings(db: &impl ConnectionTrait) -> Result<(), Result<String, DbErr>> {
    let setting = async |name: &str| {
        let sql = format!("SELECT current_setting('{name}') AS encoding");
        scalar(db, &sql, "encoding").await.map_err(Err)
    };
    let stored: Option<String> = setting("server_encoding").await?;
    let sent: Option<String> = setting("client_encoding").await?;
    let reason =
        stored.as_deref().and_then(not_stored).or_else(|| sent.as_deref().and_then(not_sent));
    reason.map_or(Ok(()), |reason| Err(Ok(reason)))
}

/// Why a database with this encoding is not used.
fn not_stored(encoding: &str) -> Option<String> {
    (encoding != "UTF8").then(|| {
        format!(
            "its encoding is {encoding}, which does not have every character; create one with \
             ENCODING 'UTF8' TEMPLATE template0 and name that"
        )
    })
}

/// Why sessions with this encoding are not used.
fn not_sent(encoding: &str) -> Option<String> {
    (encoding != "UTF8").then(|| {
        format!(
            "client_encoding is {encoding}; it has to be UTF8: see the options in the URL, and \
             ALTER ROLE or ALTER DATABASE … RESET client_encoding"
        )
    })
}

/// Why a server with this version number is not used.
fn too_old(number: i32) -> Option<String> {
    (number < OLDEST).then(|| {
        format!("the server is PostgreSQL {}; version 15 or later is needed", number / 10_000)
    })
}

fn explain_db(error: &DbErr, options: &PgConnectOptions) -> String {
    use sea_orm::RuntimeErr::SqlxError;
    match error {
        DbErr::Conn(SqlxError(error))
        | DbErr::Exec(SqlxError(error))
        | DbErr::Query(SqlxError(error)) => explain(error, options),
        other => other.to_string().replace('\n', " "),
    }
}

/// What a connection failed for, and what to do.
fn explain(error: &sqlx::Error, options: &PgConnectOptions) -> String {
    let code = error.as_database_error().and_then(|error| error.code().map(String::from));
    let role = options.get_username();
    match (error, code.as_deref()) {
        (_, Some("28P01" | "28000")) => {
            format!("the server refused the user {role} or the password; correct them")
        }
        (_, Some("3D000")) => "there is no such database; create it first".to_owned(),
        (_, Some("42501")) => {
            format!("the user {role} may not do that; grant it CREATE on the schema public")
        }
        (_, Some("53300")) => "the server has no connections left; raise max_connections or lower \
             DAYBOOK_DATABASE_CONNECTIONS"
            .to_owned(),
        (sqlx::Error::Io(error), _) => format!("the server can't be reached: {error}"),
        (sqlx::Error::Tls(error), _) => {
            format!(
                "no encrypted connection can be made: {error}; see sslmode and sslrootcert in the URL"
            )
        }
        (sqlx::Error::PoolTimedOut, _) => "the server does not answer; is it there?".to_owned(),
        (other, _) => other.to_string().replace('\n', " "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_too_old_is_told_from_one_that_is_not() {
        let reason = too_old(140_012);
        assert_eq!(
            reason.as_deref(),
            Some("the server is PostgreSQL 14; version 15 or later is needed")
        );
        assert_eq!([150_000, 150_019, 180_001].map(too_old), [None, None, None]);
    }
}
