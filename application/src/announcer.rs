//! The announcer: follows the log for the subscribers of this process.

use std::sync::Arc;
use std::time::Duration;

use daybook_events::{EventBus, EventSignals, Journal, Position, RecordedEvent, Signal};
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::relay::next_events;
use crate::{Row, Tail};

/// For commits that nobody tells of.
const POLL: Duration = Duration::from_millis(250);
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(500);

/// Tells the subscribers of this process of every event, once and in order, whichever instance
/// committed it. The log is what it follows. What this process commits, what the bus of all
/// instances says and what the engine tells only wake it, or spare it reading: losing them costs
/// time and nothing else.
pub struct Announcer {
    journal: Arc<dyn Journal<Row>>,
    tail: Arc<Tail>,
    here: Arc<dyn EventBus>,
    outside: Option<Arc<dyn EventBus>>,
}

impl std::fmt::Debug for Announcer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Announcer").finish_non_exhaustive()
    }
}

impl Announcer {
    /// Follows this journal, tells the bus `here`, and listens to the one `outside`.
    pub fn new(
        journal: Arc<dyn Journal<Row>>,
        tail: Arc<Tail>,
        here: Arc<dyn EventBus>,
        outside: Option<Arc<dyn EventBus>>,
    ) -> Self {
        Self { journal, tail, here, outside }
    }

    /// Runs until `stop`. Begins at the end of the log.
    pub async fn run(self, stop: CancellationToken) {
        let Some(mut position) = stop.run_until_cancelled(self.head()).await else { return };
        let mut commits = self.tail.commits();
        let mut outside = self.listen().await;
        while !stop.is_cancelled() {
            match next_events(&*self.journal, &self.tail, position).await {
                Ok(events) if !events.is_empty() => {
                    position = self.tell(position, events).await;
                    continue;
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "the log could not be followed; it is tried again");
                    stop.run_until_cancelled(tokio::time::sleep(PAUSE_AFTER_ERROR)).await;
                    continue;
                }
            }
            // What is heard outside need not be read, where it follows on what was told.
            let mut heard = None;
            tokio::select! {
                () = stop.cancelled() => {}
                _ = commits.changed() => {}
                signal = outside.next() => heard = signal,
                () = tokio::time::sleep(POLL) => {}
            }
            if let Some(Signal::Events(events)) = heard {
                let next: Vec<_> =
                    events.iter().filter(|event| event.position > position).cloned().collect();
                if next.first().is_some_and(|first| first.position == position.next()) {
                    position = self.tell(position, next).await;
                }
            }
        }
    }

    async fn head(&self) -> Position {
        loop {
            match self.journal.head().await {
                Ok(position) => return position,
                Err(error) => {
                    tracing::warn!(%error, "the end of the log could not be read");
                    tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                }
            }
        }
    }

    /// What the bus outside says; silence where there is none.
    async fn listen(&self) -> EventSignals {
        let subscribed = match &self.outside {
            Some(bus) => bus.subscribe().await,
            None => return Box::pin(futures_util::stream::pending()),
        };
        match subscribed {
            // When it goes away the log still is there.
            Ok(signals) => Box::pin(signals.chain(futures_util::stream::pending())),
            Err(error) => {
                tracing::warn!(%error, "the bus is not heard; the log is looked at instead");
                Box::pin(futures_util::stream::pending())
            }
        }
    }

    /// Tells of events; answers the position of the last.
    async fn tell(&self, position: Position, events: Vec<Arc<RecordedEvent>>) -> Position {
        let last = events.last().map_or(position, |event| event.position);
        if let Err(error) = self.here.publish(events.into()).await {
            tracing::error!(%error, "subscribers were not told");
        }
        last
    }
}

#[cfg(test)]
mod tests;
