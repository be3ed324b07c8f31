//! Whether a session could write.
//!
//! A server may stop taking writes while its sessions stay open: it was demoted, or is told to. What is
//! read then may be old, and nothing tells an idle session. So whoever needs to write, lead or listen
//! asks now and then, and gives the session up for another; whatever that leads to is asked as well.

use sea_orm::sqlx::{self, Executor, Postgres};

const ASK: &str = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'";

/// Says in words why the session could not write, if it could not.
pub(super) async fn takes_writes<'a>(
    session: impl Executor<'a, Database = Postgres>,
) -> Result<Result<(), &'static str>, sqlx::Error> {
    Ok(match sqlx::query_as::<_, (bool, bool)>(ASK).fetch_one(session).await? {
        (true, _) => Err("the server is a standby, or is recovering"),
        (_, true) => Err("its sessions are read-only"),
        _ => Ok(()),
    })
}
