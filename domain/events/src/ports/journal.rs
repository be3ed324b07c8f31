//! The port to the log.

use async_trait::async_trait;
use thiserror::Error;

use crate::{
    Entry, EntryId, EntryOutcome, HolderId, Position, RecordedEvent, StoredOutcome, StreamId,
    Timestamp, Version,
};

/// The log: every event that ever happened, in one order.
///
/// Promises of [`Journal::append`]:
/// - a batch is one transaction: what it answers as committed is durable, all of it at once;
/// - events get positions without gaps, in the order of the batch, and readers see them in that
///   order: whoever has seen position *n* never finds a lower one later;
/// - an entry is committed only where every stream it names still has the version it expects,
///   earlier entries of the batch included; otherwise it alone is a [`EntryOutcome::Conflict`];
/// - an entry is a conflict too where an earlier entry of the batch, which is not committed, has
///   events in a stream it names: it was decided on what they would have left, whatever version
///   others have brought the stream to;
/// - an entry whose idempotency key has an outcome is [`EntryOutcome::Replayed`] alone, and an
///   entry that repeats a key of the same batch is a [`EntryOutcome::Conflict`];
/// - an entry that can't be written, for whatever the store has against what it says, or whose
///   remembered outcome can't be read, is [`EntryOutcome::Refused`] alone: nothing of it is kept;
/// - the rows and the remembered outcome of an entry are written if and only if its events are;
/// - there is one outcome for each entry, in order.
///
/// `R` is a change to a read model; the application defines it.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Journal<R: Send + Sync + 'static>: Send + Sync {
    /// Appends a batch of entries.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] or [`JournalError::ReadOnly`]: nothing was written; what can't
    /// write is given up, and a later call tries anew. [`JournalError::Unknown`]: the
    /// transaction may or may not have been committed; [`Journal::find_entries`] tells.
    async fn append(&self, batch: &[Entry<R>]) -> Result<Vec<EntryOutcome>, JournalError>;

    /// Whether a batch could be appended now, also where nobody has tried for long.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`], or [`JournalError::ReadOnly`] where only reads are answered.
    async fn check(&self) -> Result<(), JournalError>;

    /// For each entry, the position of its last event, or `None` where it has no event in the log
    /// after `after`: where the log had got to when they were appended, or any position before that.
    /// A log that ends before `after` was put back since; it is looked through from its beginning.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`].
    async fn find_entries(
        &self,
        entries: &[EntryId],
        after: Position,
    ) -> Result<Vec<Option<Position>>, JournalError>;

    /// The versions of streams, in order; zero for a stream without events.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`].
    async fn versions(&self, streams: &[StreamId]) -> Result<Vec<Version>, JournalError>;

    /// At most `limit` events after a position, oldest first.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] or [`JournalError::Corrupt`].
    async fn read(
        &self,
        filter: &EventFilter,
        after: Position,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, JournalError>;

    /// As [`Journal::read`], and of no more data than `bytes`: the event that reaches the bound is the
    /// last. Where there is an event there is one in the answer, whatever it takes.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] or [`JournalError::Corrupt`].
    async fn read_within(
        &self,
        filter: &EventFilter,
        after: Position,
        limit: u32,
        bytes: u64,
    ) -> Result<Vec<RecordedEvent>, JournalError>;

    /// The position of the last event; zero for an empty log.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`].
    async fn head(&self) -> Result<Position, JournalError>;

    /// The outcome remembered under a key.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] or [`JournalError::Corrupt`].
    async fn find_outcome(
        &self,
        scope: Option<HolderId>,
        key: &str,
    ) -> Result<Option<StoredOutcome>, JournalError>;

    /// Forgets at most `limit` outcomes remembered before an instant; answers how many.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`].
    async fn forget_outcomes(&self, before: Timestamp, limit: u32) -> Result<u64, JournalError>;

    /// How far the named reader of the log has come; zero where it never said.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`].
    async fn checkpoint(&self, reader: &str) -> Result<Position, JournalError>;

    /// Remembers how far the named reader has come. A checkpoint never goes back.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`].
    async fn save_checkpoint(&self, reader: &str, position: Position) -> Result<(), JournalError>;
}

/// Which events to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventFilter {
    /// Every event.
    All,
    /// The events of one holder.
    Owner(HolderId),
    /// The events of one stream.
    Stream(StreamId),
}

impl EventFilter {
    /// Whether `event` is one of them.
    pub fn matches(&self, event: &RecordedEvent) -> bool {
        match self {
            Self::All => true,
            Self::Owner(holder) => event.owner == Some(*holder),
            Self::Stream(stream) => event.stream == *stream,
        }
    }
}

/// Why the log could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum JournalError {
    /// It can't be reached or is too busy; nothing was written.
    #[error("the journal is unavailable: {0}")]
    Unavailable(String),
    /// It can be read and takes nothing; the text says why in words, and names no secret.
    #[error("the journal takes no entries: {0}")]
    ReadOnly(String),
    /// The connection was lost while a transaction was being committed.
    #[error("the outcome of a transaction is unknown: {0}")]
    Unknown(String),
    /// What is stored can't be read.
    #[error("the journal is damaged: {0}")]
    Corrupt(String),
}
