//! Noticing that two logs have one identity, or that the log was put back to what it was.

use std::sync::Arc;
use std::time::Duration;

use daybook_events::{EventFilter, Head, Journal, Position, Witness};
use tokio_util::sync::CancellationToken;

use crate::{IdentityKeeper, Row};

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Compares the log with what was last seen of a log of this identity. Where that is not in the log, the
/// identity is given up: what stands outside under it is of another log.
///
/// So a copy of a whole server beside its original is noticed by one of the two as soon as both have
/// written, and a log that was put back to a backup before anything that was cached is believed.
#[derive(Clone)]
pub struct ForkWatch {
    witness: Arc<dyn Witness>,
    journal: Arc<dyn Journal<Row>>,
    keeper: IdentityKeeper,
}

impl std::fmt::Debug for ForkWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ForkWatch").field("keeper", &self.keeper).finish_non_exhaustive()
    }
}

impl ForkWatch {
    /// Compares this log with this witness.
    pub fn new(
        witness: Arc<dyn Witness>,
        journal: Arc<dyn Journal<Row>>,
        keeper: IdentityKeeper,
    ) -> Self {
        Self { witness, journal, keeper }
    }

    /// Looks again and again, until it is stopped.
    pub async fn run(self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            if let Err(reason) = self.look().await {
                tracing::debug!(reason, "the log was not compared with what was seen of it");
            }
        }
    }

    /// Looks once. Afterwards the identity is one that no other log was seen with.
    ///
    /// # Errors
    /// Why that is not known.
    pub(crate) async fn look(&self) -> Result<(), String> {
        let id = self.keeper.present().id();
        // First what was seen: the log is at least as far when it is read after that.
        let seen = self.witness.seen().await.map_err(|error| error.to_string())?;
        if let Some(seen) = seen
            && self.at(seen.position).await? != Some(seen)
        {
            tracing::warn!(
                position = %seen.position,
                "another log was seen with the identity of this one, which gets a new one"
            );
            return self.keeper.give_up(id).await.map_err(|error| error.to_string());
        }
        let head = self.journal.head().await.map_err(|error| error.to_string())?;
        if seen.is_none_or(|seen| seen.position < head)
            && let Some(head) = self.at(head).await?
        {
            self.witness.tell(head).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// What this log has at a position.
    async fn at(&self, position: Position) -> Result<Option<Head>, String> {
        let Some(before) = position.get().checked_sub(1) else { return Ok(None) };
        let read = self.journal.read(&EventFilter::All, Position::new(before), 1).await;
        let events = read.map_err(|error| error.to_string())?;
        let event = events.first().filter(|event| event.position == position);
        Ok(event.map(|event| Head { position, event: event.id }))
    }
}

#[cfg(test)]
mod tests;
