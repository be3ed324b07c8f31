//! The log as a stream: first what is stored, then what comes, without a gap in between.
//!
//! A subscriber is a position. What comes next for it is taken from the [`Tail`] of what the
//! announcer told of, which all share, or read from the journal, in pages bounded in bytes, and only
//! once the page before is on its way. What is on its way to all of them is bounded by a
//! [`StreamRoom`].

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use daybook_events::{EventFilter, Journal, JournalError, Position, RecordedEvent};
use futures_util::{Stream, stream};
use tokio::sync::watch;

use crate::stream_room::PageRoom;
use crate::{QueryError, Row, StreamRoom, Tail, Taken};

/// How many events one subscriber takes at a time, at most.
const PAGE: u32 = 200;

/// What a subscriber gets.
#[derive(Debug)]
pub enum FeedItem {
    /// The next event that matches, and the room it takes until it is sent.
    Event(Arc<RecordedEvent>, Taken),
    /// The position the subscriber asked to go on from is not in this log; it goes on from here.
    Reset {
        /// The last position of the log.
        head: Position,
    },
}

/// What a subscriber gets, until it goes away or the journal does.
pub type FeedStream = Pin<Box<dyn Stream<Item = FeedItem> + Send>>;

/// Gives the log to subscribers: the announcer says how far they may see, the journal has it.
#[derive(Clone)]
pub struct Feed {
    journal: Arc<dyn Journal<Row>>,
    told: Arc<Tail>,
    room: StreamRoom,
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed").finish_non_exhaustive()
    }
}

impl Feed {
    /// A feed from this journal, as far as the announcer has told of it, in this room.
    pub fn new(journal: Arc<dyn Journal<Row>>, told: Arc<Tail>, room: StreamRoom) -> Self {
        Self { journal, told, room }
    }

    /// Every event that matches and comes after a position, in order, each once; from now on where
    /// no position is given.
    ///
    /// # Errors
    /// [`QueryError`] where the journal can't be reached.
    pub async fn follow(
        &self,
        filter: EventFilter,
        after: Option<Position>,
    ) -> Result<FeedStream, QueryError> {
        let head = self.journal.head().await?;
        let last = after.unwrap_or(head);
        let reset = (last > head).then_some(FeedItem::Reset { head });
        let follower = Follower {
            feed: self.clone(),
            commits: self.told.commits(),
            filter,
            last: last.min(head),
            ready: reset.into_iter().collect(),
        };
        Ok(Box::pin(stream::unfold(follower, Follower::next)))
    }
}

struct Follower {
    feed: Feed,
    commits: watch::Receiver<Position>,
    filter: EventFilter,
    /// Everything up to here was looked at.
    last: Position,
    ready: VecDeque<FeedItem>,
}

impl Follower {
    async fn next(mut self) -> Option<(FeedItem, Self)> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some((item, self));
            }
            let told = *self.commits.borrow_and_update();
            if told <= self.last {
                self.commits.changed().await.ok()?;
                continue;
            }
            let room = self.feed.room.page().await?;
            if let Err(error) = self.take_page(told, room).await {
                tracing::warn!(%error, "a subscriber could not be served from the journal");
                return None;
            }
        }
    }

    /// Takes what comes next, from memory where it is there.
    async fn take_page(&mut self, told: Position, mut room: PageRoom) -> Result<(), JournalError> {
        let limit = usize::try_from(PAGE).unwrap_or(usize::MAX);
        let kept = self.feed.told.matching(&self.filter, self.last, limit, room.left());
        if let Some(page) = kept {
            self.last = page.looked_to;
            self.fill(page.events, &mut room);
            return Ok(());
        }
        let bytes = u64::try_from(room.left()).unwrap_or(u64::MAX);
        let journal = &self.feed.journal;
        let mut page = journal.read_within(&self.filter, self.last, PAGE, bytes).await?;
        let whole = page.len() < limit && read_bytes(&page) < bytes;
        // What is committed is not shown before the announcer has told of it.
        page.retain(|event| event.position <= told);
        let read_to = page.last().map(|event| event.position);
        self.last = if whole { told } else { read_to.unwrap_or(told) };
        self.fill(page.into_iter().map(Arc::new).collect(), &mut room);
        Ok(())
    }

    /// Keeps what there is room for; what is left is read again in its turn.
    fn fill(&mut self, events: Vec<Arc<RecordedEvent>>, room: &mut PageRoom) {
        for event in events {
            let Some(taken) = room.part(event.size()) else {
                self.last = before(event.position);
                return;
            };
            self.ready.push_back(FeedItem::Event(event, taken));
        }
    }
}

/// As [`Journal::read_within`] counts them.
fn read_bytes(page: &[RecordedEvent]) -> u64 {
    page.iter().map(|event| event.data.text().len() as u64).sum()
}

fn before(position: Position) -> Position {
    Position::new(position.get().saturating_sub(1))
}

#[cfg(test)]
mod tests;
