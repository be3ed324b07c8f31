//! What several processes on one database need of each other: who leads, and what is new.

use async_trait::async_trait;
use daybook_events::{Election, ElectionError, Lead};
use tokio::task::JoinHandle;

use crate::Database;
use crate::database::Engine;

/// What another process has committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Events.
    Events,
    /// Tasks.
    Tasks,
    /// Something may have been missed.
    Everything,
}

/// Listens for as long as it is kept.
#[derive(Debug)]
pub struct Watch(Option<JoinHandle<()>>);

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(listening) = &self.0 {
            listening.abort();
        }
    }
}

impl Database {
    /// Calls `heard` when something is committed, by this or another instance. On SQLite nobody
    /// tells: there, what others have committed is found by looking.
    #[must_use]
    pub fn watch(&self, heard: impl Fn(Heard) + Send + Sync + 'static) -> Watch {
        match &self.engine {
            Engine::Sqlite(_) => Watch(None),
            Engine::Postgres(postgres) => Watch(Some(postgres.listen(heard))),
        }
    }
}

#[async_trait]
impl Election for Database {
    async fn try_lead(&self, what: &str) -> Result<Option<Box<dyn Lead>>, ElectionError> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.try_lead(what),
            Engine::Postgres(postgres) => postgres.try_lead(what).await,
        }
    }
}
