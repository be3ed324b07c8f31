//! The relay: follows the log in order and hands it on to the bus.

use std::sync::Arc;
use std::time::Duration;

use daybook_events::{EventBus, EventFilter, Journal, JournalError, Position, RecordedEvent};
use tokio_util::sync::CancellationToken;

use crate::{Row, Tail};

/// The name under which the relay remembers how far it has come.
const READER: &str = "relay";
const BATCH: u32 = 512;
/// A commit of this process wakes the relay; this is for those of others.
const POLL: Duration = Duration::from_millis(250);
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(500);

/// Hands every event to the bus, in order, at least once.
pub struct Relay {
    journal: Arc<dyn Journal<Row>>,
    bus: Arc<dyn EventBus>,
    tail: Arc<Tail>,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").finish_non_exhaustive()
    }
}

impl Relay {
    /// A relay from this journal to this bus. `tail` spares it reading back what this process
    /// has just committed.
    pub fn new(journal: Arc<dyn Journal<Row>>, bus: Arc<dyn EventBus>, tail: Arc<Tail>) -> Self {
        Self { journal, bus, tail }
    }

    /// Runs until `stop`, and remembers how far it came.
    pub async fn run(self, stop: CancellationToken) {
        let Some(mut position) = stop.run_until_cancelled(self.first_checkpoint()).await else {
            return;
        };
        let mut commits = self.tail.commits();
        let (mut saved, mut saved_at) = (position, tokio::time::Instant::now());
        while !stop.is_cancelled() {
            match self.hand_on(position).await {
                Ok(Some(last)) => position = last,
                Ok(None) => {
                    let wake = async { tokio::time::timeout(POLL, commits.changed()).await };
                    if let Some(Ok(Err(_))) = stop.run_until_cancelled(wake).await {
                        // No one commits here any more; the poll goes on.
                        stop.run_until_cancelled(tokio::time::sleep(POLL)).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(error, "the relay could not hand on events; it tries again");
                    stop.run_until_cancelled(tokio::time::sleep(PAUSE_AFTER_ERROR)).await;
                }
            }
            if position > saved && saved_at.elapsed() >= CHECKPOINT_EVERY {
                self.save(position).await;
                (saved, saved_at) = (position, tokio::time::Instant::now());
            }
        }
        if position > saved {
            self.save(position).await;
        }
    }

    async fn first_checkpoint(&self) -> Position {
        loop {
            match self.journal.checkpoint(READER).await {
                Ok(position) => return position,
                Err(error) => {
                    tracing::warn!(%error, "the relay's checkpoint could not be read");
                    tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                }
            }
        }
    }

    /// Hands on what comes after `position`; answers how far it came, or `None` where there was
    /// nothing.
    async fn hand_on(&self, position: Position) -> Result<Option<Position>, String> {
        let events = self.next_events(position).await.map_err(|error| error.to_string())?;
        let Some(last) = events.last().map(|event| event.position) else { return Ok(None) };
        self.bus.publish(events.into()).await.map_err(|error| error.to_string())?;
        Ok(Some(last))
    }

    async fn next_events(
        &self,
        position: Position,
    ) -> Result<Vec<Arc<RecordedEvent>>, JournalError> {
        let limit = usize::try_from(BATCH).unwrap_or(usize::MAX);
        if let Some(events) = self.tail.after(position, limit)
            && !events.is_empty()
        {
            return Ok(events);
        }
        let events = self.journal.read(&EventFilter::All, position, BATCH).await?;
        Ok(events.into_iter().map(Arc::new).collect())
    }

    async fn save(&self, position: Position) {
        if let Err(error) = self.journal.save_checkpoint(READER, position).await {
            tracing::warn!(%error, "the relay's checkpoint was not saved; events will be handed on again");
        }
    }
}
