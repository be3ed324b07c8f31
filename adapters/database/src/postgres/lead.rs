//! Leads: a lock of a session of its own, which goes with the session.

use std::time::Duration;

use async_trait::async_trait;
use daybook_events::{ElectionError, Lead};
use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::sqlx::{self, Connection};

use super::{CONNECT_TIMEOUT, Postgres};

/// How long the server may take to say that the session is still there.
const PATIENCE: Duration = Duration::from_secs(3);

impl Postgres {
    /// Takes the lead in `what`, where nobody has it.
    pub(crate) async fn try_lead(
        &self,
        what: &str,
    ) -> Result<Option<Box<dyn Lead>>, ElectionError> {
        let take = async {
            let mut connection = PgConnection::connect_with(&self.options).await?;
            let taken: bool =
                sqlx::query_scalar("SELECT pg_try_advisory_lock(1684109676, hashtext($1))")
                    .bind(what)
                    .fetch_one(&mut connection)
                    .await?;
            if taken {
                return Ok(Some(Box::new(SessionLead(connection)) as Box<dyn Lead>));
            }
            connection.close().await?;
            Ok(None)
        };
        let taken = tokio::time::timeout(CONNECT_TIMEOUT, take).await;
        let taken: Result<_, sqlx::Error> = taken.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        taken.map_err(|error| ElectionError(error.to_string()))
    }
}

/// The lead that a session's lock stands for.
struct SessionLead(PgConnection);

#[async_trait]
impl Lead for SessionLead {
    async fn is_held(&mut self) -> bool {
        matches!(tokio::time::timeout(PATIENCE, self.0.ping()).await, Ok(Ok(())))
    }
}
