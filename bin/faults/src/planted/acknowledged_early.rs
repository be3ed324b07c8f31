//! A journal that says of a batch that it is committed, and then commits it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use daybook_application::Row;
use daybook_events::{
    Entry, EntryId, EntryOutcome, EventFilter, HolderId, Journal, JournalError, Position,
    RecordedEvent, StoredOutcome, StreamId, Timestamp, Version,
};
use tokio::sync::Mutex;

/// As long as a commit takes on a slow disk.
const COMMIT: Duration = Duration::from_millis(5);

/// Commits one batch behind.
pub(super) struct AcknowledgedEarly {
    journal: Arc<dyn Journal<Row>>,
    /// What has been acknowledged last, and holds up the next.
    behind: Arc<Mutex<()>>,
}

impl AcknowledgedEarly {
    pub(super) fn new(journal: Arc<dyn Journal<Row>>) -> Self {
        Self { journal, behind: Arc::default() }
    }
}

#[async_trait]
impl Journal<Row> for AcknowledgedEarly {
    async fn append(&self, batch: &[Entry<Row>]) -> Result<Vec<EntryOutcome>, JournalError> {
        let turn = Arc::clone(&self.behind).lock_owned().await;
        let mut position = self.journal.head().await?;
        let outcomes = batch
            .iter()
            .map(|entry| {
                position = Position::new(position.get() + entry.events.len() as u64);
                EntryOutcome::Committed { position }
            })
            .collect();
        let (journal, batch) = (Arc::clone(&self.journal), batch.to_vec());
        tokio::spawn(async move {
            tokio::time::sleep(COMMIT).await;
            // Nobody is left to be told how it ended.
            let _ = journal.append(&batch).await;
            drop(turn);
        });
        Ok(outcomes)
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
        self.journal.read(filter, after, limit).await
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
