//! Appending a batch in one step to the server and back.

use std::time::Duration;

use daybook_events::{JournalError, StreamId, Version};
use sea_orm::sqlx::error::DatabaseError;
use sea_orm::sqlx::postgres::{PgArguments, PgConnection, PgDatabaseError, PgSeverity};
use sea_orm::sqlx::{self, Arguments, Connection};

use super::arrays::Kind::{BigInt, Bool, Bytes, Int, Text, Uuid};
use super::arrays::{Kind, add};
use super::writable::takes_writes;
use super::{CONNECT_TIMEOUT, Postgres};
use crate::accounts::stored;
use crate::diagnosis::{About, about};
use crate::error::Fault;
use crate::insert::placeholders;
use crate::journal::Tables;

const EVENTS: [Kind; 11] = [BigInt, Uuid, Text, BigInt, Text, Uuid, Uuid, Uuid, BigInt, Text, Text];
const OUTCOMES: [Kind; 6] = [Text, Uuid, Bytes, Text, BigInt, BigInt];
const HOLDERS: [Kind; 6] = [Uuid, Text, Text, Text, Text, BigInt];
const POSTINGS: [Kind; 8] = [BigInt, Text, Uuid, Text, BigInt, BigInt, Text, Uuid];
const TASKS: [Kind; 11] =
    [Uuid, Uuid, Text, Text, Text, Int, BigInt, BigInt, BigInt, BigInt, BigInt];
const ACCOUNTS: [Kind; 10] = [Uuid, Uuid, Text, Text, BigInt, BigInt, Bool, BigInt, BigInt, BigInt];
const ORDERS: [Kind; 10] = [Uuid, Uuid, Text, Text, Text, Bool, Uuid, BigInt, BigInt, BigInt];
const PARAMETERS: usize = 2
    + EVENTS.len()
    + OUTCOMES.len()
    + HOLDERS.len()
    + POSTINGS.len()
    + TASKS.len()
    + ACCOUNTS.len()
    + ORDERS.len();

/// How long a session may take to say whether it could write.
const PATIENCE: Duration = Duration::from_secs(2);

/// The session that appends.
pub(super) struct Session {
    connection: PgConnection,
    pid: i32,
    sql: String,
}

impl Session {
    pub(super) async fn close(self) {
        // The server notices all the same.
        let _ = tokio::time::timeout(CONNECT_TIMEOUT, self.connection.close()).await;
    }
}

impl Postgres {
    /// Writes the tables, whose positions are counted from the end of the log, where every stream
    /// is at the version expected; answers the position of the end. `None` where something is not
    /// as expected: then nothing was written.
    pub(crate) async fn append(
        &self,
        expected: impl Iterator<Item = (&StreamId, Version)>,
        tables: Tables<'_>,
    ) -> Result<Option<i64>, JournalError> {
        // What can't even be said is refused by itself, where the batch is planned.
        let Ok(arguments) = arguments(expected, tables) else { return Ok(None) };
        let mut slot = self.journal.lock().await;
        let mut session = match slot.take() {
            Some(session) => session,
            None => self.session().await?,
        };
        let query = sqlx::query_scalar_with::<_, Option<i64>, _>(
            sqlx::AssertSqlSafe(session.sql.as_str()),
            arguments,
        );
        let ended =
            tokio::time::timeout(self.bound, query.fetch_one(&mut session.connection)).await;
        let error = match ended {
            Ok(Ok(head)) => {
                *slot = Some(session);
                return Ok(head);
            }
            Ok(Err(error)) => error,
            Err(_) => return Err(self.lost(&session, "the server has not answered".to_owned())),
        };
        match error.as_database_error() {
            // The server undid the statement, and said so.
            Some(refusal) if !is_fatal(refusal) => {
                let about = about(&error);
                // A session that can't do its work is given up: a new one may.
                if about != About::Session {
                    *slot = Some(session);
                }
                if refusal.is_unique_violation() || about == About::Row {
                    return Ok(None);
                }
                Err(JournalError::Unavailable(error.to_string()))
            }
            _ => Err(self.lost(&session, error.to_string())),
        }
    }

    /// The session is given up with an append under way.
    fn lost(&self, session: &Session, reason: String) -> JournalError {
        self.suspect(session.pid);
        JournalError::Unknown(reason)
    }

    /// Whether the session that appends could write, or another in its place.
    pub(crate) async fn check(&self) -> Result<(), JournalError> {
        let Ok(mut slot) = tokio::time::timeout(PATIENCE, self.journal.lock()).await else {
            // Someone appends, and will see.
            return Ok(());
        };
        if let Some(mut session) = slot.take() {
            let asked = takes_writes(&mut session.connection);
            if matches!(tokio::time::timeout(PATIENCE, asked).await, Ok(Ok(Ok(())))) {
                *slot = Some(session);
                return Ok(());
            }
        }
        *slot = Some(self.session().await?);
        Ok(())
    }

    /// A new session, which could write when it was made.
    async fn session(&self) -> Result<Session, JournalError> {
        // Its few statements look single rows up: an index always serves, also while a table is so
        // small that reading all of it would be as good. Plans outlive that.
        let options = self.options.clone().options([
            ("enable_seqscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
        ]);
        let connect = async {
            let mut connection = PgConnection::connect_with(&options).await?;
            if let Err(reason) = takes_writes(&mut connection).await? {
                connection.close().await?;
                return Ok(Err(JournalError::ReadOnly(reason.to_owned())));
            }
            let pid =
                sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut connection).await?;
            let parameters = placeholders(sea_orm::DatabaseBackend::Postgres, 1, PARAMETERS);
            let sql = format!("SELECT daybook_append({parameters})");
            Ok(Ok(Session { connection, pid, sql }))
        };
        let made = tokio::time::timeout(CONNECT_TIMEOUT, connect).await;
        let made: Result<_, sqlx::Error> = made.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        made.map_err(|error| JournalError::Unavailable(error.to_string()))?
    }
}

/// Whether the server ended the session rather than the statement.
fn is_fatal(error: &(dyn DatabaseError + 'static)) -> bool {
    let severity = error.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::severity);
    !matches!(severity, Some(PgSeverity::Error))
}

fn arguments<'a>(
    expected: impl Iterator<Item = (&'a StreamId, Version)>,
    tables: Tables<'_>,
) -> Result<PgArguments, Fault> {
    let (mut streams, mut versions) = (Vec::new(), Vec::new());
    for (stream, version) in expected {
        streams.push(stream.as_str().to_owned());
        versions.push(stored(version.get())?);
    }
    let mut arguments = PgArguments::default();
    arguments.add(streams).map_err(Fault::corrupt)?;
    arguments.add(versions).map_err(Fault::corrupt)?;
    let (accounts, orders) = (tables.accounts()?, tables.orders()?);
    add(&mut arguments, EVENTS, tables.events)?;
    add(&mut arguments, OUTCOMES, tables.outcomes)?;
    add(&mut arguments, HOLDERS, tables.holders)?;
    add(&mut arguments, POSTINGS, tables.postings)?;
    add(&mut arguments, TASKS, tables.plain_tasks)?;
    add(&mut arguments, ACCOUNTS, accounts)?;
    add(&mut arguments, ORDERS, orders)?;
    Ok(arguments)
}
