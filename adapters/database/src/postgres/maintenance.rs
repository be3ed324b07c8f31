//! What whoever reads or replaces everything needs beside a pool.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbErr, SqlxPostgresConnector};

use super::{Postgres, pool};
use crate::pool::Pool;

/// How long what was decided before may take to come to the lock of appends.
const STRAGGLERS: Duration = Duration::from_millis(250);

impl Postgres {
    /// A connection that may take as long as it needs, for whoever reads everything.
    pub(crate) fn unhurried(&self) -> sea_orm::DatabaseConnection {
        let options = self
            .options
            .clone()
            .options([("statement_timeout", "0"), ("idle_in_transaction_session_timeout", "0")]);
        let pool = pool(1).connect_lazy_with(options);
        SqlxPostgresConnector::from_sqlx_postgres_pool(pool)
    }

    /// Keeps everyone from appending until the session `db` ends or [lets them](Self::let_append).
    /// Whoever stands still with the lock in hand loses it.
    pub(crate) async fn keep_from_appending(&self, db: &Pool) -> Result<(), DbErr> {
        for sql in [
            "SET idle_in_transaction_session_timeout = '5s'",
            "SET idle_session_timeout = '5s'",
            "SELECT pg_advisory_lock(1684109676, 1)",
        ] {
            db.execute_unprepared(sql).await?;
        }
        Ok(())
    }

    /// Lets them again.
    pub(crate) async fn let_append(&self, db: &Pool) -> Result<(), DbErr> {
        for sql in [
            "SELECT pg_advisory_unlock(1684109676, 1)",
            "SET idle_in_transaction_session_timeout = 0",
            "SET idle_session_timeout = 0",
        ] {
            db.execute_unprepared(sql).await?;
        }
        Ok(())
    }

    /// Makes every other process forget what it remembers, while nobody can append: who is told
    /// that its append was lost does. First all their sessions are ended, and then those that have
    /// come meanwhile with what was decided before.
    pub(crate) async fn make_forget(&self, db: &Pool) -> Result<(), DbErr> {
        let others = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND application_name LIKE 'daybook %' \
             AND application_name <> '{}'",
            self.application
        );
        db.execute_unprepared(&others).await?;
        tokio::time::sleep(STRAGGLERS).await;
        let waiting = format!("{others} AND wait_event_type = 'Lock' AND wait_event = 'advisory'");
        db.execute_unprepared(&waiting).await?;
        Ok(())
    }
}
