//! Leads: a lock of a session of its own, which goes with the session.

use std::time::Duration;

use async_trait::async_trait;
use daybook_events::{ElectionError, Lead};
use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::sqlx::{self, Connection};

use super::writable::takes_writes;
use super::{CONNECT_TIMEOUT, Postgres};

/// How long the server may take to say that the session is still there, and could write.
const PATIENCE: Duration = Duration::from_secs(3);

/// Takes the lead.
const TAKE: &str = "SELECT pg_try_advisory_lock(1684109676, hashtext($1))";

/// Ends a session that has the lead and has not been heard of for ten seconds: a process that stands
/// still, or a machine that is gone. Whoever leads asks every few seconds whether it still does.
const DEPOSE: &str = "SELECT pg_terminate_backend(activity.pid) \
    FROM pg_locks AS lock JOIN pg_stat_activity AS activity ON activity.pid = lock.pid \
    WHERE lock.locktype = 'advisory' AND lock.granted \
      AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
      AND lock.classid::bigint = 1684109676 \
      AND lock.objid::bigint = (hashtext($1)::bigint & 4294967295) \
      AND activity.state_change < now() - interval '10 seconds'";

impl Postgres {
    /// Takes the lead in `what`, where nobody has it. Whoever does not get it keeps one session to try
    /// again with, for all leads.
    pub(crate) async fn try_lead(
        &self,
        what: &str,
    ) -> Result<Option<Box<dyn Lead>>, ElectionError> {
        let take = async {
            let mut trying = self.trying.lock().await;
            let mut connection = match trying.take() {
                Some(connection) => connection,
                None => PgConnection::connect_with(&self.options).await?,
            };
            // A lead that a standby gives is none.
            if let Err(reason) = takes_writes(&mut connection).await? {
                return Ok(Err(reason));
            }
            let taken: bool =
                sqlx::query_scalar(TAKE).bind(what).fetch_one(&mut connection).await?;
            if taken {
                return Ok(Ok(Some(Box::new(SessionLead(connection)) as Box<dyn Lead>)));
            }
            let deposed: Vec<bool> =
                sqlx::query_scalar(DEPOSE).bind(what).fetch_all(&mut connection).await?;
            if !deposed.is_empty() {
                tracing::warn!(lead = what, "a lead has expired; it is free again");
            }
            *trying = Some(connection);
            Ok(Ok(None))
        };
        let taken = tokio::time::timeout(CONNECT_TIMEOUT, take).await;
        let taken: Result<_, sqlx::Error> = taken.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        taken
            .map_err(|error| ElectionError(error.to_string()))?
            .map_err(|reason| ElectionError(reason.to_owned()))
    }
}

/// The lead that a session's lock stands for.
struct SessionLead(PgConnection);

#[async_trait]
impl Lead for SessionLead {
    async fn is_held(&mut self) -> bool {
        let asked = takes_writes(&mut self.0);
        matches!(tokio::time::timeout(PATIENCE, asked).await, Ok(Ok(Ok(()))))
    }
}
