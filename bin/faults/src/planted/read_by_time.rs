//! A journal that is followed by the time of its events.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use daybook_application::Row;
use daybook_events::{
    Entry, EntryId, EntryOutcome, EventFilter, HolderId, Journal, JournalError, Position,
    RecordedEvent, StoredOutcome, StreamId, Timestamp, Version,
};
use rand::Rng;

/// Milliseconds.
const SLOWEST_COMMIT: std::ops::Range<u64> = 0..20;

/// Whoever follows the whole log gets what is later than what it got before.
pub(super) struct ReadByTime {
    journal: Arc<dyn Journal<Row>>,
    latest: Mutex<Option<Timestamp>>,
}

impl ReadByTime {
    pub(super) fn new(journal: Arc<dyn Journal<Row>>) -> Self {
        Self { journal, latest: Mutex::default() }
    }

    fn later(&self, events: Vec<RecordedEvent>) -> Vec<RecordedEvent> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *latest;
        let events: Vec<_> = events
            .into_iter()
            .filter(|event| before.is_none_or(|before| event.timestamp > before))
            .collect();
        *latest = events.iter().map(|event| event.timestamp).max().or(before);
        events
    }
}

#[async_trait]
impl Journal<Row> for ReadByTime {
    async fn append(&self, batch: &[Entry<Row>]) -> Result<Vec<EntryOutcome>, JournalError> {
        // As a commit may take longer on one instance than on another.
        let pause = rand::rng().random_range(SLOWEST_COMMIT);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        self.journal.append(batch).await
    }

    async fn find_entries(&self, ids: &[EntryId]) -> Result<Vec<Option<Position>>, JournalError> {
        self.journal.find_entries(ids).await
    }

    async fn versions(&self, streams: &[StreamId]) -> Result<Vec<Version>, JournalError> {
        self.journal.versions(streams).await
    }

    async fn read(
        &self,
        filter: &EventFilter,
        after: Position,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, JournalError> {
        let events = self.journal.read(filter, after, limit).await?;
        Ok(if *filter == EventFilter::All { self.later(events) } else { events })
    }

    async fn head(&self) -> Result<Position, JournalError> {
        self.journal.head().await
    }

    async fn find_outcome(
        &self,
        scope: Option<HolderId>,
        key: &str,
    ) -> Result<Option<StoredOutcome>, JournalError> {
        self.journal.find_outcome(scope, key).await
    }

    async fn forget_outcomes(&self, before: Timestamp, limit: u32) -> Result<u64, JournalError> {
        self.journal.forget_outcomes(before, limit).await
    }

    async fn checkpoint(&self, reader: &str) -> Result<Position, JournalError> {
        self.journal.checkpoint(reader).await
    }

    async fn save_checkpoint(&self, reader: &str, position: Position) -> Result<(), JournalError> {
        self.journal.save_checkpoint(reader, position).await
    }
}
