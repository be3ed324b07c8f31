//! Appending a batch in one step to the server and back.

use daybook_events::{JournalError, StreamId, Version};
use sea_orm::sqlx::error::DatabaseError;
use sea_orm::sqlx::postgres::{PgArguments, PgConnection, PgDatabaseError, PgSeverity};
use sea_orm::sqlx::{self, Arguments, Connection};

use super::arrays::Kind::{BigInt, Bool, Bytes, Int, Text, Uuid};
use super::arrays::{Kind, add};
use super::{CONNECT_TIMEOUT, Postgres};
use crate::accounts::stored;
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
        let arguments = arguments(expected, tables)?;
        let mut slot = self.journal.lock().await;
        let mut session = match slot.take() {
            Some(session) => session,
            None => self
                .session()
                .await
                .map_err(|error| JournalError::Unavailable(error.to_string()))?,
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
                *slot = Some(session);
                if refusal.is_unique_violation() {
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

    async fn session(&self) -> Result<Session, sqlx::Error> {
        // Its few statements look single rows up: an index always serves, also while a table is so
        // small that reading all of it would be as good. Plans outlive that.
        let options = self.options.clone().options([
            ("enable_seqscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
        ]);
        let connect = async {
            let mut connection = PgConnection::connect_with(&options).await?;
            let pid =
                sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut connection).await?;
            let parameters = placeholders(sea_orm::DatabaseBackend::Postgres, 1, PARAMETERS);
            Ok(Session { connection, pid, sql: format!("SELECT daybook_append({parameters})") })
        };
        tokio::time::timeout(CONNECT_TIMEOUT, connect)
            .await
            .unwrap_or(Err(sqlx::Error::PoolTimedOut))
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
