//! Hearing of what other instances commit.

use std::time::Duration;

use sea_orm::sqlx::postgres::PgListener;
use tokio::task::JoinHandle;

use super::{Postgres, pool};
use crate::Heard;

const CHANNEL: &str = "daybook";
const PAUSE: Duration = Duration::from_secs(1);

impl Postgres {
    /// Calls `heard` for every commit, by whichever instance, and whenever something may have been
    /// missed. Ends when the task is aborted.
    pub(crate) fn listen(&self, heard: impl Fn(Heard) + Send + Sync + 'static) -> JoinHandle<()> {
        let pool = pool(1).connect_lazy_with(self.options.clone());
        tokio::spawn(async move {
            loop {
                if let Ok(mut listener) = PgListener::connect_with(&pool).await
                    && listener.listen(CHANNEL).await.is_ok()
                {
                    heard(Heard::Everything);
                    loop {
                        match listener.try_recv().await {
                            Ok(Some(said)) if said.payload() == "tasks" => heard(Heard::Tasks),
                            Ok(Some(_)) => heard(Heard::Events),
                            // It has connected again, and may have missed something.
                            Ok(None) => heard(Heard::Everything),
                            Err(_) => break,
                        }
                    }
                }
                // Meanwhile whoever waits looks now and then by themselves.
                tokio::time::sleep(PAUSE).await;
            }
        })
    }
}
