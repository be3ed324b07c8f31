//! The log as a stream: first what is stored, then what comes, without a gap in between.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use daybook_events::{
    EventBus, EventFilter, EventSignals, Journal, JournalError, Position, RecordedEvent, Signal,
};
use futures_util::{Stream, StreamExt, stream};

use crate::{QueryError, Row};

/// How many events are read from the journal at a time, and so held for one subscriber at most.
const PAGE: u32 = 200;

/// What a subscriber gets.
#[derive(Clone, Debug)]
pub enum FeedItem {
    /// The next event that matches.
    Event(Arc<RecordedEvent>),
    /// The position the subscriber asked to go on from is not in this log; it goes on from here.
    Reset {
        /// The last position of the log.
        head: Position,
    },
}

/// What a subscriber gets, until it goes away or the bus or the journal does.
pub type FeedStream = Pin<Box<dyn Stream<Item = FeedItem> + Send>>;

/// Gives the log to subscribers: the bus says that there is something, the journal has it.
#[derive(Clone)]
pub struct Feed {
    journal: Arc<dyn Journal<Row>>,
    bus: Arc<dyn EventBus>,
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed").finish_non_exhaustive()
    }
}

impl Feed {
    /// A feed from this journal, woken by this bus.
    pub fn new(journal: Arc<dyn Journal<Row>>, bus: Arc<dyn EventBus>) -> Self {
        Self { journal, bus }
    }

    /// Every event that matches and comes after a position, in order, each once; from now on where
    /// no position is given.
    ///
    /// # Errors
    /// [`QueryError`] where the bus or the journal can't be reached.
    pub async fn follow(
        &self,
        filter: EventFilter,
        after: Option<Position>,
    ) -> Result<FeedStream, QueryError> {
        // Listen first, look second: what is committed in between is heard.
        let signals = self
            .bus
            .subscribe()
            .await
            .map_err(|error| QueryError::Unavailable(error.to_string()))?;
        let head = self.journal.head().await?;
        let last = after.unwrap_or(head);
        let ready =
            if last > head { VecDeque::from([FeedItem::Reset { head }]) } else { VecDeque::new() };
        let follower = Follower {
            journal: Arc::clone(&self.journal),
            signals,
            filter,
            last: last.min(head),
            behind: last < head,
            ready,
        };
        Ok(Box::pin(stream::unfold(follower, Follower::next)))
    }
}

struct Follower {
    journal: Arc<dyn Journal<Row>>,
    signals: EventSignals,
    filter: EventFilter,
    /// Everything up to here was looked at.
    last: Position,
    /// Whether there is more in the journal that the bus did not tell of.
    behind: bool,
    ready: VecDeque<FeedItem>,
}

impl Follower {
    async fn next(mut self) -> Option<(FeedItem, Self)> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some((item, self));
            }
            if self.behind {
                if let Err(error) = self.catch_up().await {
                    tracing::warn!(%error, "a subscriber could not be served from the journal");
                    return None;
                }
                continue;
            }
            match self.signals.next().await? {
                Signal::Events(events) => self.hear(&events),
                Signal::Missed => self.behind = true,
            }
        }
    }

    /// Reads one page from the journal.
    async fn catch_up(&mut self) -> Result<(), JournalError> {
        let head = self.journal.head().await?;
        let page = self.journal.read(&self.filter, self.last, PAGE).await?;
        let full = u32::try_from(page.len()).is_ok_and(|count| count >= PAGE);
        let read_to = page.last().map(|event| event.position);
        self.ready.extend(page.into_iter().map(|event| FeedItem::Event(Arc::new(event))));
        self.behind = full;
        self.last = if full { read_to.unwrap_or(head) } else { read_to.unwrap_or(head).max(head) };
        Ok(())
    }

    fn hear(&mut self, events: &[Arc<RecordedEvent>]) {
        let Some(first) = events.iter().find(|event| event.position > self.last) else { return };
        if first.position > self.last.next() {
            self.behind = true;
            return;
        }
        for event in events.iter().filter(|event| event.position > self.last) {
            if self.filter.matches(event) {
                self.ready.push_back(FeedItem::Event(Arc::clone(event)));
            }
        }
        self.last = events.last().map_or(self.last, |event| event.position).max(self.last);
    }
}

#[cfg(test)]
mod tests;
