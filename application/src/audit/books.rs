//! The port to all that is stored, as a whole.

use std::fmt;

use async_trait::async_trait;
use daybook_accounts::{Account, HolderStanding};
use daybook_events::{
    HolderId, Placed, Position, RecordedEvent, StreamId, TaskId, TaskKind, Version,
};
use daybook_orders::Order;
use thiserror::Error;

use crate::PostingRow;

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Check {
    /// The positions of the log are 1, 2, 3 and so on.
    Positions,
    /// No stream has a version twice.
    Versions,
    /// No event id is there twice.
    EventIds,
    /// The events of each stream can follow each other: their versions are 1, 2, 3 and so on.
    Streams,
    /// Accounts are what their streams say.
    Accounts,
    /// Orders are what their streams say.
    Orders,
    /// Holders are those who registered.
    Holders,
    /// Postings are those of the log.
    Postings,
    /// The postings of each entry sum to zero in each currency.
    Balance,
    /// Remembered outcomes can be read, and stand at the end of an entry.
    Outcomes,
    /// Tasks that are still there have the owner, kind, place and version of their stream.
    Tasks,
    /// No reader of the log is past its end.
    Checkpoints,
}

impl Check {
    /// What is looked at of the log, before it is folded.
    pub const OF_THE_LOG: [Self; 3] = [Self::Positions, Self::Versions, Self::EventIds];
    /// What is looked at after the fold: rows that the log knows nothing of, and what follows from
    /// no single stream.
    pub const OF_THE_REST: [Self; 7] = [
        Self::Accounts,
        Self::Orders,
        Self::Holders,
        Self::Balance,
        Self::Outcomes,
        Self::Tasks,
        Self::Checkpoints,
    ];

    /// The check's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Positions => "positions",
            Self::Versions => "versions",
            Self::EventIds => "event ids",
            Self::Streams => "streams",
            Self::Accounts => "accounts",
            Self::Orders => "orders",
            Self::Holders => "holders",
            Self::Postings => "postings",
            Self::Balance => "balance",
            Self::Outcomes => "outcomes",
            Self::Tasks => "tasks",
            Self::Checkpoints => "checkpoints",
        }
    }
}

/// Something that is not as the log says. Its text holds ids and numbers, nothing that people wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What was looked at.
    pub check: Check,
    /// What is wrong with it, in one line.
    pub what: String,
}

impl Difference {
    /// A difference.
    pub fn new(check: Check, what: impl Into<String>) -> Self {
        Self { check, what: what.into() }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check.as_str(), self.what)
    }
}

/// What some pages of the log come to. Streams come whole: where one goes on in the next page, what
/// it comes to does as well.
#[derive(Clone, Debug, Default)]
pub struct Projected {
    /// Accounts as the log leaves them.
    pub accounts: Vec<Placed<Account>>,
    /// Orders as the log leaves them.
    pub orders: Vec<Placed<Order>>,
    /// Everyone who registered, as the log leaves them.
    pub holders: Vec<(HolderId, HolderStanding)>,
    /// Tasks as the log leaves them.
    pub tasks: Vec<ProjectedTask>,
    /// Where the events of the page stand. No other postings than those below do.
    pub positions: Vec<Position>,
    /// The postings of the events at those positions.
    pub postings: Vec<ProjectedPosting>,
}

/// A posting, and where its event stands. The event is number 0 of that position.
#[derive(Clone, Debug)]
pub struct ProjectedPosting {
    /// The position of its event.
    pub position: Position,
    /// The posting.
    pub row: PostingRow,
}

/// What the log knows of a task.
#[derive(Clone, Debug)]
pub struct ProjectedTask {
    /// The task.
    pub id: TaskId,
    /// Whose it is.
    pub owner: Option<HolderId>,
    /// What it is about; nothing where the log has not asked for it.
    pub kind: Option<TaskKind>,
    /// Where its first event stands.
    pub position: Position,
    /// How many events its stream has.
    pub version: Version,
}

/// Why the books could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BooksError {
    /// The database can't be reached.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// What is stored can't be read at all.
    #[error("what is stored can't be read: {0}")]
    Corrupt(String),
}

/// All that is stored: the log, the read models, outcomes, tasks and checkpoints.
#[async_trait]
pub trait Books: Send + Sync {
    /// Everything as it is at this moment. Whoever writes meanwhile is neither seen nor held up.
    ///
    /// # Errors
    /// [`BooksError`].
    async fn snapshot(&self) -> Result<Box<dyn BooksSnapshot>, BooksError>;
}

/// The books at one moment.
#[async_trait]
pub trait BooksSnapshot: Send {
    /// How many events there are.
    ///
    /// # Errors
    /// [`BooksError`].
    async fn count(&mut self) -> Result<u64, BooksError>;

    /// At most `limit` events in the order of streams and versions, from the one after `after` on.
    /// The order of streams is the engine's own; all events of a stream stand together.
    ///
    /// # Errors
    /// [`BooksError`].
    async fn read(
        &mut self,
        after: Option<&(StreamId, Version)>,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, BooksError>;

    /// Looks at what is no matter of a single stream. Of [`Check::Accounts`], [`Check::Orders`],
    /// [`Check::Holders`] and [`Check::Tasks`] it finds rows that have no stream, and what is wrong
    /// within a row; of [`Check::Balance`] also postings that have no event.
    ///
    /// # Errors
    /// [`BooksError`].
    async fn check(&mut self, check: Check) -> Result<Vec<Difference>, BooksError>;

    /// Compares what is stored with what the log comes to, column by column.
    ///
    /// # Errors
    /// [`BooksError`].
    async fn compare(&mut self, page: &Projected) -> Result<Vec<Difference>, BooksError>;
}
