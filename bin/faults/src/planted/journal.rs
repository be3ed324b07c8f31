//! A journal that does one thing wrong.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use daybook_application::Row;
use daybook_events::{
    Entry, EntryId, EntryOutcome, EventFilter, HolderId, Journal, JournalError, Position,
    RecordedEvent, StoredOutcome, StreamId, Timestamp, Version,
};
use rand::Rng;
use tokio::sync::Mutex as Turns;

/// As long as a commit takes on a slow disk.
const COMMIT: Duration = Duration::from_millis(5);
/// As much longer it may take on one instance than on another, in milliseconds.
const SLOWEST_COMMIT: std::ops::Range<u64> = 0..20;

/// What it does wrong.
pub(super) enum Wrong {
    /// It says of a batch that it is committed, and then commits it, one batch behind. The turn is of what
    /// was acknowledged last, and holds up the next.
    AcknowledgesEarly(Arc<Turns<()>>),
    /// Whoever follows the whole log gets what is later than what it got before.
    IsReadByTime(Mutex<Option<Timestamp>>),
}

pub(super) struct PlantedJournal {
    journal: Arc<dyn Journal<Row>>,
    wrong: Wrong,
}

impl PlantedJournal {
    pub(super) fn new(journal: Arc<dyn Journal<Row>>, wrong: Wrong) -> Self {
        Self { journal, wrong }
    }

    async fn acknowledge(
        &self,
        turn: &Arc<Turns<()>>,
        batch: &[Entry<Row>],
    ) -> Result<Vec<EntryOutcome>, JournalError> {
        let turn = Arc::clone(turn).lock_owned().await;
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
}

fn registers(batch: &[Entry<Row>]) -> bool {
    batch.iter().flat_map(|entry| &entry.rows).any(|row| matches!(row, Row::Holder(_)))
}

/// Of these events, those that are later than all before.
fn later(latest: &Mutex<Option<Timestamp>>, events: Vec<RecordedEvent>) -> Vec<RecordedEvent> {
    let mut latest = latest.lock().unwrap_or_else(PoisonError::into_inner);
    let before = *latest;
    let events: Vec<_> = events
        .into_iter()
        .filter(|event| before.is_none_or(|before| event.timestamp > before))
        .collect();
    *latest = events.iter().map(|event| event.timestamp).max().or(before);
    events
}

#[async_trait]
impl Journal<Row> for PlantedJournal {
    async fn append(&self, batch: &[Entry<Row>]) -> Result<Vec<EntryOutcome>, JournalError> {
        match &self.wrong {
            // Who registers is asked for at once, by their first token: that is not the fault to be found.
            Wrong::AcknowledgesEarly(turn) if !registers(batch) => {
                self.acknowledge(turn, batch).await
            }
            Wrong::AcknowledgesEarly(_) => self.journal.append(batch).await,
            Wrong::IsReadByTime(_) => {
                let pause = rand::rng().random_range(SLOWEST_COMMIT);
                tokio::time::sleep(Duration::from_millis(pause)).await;
                self.journal.append(batch).await
            }
        }
    }

    async fn read(
        &self,
        filter: &EventFilter,
        after: Position,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, JournalError> {
        let events = self.journal.read(filter, after, limit).await?;
        Ok(match &self.wrong {
            Wrong::IsReadByTime(latest) if *filter == EventFilter::All => later(latest, events),
            _ => events,
        })
    }

    async fn read_within(
        &self,
        filter: &EventFilter,
        after: Position,
        limit: u32,
        bytes: u64,
    ) -> Result<Vec<RecordedEvent>, JournalError> {
        let events = self.journal.read_within(filter, after, limit, bytes).await?;
        Ok(match &self.wrong {
            Wrong::IsReadByTime(latest) if *filter == EventFilter::All => later(latest, events),
            _ => events,
        })
    }

    async fn check(&self) -> Result<(), JournalError> {
        self.journal.check().await
    }

    async fn find_entries(
        &self,
        ids: &[EntryId],
        after: Position,
    ) -> Result<Vec<Option<Position>>, JournalError> {
        self.journal.find_entries(ids, after).await
    }

    async fn versions(&self, streams: &[StreamId]) -> Result<Vec<Version>, JournalError> {
        self.journal.versions(streams).await
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
