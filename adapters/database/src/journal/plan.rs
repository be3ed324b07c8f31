//! Which entries of a batch can be committed, and at which positions.

use std::collections::{HashMap, HashSet};

use daybook_application::Row;
use daybook_events::{
    Entry, EntryOutcome, HolderId, IdempotencyRecord, JournalError, Position, StoredOutcome,
    StreamId, TaskState, Version,
};
use sea_orm::sea_query::LockType;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::isolation::LeftOut;
use super::{NO_HOLDER, head, restore_outcome, versions};
use crate::accounts::restored;
use crate::entities::{holder, outcome, task};
use crate::error::Fault;
use crate::insert::padded;

/// Whether streams that an entry begins are looked up. They hardly ever exist: the unique index
/// on a stream's versions says so when they do, and then the batch is planned again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NewStreams {
    Believed,
    LookedUp,
}

/// What becomes of each entry of a batch, in order.
pub(super) struct Plan(Vec<Verdict>);

pub(super) enum Verdict {
    /// Its events follow this position.
    Write {
        after: u64,
    },
    Conflict,
    Replay(StoredOutcome),
    /// Why it can't be written.
    Refused(String),
}

impl Plan {
    pub(super) fn verdicts(&self) -> &[Verdict] {
        &self.0
    }

    /// Whether every entry is to be written.
    pub(super) fn is_whole(&self) -> bool {
        self.0.iter().all(|verdict| matches!(verdict, Verdict::Write { .. }))
    }

    /// The same where the log does not end at 0 but at `head`.
    pub(super) fn after(self, head: u64) -> Self {
        let moved = |verdict| match verdict {
            Verdict::Write { after } => Verdict::Write { after: after + head },
            other => other,
        };
        Self(self.0.into_iter().map(moved).collect())
    }

    pub(super) fn into_outcomes(self, batch: &[Entry<Row>]) -> Vec<EntryOutcome> {
        let outcome = |(verdict, entry): (Verdict, &Entry<Row>)| match verdict {
            Verdict::Write { after } => {
                EntryOutcome::Committed { position: last_position(after, entry) }
            }
            Verdict::Conflict => EntryOutcome::Conflict,
            Verdict::Replay(stored) => EntryOutcome::Replayed(stored),
            Verdict::Refused(reason) => EntryOutcome::Refused(reason),
        };
        self.0.into_iter().zip(batch).map(outcome).collect()
    }
}

/// The position of an entry's last event, where its events follow `after`.
pub(super) fn last_position(after: u64, entry: &Entry<Row>) -> Position {
    Position::new(after).plus(u64::try_from(entry.events.len()).unwrap_or(u64::MAX))
}

type ScopedKey<'a> = (Uuid, &'a str);

pub(super) fn scoped(record: &IdempotencyRecord) -> ScopedKey<'_> {
    (record.scope.map_or(NO_HOLDER, HolderId::uuid), record.key.as_str())
}

/// Outcomes by scope and key; what can't be read concerns who asks for it alone.
type Remembered = HashMap<(Uuid, String), Result<StoredOutcome, String>>;

/// What is stored, as far as the entries of a batch depend on it.
pub(super) struct Stored<'a> {
    versions: HashMap<&'a StreamId, Version>,
    remembered: Remembered,
    emails: HashSet<String>,
    /// Tasks that were to be discarded, and that a worker has or had meanwhile.
    begun: HashSet<Uuid>,
    /// The numbers of tasks with a unique key that are taken.
    numbers: HashSet<Numbered>,
    /// The position of the last event.
    head: u64,
}

impl<'a> Stored<'a> {
    /// Looks everything up, under the write lock.
    pub(super) async fn look_up(
        db: &impl ConnectionTrait,
        batch: &'a [Entry<Row>],
        new_streams: NewStreams,
    ) -> Result<Self, Fault> {
        Ok(Self {
            versions: stream_versions(db, batch, new_streams).await?,
            remembered: remembered(db, batch).await?,
            emails: registered_emails(db, batch).await?,
            begun: begun_tasks(db, batch).await?,
            numbers: taken_numbers(db, batch).await?,
            head: restored(head(db).await?)?,
        })
    }

    /// Believes that all is as the entries expect it, and that the log is empty.
    pub(super) fn believed(batch: &'a [Entry<Row>]) -> Self {
        let mut versions = HashMap::new();
        for (stream, version) in batch.iter().flat_map(|entry| &entry.expected) {
            versions.entry(stream).or_insert(*version);
        }
        Self {
            versions,
            remembered: HashMap::new(),
            emails: HashSet::new(),
            begun: HashSet::new(),
            numbers: HashSet::new(),
            head: 0,
        }
    }

    /// The streams that have to be at a version for the batch to be right, but for those that it
    /// begins.
    pub(super) fn expectations(
        self,
        batch: &'a [Entry<Row>],
    ) -> impl Iterator<Item = (&'a StreamId, Version)> {
        let begun: HashSet<&StreamId> = batch
            .iter()
            .flat_map(|entry| &entry.events)
            .filter(|event| event.version == Version::new(1))
            .map(|event| &event.stream)
            .collect();
        self.versions.into_iter().filter(move |(stream, _)| !begun.contains(stream))
    }

    /// Compares what the entries expect with what is stored. An entry that is accepted moves its
    /// streams on for those that come after it.
    pub(super) fn plan(&self, batch: &'a [Entry<Row>], not_written: &LeftOut) -> Plan {
        let mut present = self.versions.clone();
        let mut remembered: HashSet<ScopedKey<'_>> =
            self.remembered.keys().map(|(scope, key)| (*scope, key.as_str())).collect();
        let mut emails: HashSet<&str> = self.emails.iter().map(String::as_str).collect();
        let mut numbers = self.numbers.clone();
        let mut used: HashSet<ScopedKey<'_>> = HashSet::new();
        // Streams that entries which are left out have events in.
        let mut left_out: HashSet<&StreamId> = HashSet::new();
        let mut position = self.head;
        let mut verdicts = Vec::with_capacity(batch.len());
        for (number, entry) in batch.iter().enumerate() {
            let key = entry.idempotency.as_ref().map(scoped);
            if let Some(stored) = key
                .filter(|key| remembered.remove(key))
                .and_then(|(scope, key)| self.remembered.get(&(scope, key.to_owned())))
            {
                used.extend(key);
                left_out.extend(entry.events.iter().map(|event| &event.stream));
                verdicts.push(replayed(stored));
                continue;
            }
            let moved = entry.expected.iter().any(|(stream, version)| {
                // Decided on what an entry would have left: by chance others may have brought the
                // stream to the same version.
                left_out.contains(stream)
                    || present.get(stream).copied().unwrap_or(Version::ZERO) != *version
            });
            let taken = new_emails(entry).any(|email| emails.contains(email))
                || numbered_tasks(entry).any(|number| numbers.contains(&number))
                || discarded_tasks(entry).any(|id| self.begun.contains(&id));
            let untried = not_written.untried.is_some_and(|first| number >= first);
            if moved || taken || untried || key.is_some_and(|key| used.contains(&key)) {
                left_out.extend(entry.events.iter().map(|event| &event.stream));
                verdicts.push(Verdict::Conflict);
                continue;
            }
            if let Some(reason) = not_written.refused.get(&number) {
                left_out.extend(entry.events.iter().map(|event| &event.stream));
                verdicts.push(Verdict::Refused(reason.clone()));
                continue;
            }
            used.extend(key);
            emails.extend(new_emails(entry));
            numbers.extend(numbered_tasks(entry));
            for event in &entry.events {
                present.insert(&event.stream, event.version);
            }
            verdicts.push(Verdict::Write { after: position });
            position = last_position(position, entry).get();
        }
        Plan(verdicts)
    }
}

fn replayed(stored: &Result<StoredOutcome, String>) -> Verdict {
    match stored {
        Ok(outcome) => Verdict::Replay(outcome.clone()),
        Err(reason) => Verdict::Refused(format!(
            "the outcome remembered under its key can't be read: {reason}"
        )),
    }
}

async fn stream_versions<'a>(
    db: &impl ConnectionTrait,
    batch: &'a [Entry<Row>],
    new_streams: NewStreams,
) -> Result<HashMap<&'a StreamId, Version>, Fault> {
    let looked_up = |entry: &&'a Entry<Row>, stream: &StreamId| {
        new_streams == NewStreams::LookedUp
            || !entry
                .events
                .iter()
                .any(|event| event.stream == *stream && event.version == Version::new(1))
    };
    let streams: HashSet<&StreamId> = batch
        .iter()
        .flat_map(|entry| entry.expected.iter().map(move |(stream, _)| (entry, stream)))
        .filter(|(entry, stream)| looked_up(entry, stream))
        .map(|(_, stream)| stream)
        .collect();
    let names = streams.iter().map(|stream| stream.as_str()).collect();
    let found: HashMap<String, Version> = versions(db, names).await?.into_iter().collect();
    Ok(streams
        .into_iter()
        .filter_map(|stream| Some((stream, *found.get(stream.as_str())?)))
        .collect())
}

async fn remembered(db: &impl ConnectionTrait, batch: &[Entry<Row>]) -> Result<Remembered, Fault> {
    let keys: Vec<&str> = batch
        .iter()
        .filter_map(|entry| entry.idempotency.as_ref())
        .map(|record| record.key.as_str())
        .collect();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    // Keys of other scopes come along; they are told apart below.
    let found =
        outcome::Entity::find().filter(outcome::Column::Key.is_in(padded(keys))).all(db).await?;
    let restored = found.into_iter().map(|row| {
        let key = (row.scope, row.key.clone());
        (key, restore_outcome(row).map_err(|fault| JournalError::from(fault).to_string()))
    });
    Ok(restored.collect())
}

async fn registered_emails(
    db: &impl ConnectionTrait,
    batch: &[Entry<Row>],
) -> Result<HashSet<String>, Fault> {
    let emails: Vec<&str> = batch.iter().flat_map(new_emails).collect();
    if emails.is_empty() {
        return Ok(HashSet::new());
    }
    let found: Vec<String> = holder::Entity::find()
        .select_only()
        .column(holder::Column::EmailKey)
        .filter(holder::Column::EmailKey.is_in(padded(emails)))
        .into_tuple()
        .all(db)
        .await?;
    Ok(found.into_iter().collect())
}

/// Of the tasks that the batch discards, those that neither wait nor are dead. The others are
/// locked, so that no worker takes them before the batch is committed.
async fn begun_tasks(
    db: &impl ConnectionTrait,
    batch: &[Entry<Row>],
) -> Result<HashSet<Uuid>, Fault> {
    let mut ids: Vec<Uuid> = batch.iter().flat_map(discarded_tasks).collect();
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    ids.sort_unstable();
    let can_be = [TaskState::Queued, TaskState::Dead].map(TaskState::as_str);
    let free: Vec<Uuid> = task::Entity::find()
        .select_only()
        .column(task::Column::Id)
        .filter(task::Column::Id.is_in(padded(ids.clone())))
        .filter(task::Column::State.is_in(can_be))
        .order_by_asc(task::Column::Id)
        .lock(LockType::Update)
        .into_tuple()
        .all(db)
        .await?;
    Ok(ids.into_iter().filter(|id| !free.contains(id)).collect())
}

/// A task with a unique key: its owner, kind, key and number.
type Numbered = (Option<Uuid>, String, String, i64);

async fn taken_numbers(
    db: &impl ConnectionTrait,
    batch: &[Entry<Row>],
) -> Result<HashSet<Numbered>, Fault> {
    let keys: Vec<String> =
        batch.iter().flat_map(numbered_tasks).map(|(_, _, key, _)| key).collect();
    if keys.is_empty() {
        return Ok(HashSet::new());
    }
    // Those of other owners and kinds come along.
    let found: Vec<Numbered> = task::Entity::find()
        .select_only()
        .columns([
            task::Column::OwnerId,
            task::Column::Kind,
            task::Column::UniqueKey,
            task::Column::UniqueNumber,
        ])
        .filter(task::Column::UniqueKey.is_in(padded(keys)))
        .into_tuple()
        .all(db)
        .await?;
    Ok(found.into_iter().collect())
}

fn numbered_tasks(entry: &Entry<Row>) -> impl Iterator<Item = Numbered> {
    entry.rows.iter().filter_map(|row| {
        let (owner, kind, key, number) = match row {
            Row::Task(task) => {
                let unique = task.unique.as_ref()?;
                (task.owner, &task.kind, &unique.key, unique.number)
            }
            Row::TaskRetried { number: Some(new), .. } => {
                (Some(new.owner), &new.kind, &new.key, new.number)
            }
            _ => return None,
        };
        let number = i64::try_from(number).ok()?;
        Some((owner.map(HolderId::uuid), kind.to_string(), key.as_str().to_owned(), number))
    })
}

fn discarded_tasks(entry: &Entry<Row>) -> impl Iterator<Item = Uuid> {
    entry.rows.iter().filter_map(|row| match row {
        Row::TaskDiscarded { id, .. } => Some(id.uuid()),
        _ => None,
    })
}

fn new_emails(entry: &Entry<Row>) -> impl Iterator<Item = &str> {
    entry.rows.iter().filter_map(|row| match row {
        Row::Holder(holder) => Some(holder.email.key()),
        _ => None,
    })
}
