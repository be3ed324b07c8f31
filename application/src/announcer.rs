//! The announcer: follows the log for the subscribers of this process.

use std::sync::Arc;
use std::time::Duration;

use daybook_events::{EventBus, EventSignals, Journal, Position, Signal};
use futures_util::StreamExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::relay::next_events;
use crate::{Row, Sessions, Tail};

/// For commits that nobody tells of.
const POLL: Duration = Duration::from_millis(250);
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(500);
/// For how long nothing is read for the bus, after it told of something that is not in the log: anyone
/// who may publish can say anything there.
const PAUSE_AFTER_RUMOUR: Duration = Duration::from_millis(50);

/// Tells the subscribers of this process of every event, once and in order, whichever instance
/// committed it. The log is what it follows, and all that is shown comes from there. What this
/// process commits, what the bus of all instances says and what the engine tells only wake it:
/// losing them costs time and nothing else, and so does what is false.
pub struct Announcer {
    journal: Arc<dyn Journal<Row>>,
    tail: Arc<Tail>,
    told: Arc<Tail>,
    outside: Option<Arc<dyn EventBus>>,
    sessions: Option<Sessions>,
}

impl std::fmt::Debug for Announcer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Announcer").finish_non_exhaustive()
    }
}

impl Announcer {
    /// Follows this journal, whose end as this process wrote it is `tail`, adds what it tells of to
    /// `told`, and listens to the bus `outside`.
    pub fn new(
        journal: Arc<dyn Journal<Row>>,
        tail: Arc<Tail>,
        told: Arc<Tail>,
        outside: Option<Arc<dyn EventBus>>,
    ) -> Self {
        Self { journal, tail, told, outside, sessions: None }
    }

    /// The same, which tells these sessions of what ends them.
    #[must_use]
    pub fn with_sessions(self, sessions: Sessions) -> Self {
        Self { sessions: Some(sessions), ..self }
    }

    /// Runs until `stop`. Begins at the end of the log.
    pub async fn run(self, stop: CancellationToken) {
        let Some(mut position) = stop.run_until_cancelled(self.head()).await else { return };
        self.told.begin_at(position);
        // What ended before was told to nobody.
        self.sessions.iter().for_each(Sessions::doubt);
        self.tail.reach(position);
        let mut rumour = None;
        let mut commits = self.tail.commits();
        let mut outside = self.listen().await;
        while !stop.is_cancelled() {
            match next_events(&*self.journal, &self.tail, position).await {
                Ok(events) if !events.is_empty() => {
                    position = events.last().map_or(position, |event| event.position);
                    self.sessions.iter().for_each(|sessions| sessions.hear(&events));
                    self.told.push(events);
                    self.tail.reach(position);
                    rumour = None;
                    continue;
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "the log could not be followed; it is tried again");
                    stop.run_until_cancelled(tokio::time::sleep(PAUSE_AFTER_ERROR)).await;
                    continue;
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                _ = commits.changed() => {}
                () = heard_beyond(&mut outside, position, rumour) => rumour = Some(Instant::now()),
                () = tokio::time::sleep(POLL) => {}
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
}

/// Waits until the bus tells of something after `position`, and for a moment longer where what it
/// told of last was not in the log. What it tells of besides is passed over.
async fn heard_beyond(outside: &mut EventSignals, position: Position, rumour: Option<Instant>) {
    while let Some(signal) = outside.next().await {
        match signal {
            Signal::Events(events) if events.iter().all(|event| event.position <= position) => {}
            Signal::Events(_) | Signal::Missed => break,
        }
    }
    if let Some(rumour) = rumour {
        tokio::time::sleep_until(rumour + PAUSE_AFTER_RUMOUR).await;
    }
}

#[cfg(test)]
mod tests;
