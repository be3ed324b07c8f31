//! Hearing of what other instances commit.

use std::time::Duration;

use sea_orm::sqlx::postgres::PgListener;
use tokio::task::JoinHandle;

use super::writable::takes_writes;
use super::{CONNECT_TIMEOUT, Postgres, pool};
use crate::Heard;

const CHANNEL: &str = "daybook";
const PAUSE: Duration = Duration::from_secs(1);
/// How often a session that hears nothing is asked whether it is still where commits are.
const LOOK_EVERY: Duration = Duration::from_secs(3);

impl Postgres {
    /// Calls `heard` for every commit, by whichever instance, and whenever something may have been
    /// missed. Ends when the task is aborted.
    pub(crate) fn listen(&self, heard: impl Fn(Heard) + Send + Sync + 'static) -> JoinHandle<()> {
        let options = self.options.clone();
        tokio::spawn(async move {
            loop {
                // A pool for each session: who listens gives back what it has listened with.
                let pool = pool(1).connect_lazy_with(options.clone());
                if let Ok(listener) = PgListener::connect_with(&pool).await {
                    hear(listener, &heard).await;
                }
                let _ = tokio::time::timeout(CONNECT_TIMEOUT, pool.close()).await;
                // Meanwhile whoever waits looks now and then by themselves.
                tokio::time::sleep(PAUSE).await;
            }
        })
    }
}

/// Hears for as long as the session is of use.
async fn hear(mut listener: PgListener, heard: &(impl Fn(Heard) + Send + Sync)) {
    if listener.listen(CHANNEL).await.is_err() {
        return;
    }
    heard(Heard::Everything);
    loop {
        match tokio::time::timeout(LOOK_EVERY, listener.try_recv()).await {
            Ok(Ok(Some(said))) if said.payload() == "tasks" => heard(Heard::Tasks),
            Ok(Ok(Some(_))) => heard(Heard::Events),
            // It has connected again, and may have missed something.
            Ok(Ok(None)) => heard(Heard::Everything),
            Ok(Err(_)) => return,
            Err(_) => {
                let asked = tokio::time::timeout(LOOK_EVERY, takes_writes(&mut listener)).await;
                if !matches!(asked, Ok(Ok(Ok(())))) {
                    return;
                }
            }
        }
    }
}
