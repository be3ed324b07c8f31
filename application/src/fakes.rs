//! Stand-ins for the ports, in memory, for the tests of this crate.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use daybook_accounts::{
    Account, AccountId, AccountName, AccountPage, AccountRepository, AccountStatus,
    RepositoryError as AccountsError, StatementEntry, StatementPage,
};
use daybook_events::{
    BusError, Clock, Entry, EntryId, EntryOutcome, EventBus, EventData, EventFilter, EventId,
    EventSignals, HolderId, IdSource, Journal, JournalError, Metadata, Placed, Position,
    RecordedEvent, Signal, StoredOutcome, StreamId, Timestamp, Version,
};
use daybook_money::Money;
use daybook_orders::{Order, OrderId, OrderPage, OrderRepository, RepositoryError as OrdersError};
use futures_util::StreamExt;
use tokio::sync::{Semaphore, broadcast};
use tokio_stream::wrappers::BroadcastStream;
use uuid::Uuid;

use crate::{Caller, Row, Tail, TailBounds};

pub(crate) fn holder(number: u128) -> HolderId {
    HolderId::from_uuid(Uuid::from_u128(number))
}

pub(crate) fn caller(number: u128) -> Caller {
    Caller { holder_id: holder(number), operator: false }
}

/// An open account with 100 EUR on it.
pub(crate) fn account(number: u128, holder_id: HolderId) -> Account {
    let hundred = Money::parse("100.00", "EUR".parse().unwrap()).unwrap();
    Account {
        id: AccountId::from_uuid(Uuid::from_u128(number)),
        holder_id,
        name: AccountName::new("Everyday").unwrap(),
        initial_balance: hundred,
        balance: hundred,
        status: AccountStatus::Open,
        created_at: Timestamp::from_micros(0),
        version: Version::new(1),
    }
}

/// An event of an order, whatever it says.
pub(crate) fn event(position: u64, owner: Option<HolderId>) -> RecordedEvent {
    RecordedEvent {
        position: Position::new(position),
        id: EventId::from_uuid(Uuid::from_u128(position.into())),
        stream: StreamId::new("order", position % 2),
        version: Version::new(1),
        event_type: "OrderCreated".into(),
        timestamp: Timestamp::from_micros(0),
        data: EventData::of(&position),
        owner,
        order_id: None,
        metadata: Metadata::default(),
    }
}

/// A tail that keeps this many events.
pub(crate) fn tail(events: usize) -> Arc<Tail> {
    Arc::new(Tail::new(TailBounds { events, bytes: 8 << 20 }))
}

/// Numbers, one after another.
#[derive(Default)]
pub(crate) struct FakeIds(AtomicU64);

impl IdSource for FakeIds {
    fn next(&self) -> Uuid {
        Uuid::from_u128(1_000_000 + u128::from(self.0.fetch_add(1, Ordering::Relaxed)))
    }
}

/// A clock that stands still.
#[derive(Default)]
pub(crate) struct FakeClock(AtomicI64);

impl FakeClock {
    pub(crate) fn at(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.micros()))
    }

    pub(crate) fn set(&self, now: Timestamp) {
        self.0.store(now.micros(), Ordering::Relaxed);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// A bus that tells what the test has it tell.
pub(crate) struct FakeBus(broadcast::Sender<Signal>);

impl FakeBus {
    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(1_024))
    }

    pub(crate) fn tell(&self, signal: Signal) {
        // Whether anyone listens is up to the test.
        let _ = self.0.send(signal);
    }
}

#[async_trait]
impl EventBus for FakeBus {
    async fn publish(&self, events: Arc<[Arc<RecordedEvent>]>) -> Result<(), BusError> {
        self.tell(Signal::Events(events));
        Ok(())
    }

    async fn subscribe(&self) -> Result<EventSignals, BusError> {
        let signals = BroadcastStream::new(self.0.subscribe());
        Ok(Box::pin(signals.map(|signal| signal.unwrap_or(Signal::Missed))))
    }

    async fn check(&self) -> Result<(), BusError> {
        Ok(())
    }
}

/// What becomes of a batch that is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing is written, and that is said.
    Unavailable,
    /// Nothing is written, and nothing is said.
    LostBefore,
    /// It is written, and nothing is said.
    LostAfter,
    /// Nothing is written, as if others had been quicker every time.
    Conflict,
}

/// A journal and the read models that are written with it. Two appenders over the same store are
/// like two processes over the same database.
pub(crate) struct FakeStore {
    log: Mutex<Log>,
    fates: Mutex<VecDeque<Fate>>,
    batches: Mutex<Vec<Vec<Entry<Row>>>>,
    /// How many more batches are appended before one has to wait.
    pub(crate) gate: Semaphore,
    unreadable: AtomicBool,
    finds: AtomicUsize,
    looked_past: Mutex<Option<Position>>,
    ids: Arc<FakeIds>,
}

#[derive(Default)]
struct Log {
    events: Vec<RecordedEvent>,
    entries: HashMap<EntryId, Position>,
    outcomes: HashMap<(Option<HolderId>, String), StoredOutcome>,
    accounts: HashMap<AccountId, Account>,
    orders: HashMap<OrderId, Order>,
    checkpoints: HashMap<String, Position>,
}

impl FakeStore {
    pub(crate) fn new() -> Self {
        Self {
            log: Mutex::default(),
            fates: Mutex::default(),
            batches: Mutex::default(),
            gate: Semaphore::new(1_000),
            unreadable: AtomicBool::new(false),
            finds: AtomicUsize::new(0),
            looked_past: Mutex::default(),
            ids: Arc::default(),
        }
    }

    /// Ids that are nowhere in the store yet.
    pub(crate) fn ids(&self) -> &Arc<FakeIds> {
        &self.ids
    }

    /// The next batches meet these fates, one each.
    pub(crate) fn fated(&self, fates: impl IntoIterator<Item = Fate>) {
        self.fates.lock().unwrap().extend(fates);
    }

    pub(crate) fn set_unreadable(&self, unreadable: bool) {
        self.unreadable.store(unreadable, Ordering::Relaxed);
    }

    /// Every batch that was to be appended so far.
    pub(crate) fn batches(&self) -> Vec<Vec<Entry<Row>>> {
        self.batches.lock().unwrap().clone()
    }

    /// Past which position entries were looked for last.
    pub(crate) fn looked_past(&self) -> Option<Position> {
        *self.looked_past.lock().unwrap()
    }

    /// How often accounts or orders were looked up.
    pub(crate) fn finds(&self) -> usize {
        self.finds.load(Ordering::Relaxed)
    }

    pub(crate) fn events(&self) -> Vec<RecordedEvent> {
        self.log().events.clone()
    }

    /// Puts events into the log that no entry brought.
    pub(crate) fn add_events(&self, events: impl IntoIterator<Item = RecordedEvent>) {
        self.log().events.extend(events);
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap()
    }

    fn readable(&self) -> Result<(), JournalError> {
        if self.unreadable.load(Ordering::Relaxed) {
            return Err(JournalError::Unavailable("unplugged".to_owned()));
        }
        Ok(())
    }
}

impl Log {
    fn head(&self) -> Position {
        self.events.last().map_or(Position::ZERO, |event| event.position)
    }

    fn version(&self, stream: &StreamId) -> Version {
        let last = self.events.iter().rfind(|event| event.stream == *stream);
        last.map_or(Version::ZERO, |event| event.version)
    }

    fn append(&mut self, batch: &[Entry<Row>]) -> Vec<EntryOutcome> {
        let before: Vec<_> = self.outcomes.keys().cloned().collect();
        let key = |entry: &Entry<Row>| {
            let record = entry.idempotency.as_ref()?;
            Some((record.scope, record.key.as_str().to_owned()))
        };
        let (mut outcomes, mut left_out) = (Vec::new(), HashSet::new());
        for entry in batch {
            let moved = |(stream, version): &(StreamId, Version)| {
                self.version(stream) != *version || left_out.contains(stream)
            };
            let outcome = match key(entry).and_then(|key| self.outcomes.get(&key)) {
                Some(stored) if key(entry).is_some_and(|key| before.contains(&key)) => {
                    EntryOutcome::Replayed(stored.clone())
                }
                Some(_) => EntryOutcome::Conflict,
                None if entry.expected.iter().any(moved) => EntryOutcome::Conflict,
                None => self.commit(entry),
            };
            if !matches!(outcome, EntryOutcome::Committed { .. }) {
                left_out.extend(entry.events.iter().map(|event| event.stream.clone()));
            }
            outcomes.push(outcome);
        }
        outcomes
    }

    fn commit(&mut self, entry: &Entry<Row>) -> EntryOutcome {
        for event in entry.events.iter().cloned() {
            self.events.push(RecordedEvent {
                position: self.head().next(),
                id: event.id,
                stream: event.stream,
                version: event.version,
                event_type: event.event_type.into(),
                timestamp: entry.timestamp,
                data: event.data,
                owner: event.owner,
                order_id: event.order_id,
                metadata: entry.metadata.clone(),
            });
        }
        let position = self.head();
        if !entry.events.is_empty() {
            self.entries.insert(entry.id, position);
        }
        for row in &entry.rows {
            match row {
                Row::Account(account) => drop(self.accounts.insert(account.id, account.clone())),
                Row::Order(order) => drop(self.orders.insert(order.id, order.clone())),
                Row::Holder(_)
                | Row::PasswordChanged { .. }
                | Row::SessionEnded { .. }
                | Row::Posting(_)
                | Row::Task(_)
                | Row::TaskRetried { .. }
                | Row::TaskPutBack { .. }
                | Row::TaskDiscarded { .. } => {}
            }
        }
        if let Some(record) = &entry.idempotency {
            let stored = StoredOutcome {
                fingerprint: record.fingerprint,
                outcome: record.outcome.clone(),
                position,
            };
            self.outcomes.insert((record.scope, record.key.as_str().to_owned()), stored);
        }
        EntryOutcome::Committed { position }
    }
}

#[async_trait]
impl Journal<Row> for FakeStore {
    async fn append(&self, batch: &[Entry<Row>]) -> Result<Vec<EntryOutcome>, JournalError> {
        self.batches.lock().unwrap().push(batch.to_vec());
        self.gate.acquire().await.unwrap().forget();
        let fate = self.fates.lock().unwrap().pop_front();
        match fate {
            None => Ok(self.log().append(batch)),
            Some(Fate::Conflict) => Ok(vec![EntryOutcome::Conflict; batch.len()]),
            Some(Fate::Unavailable) => Err(JournalError::Unavailable("unplugged".to_owned())),
            Some(Fate::LostBefore) => Err(JournalError::Unknown("cut off".to_owned())),
            Some(Fate::LostAfter) => {
                self.log().append(batch);
                Err(JournalError::Unknown("cut off".to_owned()))
            }
        }
    }

    async fn check(&self) -> Result<(), JournalError> {
        self.readable()
    }

    async fn find_entries(
        &self,
        entries: &[EntryId],
        after: Position,
    ) -> Result<Vec<Option<Position>>, JournalError> {
        self.readable()?;
        *self.looked_past.lock().unwrap() = Some(after);
        let log = self.log();
        let after = if log.head() < after { Position::ZERO } else { after };
        let found = |id| log.entries.get(id).copied().filter(|position| *position > after);
        Ok(entries.iter().map(found).collect())
    }

    async fn versions(&self, streams: &[StreamId]) -> Result<Vec<Version>, JournalError> {
        self.readable()?;
        let log = self.log();
        Ok(streams.iter().map(|stream| log.version(stream)).collect())
    }

    async fn read(
        &self,
        filter: &EventFilter,
        after: Position,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, JournalError> {
        self.readable()?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let log = self.log();
        let events = log.events.iter().filter(|e| e.position > after && filter.matches(e));
        Ok(events.take(limit).cloned().collect())
    }

    async fn read_within(
        &self,
        filter: &EventFilter,
        after: Position,
        limit: u32,
        bytes: u64,
    ) -> Result<Vec<RecordedEvent>, JournalError> {
        let mut events = self.read(filter, after, limit).await?;
        let mut sum = 0;
        events.retain(|event| {
            let room = sum < bytes;
            sum += u64::try_from(event.data.text().len()).unwrap();
            room
        });
        Ok(events)
    }

    async fn head(&self) -> Result<Position, JournalError> {
        self.readable()?;
        Ok(self.log().head())
    }

    async fn find_outcome(
        &self,
        scope: Option<HolderId>,
        key: &str,
    ) -> Result<Option<StoredOutcome>, JournalError> {
        self.readable()?;
        Ok(self.log().outcomes.get(&(scope, key.to_owned())).cloned())
    }

    async fn forget_outcomes(&self, _: Timestamp, _: u32) -> Result<u64, JournalError> {
        Ok(0)
    }

    async fn checkpoint(&self, reader: &str) -> Result<Position, JournalError> {
        self.readable()?;
        Ok(self.log().checkpoints.get(reader).copied().unwrap_or(Position::ZERO))
    }

    async fn save_checkpoint(&self, reader: &str, position: Position) -> Result<(), JournalError> {
        self.readable()?;
        let mut log = self.log();
        let saved = log.checkpoints.entry(reader.to_owned()).or_default();
        *saved = position.max(*saved);
        Ok(())
    }
}

#[async_trait]
impl AccountRepository for FakeStore {
    async fn find(&self, ids: &[AccountId]) -> Result<Vec<Account>, AccountsError> {
        self.finds.fetch_add(1, Ordering::Relaxed);
        self.readable().map_err(|error| AccountsError::Unavailable(error.to_string()))?;
        let log = self.log();
        Ok(ids.iter().filter_map(|id| log.accounts.get(id).cloned()).collect())
    }

    async fn list(&self, _: &AccountPage) -> Result<Vec<Placed<Account>>, AccountsError> {
        Ok(Vec::new())
    }

    async fn statement(&self, _: &StatementPage) -> Result<Vec<StatementEntry>, AccountsError> {
        Ok(Vec::new())
    }

    async fn transfer(
        &self,
        _: daybook_events::TransferId,
    ) -> Result<Option<daybook_accounts::Transfer>, AccountsError> {
        Ok(None)
    }
}

#[async_trait]
impl OrderRepository for FakeStore {
    async fn find(&self, ids: &[OrderId]) -> Result<Vec<Order>, OrdersError> {
        self.finds.fetch_add(1, Ordering::Relaxed);
        self.readable().map_err(|error| OrdersError::Unavailable(error.to_string()))?;
        let log = self.log();
        Ok(ids.iter().filter_map(|id| log.orders.get(id).cloned()).collect())
    }

    async fn list(&self, _: &OrderPage) -> Result<Vec<Placed<Order>>, OrdersError> {
        Ok(Vec::new())
    }
}

/// What `happens` answers, which must not take long, on a clock that may be paused.
pub(crate) async fn soon<T>(happens: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(1), happens).await.unwrap()
}
