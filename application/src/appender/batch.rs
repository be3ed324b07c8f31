//! One batch: load, decide, commit, answer.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use daybook_accounts::AccountId;
use daybook_events::{
    Entry, EntryOutcome, JournalError, Metadata, Position, RecordedEvent, StreamId, Timestamp,
    Version,
};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use lru::LruCache;
use tokio::sync::Notify;

use super::keys::{one_of_each_key, remembered, replayed};
use super::load::{Unreadable, load};
use super::stage::{Stage, Staged};
use super::{AppenderSettings, Ports, Waiting};
use crate::states::State;
use crate::{CommandError, Decision, Key, Outcome, Reads, Receipt, Rejection, Row, States, Tail};

/// For how long, and how far apart, the journal is asked what became of a transaction: a server that
/// was killed is back by then, mostly.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(15);
const LOOKUP_PAUSE: Duration = Duration::from_millis(200);
/// How many entries the cache is told of at a time.
const TOLD_AT_ONCE: usize = 64;

pub(super) struct Batcher {
    ports: Ports,
    settings: AppenderSettings,
    reads: Reads,
    tail: Arc<Tail>,
    new_tasks: Arc<Notify>,
    /// States as this process last committed them. Another process may have moved on; then the
    /// journal answers with a conflict, and they are loaded again.
    known: LruCache<Key, State>,
}

/// A command with the entry it was decided to.
struct Decided {
    waiting: Waiting,
    result: Result<Receipt, Rejection>,
    /// What the decision depends on or changed.
    touched: Vec<Key>,
    has_tasks: bool,
}

/// What became of the entries of a batch.
struct Committed {
    outcomes: Vec<EntryOutcome>,
    /// Whether the connection was lost over it.
    lost: bool,
}

impl Batcher {
    pub(super) fn new(
        ports: Ports,
        settings: AppenderSettings,
        reads: Reads,
        tail: Arc<Tail>,
        new_tasks: Arc<Notify>,
    ) -> Self {
        Self { ports, settings, reads, tail, new_tasks, known: LruCache::new(settings.states) }
    }

    pub(super) fn new_tasks(&self) -> Arc<Notify> {
        Arc::clone(&self.new_tasks)
    }

    /// Runs a batch; what has to be decided again comes back.
    pub(super) async fn run(&mut self, batch: Vec<Waiting>) -> Vec<Waiting> {
        let (batch, mut again) = one_of_each_key(batch);
        let (mut states, unreadable) = match self.states_for(&batch).await {
            Ok(loaded) => loaded,
            Err(error) => {
                answer_all(batch, &error);
                return again;
            }
        };
        let batch = answer_unreadable(batch, &states, &unreadable);
        if batch.is_empty() {
            return again;
        }
        let now = self.ports.clock.now();
        let (mut decided, mut entries) = (Vec::new(), Vec::new());
        let mut batch = batch.into_iter();
        while let Some(waiting) = batch.next() {
            match self.decide(waiting, &mut states, now) {
                Ok((one, entry)) => {
                    decided.push(one);
                    entries.push(entry);
                }
                Err((waiting, error)) => {
                    // The states may hold half of it: nothing else may be decided on them.
                    waiting.answer(Err(error));
                    self.known.clear();
                    let undone = decided.into_iter().map(|one: Decided| one.waiting);
                    return undone.chain(batch).chain(again).collect();
                }
            }
        }
        self.tail.take_in_hand(entries.iter().filter_map(|entry| Some(entry.events.first()?.id)));
        match self.commit(&entries).await {
            Ok(Committed { outcomes, lost }) => {
                let retried = self.settle(decided, entries, outcomes, &states).await;
                again.splice(0..0, retried);
                if lost {
                    // Whoever ended the session may have put right what is stored.
                    self.known.clear();
                }
            }
            Err(error) => {
                self.known.clear();
                answer_all(decided.into_iter().map(|one| one.waiting).collect(), &error);
            }
        }
        self.tail.nothing_in_hand();
        again
    }

    /// What the batch depends on, from memory where it is known.
    async fn states_for(
        &mut self,
        batch: &[Waiting],
    ) -> Result<(States, Unreadable), CommandError> {
        let mut unreadable = Unreadable::new();
        let (mut states, mut seen, mut missing) = (States::default(), HashSet::new(), Vec::new());
        for key in batch.iter().flat_map(|waiting| waiting.command.needs()) {
            if !seen.insert(key.clone()) {
                continue;
            }
            match self.known.get(&key) {
                Some(state) => states.set(key, state.clone()),
                None => missing.push(key),
            }
        }
        if !missing.is_empty() {
            unreadable = load(&self.ports, &missing, &mut states).await?;
        }
        // An order knows the account it was paid from, which gets its money back.
        let payers: Vec<_> = missing_payers(&states, &seen).into_iter().collect();
        let mut unknown = Vec::new();
        for key in payers {
            match self.known.get(&key) {
                Some(state) => states.set(key, state.clone()),
                None => unknown.push(key),
            }
        }
        if !unknown.is_empty() {
            unreadable.extend(load(&self.ports, &unknown, &mut states).await?);
        }
        Ok((states, unreadable))
    }

    /// Decides one command on the states as the ones before it left them. A refusal becomes an
    /// entry too: it is confirmed against the versions it was decided on.
    #[expect(clippy::result_large_err, reason = "the command goes back to its caller, once")]
    fn decide(
        &self,
        mut waiting: Waiting,
        states: &mut States,
        now: Timestamp,
    ) -> Result<(Decided, Entry<Row>), (Waiting, CommandError)> {
        waiting.decisions += 1;
        let actor = waiting.command.actor();
        let decision = waiting.command.decide(states, waiting.entry);
        let mut touched = waiting.command.needs();
        touched.extend(refunded_account(states, &touched));
        let expected = expected_versions(states, &touched);
        let (result, staged) = match decision {
            Ok(Decision { changes, receipt }) => {
                let stage =
                    Stage { ids: &*self.ports.ids, states, actor, now, staged: Staged::default() };
                match stage.apply(changes) {
                    Ok(staged) => (Ok(receipt), staged),
                    Err(error) => {
                        tracing::error!(%error, "a decision could not be written");
                        return Err((waiting, CommandError::Corrupt(error.to_string())));
                    }
                }
            }
            Err(rejection) => (Err(rejection), Staged::default()),
        };
        // What could not be remembered must not happen: the same key would do it twice.
        let idempotency = match remembered(&waiting, &result) {
            Ok(idempotency) => idempotency,
            Err(error) => {
                tracing::error!(%error, "an outcome could not be written");
                return Err((waiting, CommandError::Corrupt(error.to_string())));
            }
        };
        let entry = Entry {
            id: waiting.entry,
            expected: with_new_streams(expected, &staged),
            idempotency,
            events: staged.events,
            rows: staged.rows,
            timestamp: now,
            metadata: Metadata {
                actor,
                correlation_id: waiting.request.correlation_id,
                causation_id: None,
                traceparent: waiting.request.traceparent.clone(),
            },
        };
        touched.extend(staged.changed);
        Ok((Decided { waiting, result, touched, has_tasks: staged.has_tasks }, entry))
    }

    /// Commits the entries. Where the outcome is unknown, the journal is asked before anyone is
    /// answered: the batch is one transaction, so one entry that is found speaks for all.
    async fn commit(&self, entries: &[Entry<Row>]) -> Result<Committed, CommandError> {
        let reached = self.tail.reached();
        let lost = match self.ports.journal.append(entries).await {
            Ok(outcomes) => return Ok(Committed { outcomes, lost: false }),
            Err(JournalError::Unknown(reason)) => reason,
            Err(error) => {
                tracing::error!(%error, entries = entries.len(), "a batch was not committed");
                return Err(error.into());
            }
        };
        tracing::warn!(
            reason = lost,
            "the connection was lost in a commit; looking the entries up"
        );
        let ids: Vec<_> = entries.iter().map(|entry| entry.id).collect();
        let began = tokio::time::Instant::now();
        while began.elapsed() < LOOKUP_PATIENCE {
            tokio::time::sleep(LOOKUP_PAUSE).await;
            let Ok(found) = self.ports.journal.find_entries(&ids, reached).await else { continue };
            if found.iter().all(Option::is_none) {
                return Err(CommandError::Unavailable(lost));
            }
            let outcome = |position: Option<Position>| match position {
                Some(position) => EntryOutcome::Committed { position },
                // Without events it can't be told from one that was in conflict: decide it again.
                None => EntryOutcome::Conflict,
            };
            let outcomes = found.into_iter().map(outcome).collect();
            return Ok(Committed { outcomes, lost: true });
        }
        Err(CommandError::OutcomeUnknown(lost))
    }

    /// Remembers the states, fills the caches, tells the tail, and answers.
    async fn settle(
        &mut self,
        decided: Vec<Decided>,
        entries: Vec<Entry<Row>>,
        outcomes: Vec<EntryOutcome>,
        states: &States,
    ) -> Vec<Waiting> {
        // States that a conflict or a replay went into were never written.
        let spoilt: HashSet<Key> = decided
            .iter()
            .zip(&outcomes)
            .filter(|(_, outcome)| !matches!(outcome, EntryOutcome::Committed { .. }))
            .flat_map(|(one, _)| one.touched.iter().cloned())
            .collect();
        let kept: HashSet<Key> = decided
            .iter()
            .flat_map(|one| &one.touched)
            .filter(|key| !spoilt.contains(key))
            .cloned()
            .collect();
        for key in &spoilt {
            self.known.pop(key);
        }
        for key in kept {
            if let (Some(state), true) = (states.get(&key), is_kept(&key)) {
                self.known.put(key, state.clone());
            }
        }

        self.fill_caches(&decided, &entries, &outcomes, states, &spoilt).await;
        let (mut again, mut committed, mut has_tasks) = (Vec::new(), Vec::new(), false);
        let mut answers = Vec::with_capacity(decided.len());
        for ((one, entry), outcome) in decided.into_iter().zip(entries).zip(outcomes) {
            match outcome {
                EntryOutcome::Committed { position } => {
                    has_tasks |= one.has_tasks;
                    committed.extend(recorded(entry, position));
                    let outcome = Outcome { result: one.result, position, replayed: false };
                    answers.push((one.waiting, Ok(outcome)));
                }
                EntryOutcome::Replayed(stored) => {
                    let outcome = replayed(&one.waiting, &stored);
                    answers.push((one.waiting, outcome));
                }
                EntryOutcome::Conflict if one.waiting.decisions >= self.settings.decisions => {
                    answers.push((one.waiting, Err(CommandError::Contended)));
                }
                EntryOutcome::Conflict => again.push(one.waiting),
                EntryOutcome::Refused(reason) => {
                    answers.push((one.waiting, Err(CommandError::Refused(reason))));
                }
            }
        }
        self.tail.push(committed);
        if has_tasks {
            self.new_tasks.notify_waiters();
            self.new_tasks.notify_one();
        }
        for (waiting, outcome) in answers {
            waiting.answer(outcome);
        }
        again
    }

    /// Tells the cache what anybody is about to learn from an answer: what was written, and what a
    /// refusal or a repeated answer was based on, which another instance may have written without
    /// coming to tell the cache.
    async fn fill_caches(
        &self,
        decided: &[Decided],
        entries: &[Entry<Row>],
        outcomes: &[EntryOutcome],
        states: &States,
        spoilt: &HashSet<Key>,
    ) {
        let mut news: Vec<BoxFuture<'_, ()>> = Vec::new();
        for ((one, entry), outcome) in decided.iter().zip(entries).zip(outcomes) {
            match outcome {
                EntryOutcome::Committed { .. } if !entry.events.is_empty() => {
                    news.push(self.tell_of_rows(&entry.rows).boxed());
                }
                EntryOutcome::Committed { .. } | EntryOutcome::Replayed(_) => {
                    // What a repeated answer was based on may be newer than what is known here.
                    let is_replay = matches!(outcome, EntryOutcome::Replayed(_));
                    let touched: HashSet<_> = one.touched.iter().collect();
                    news.extend(touched.into_iter().map(|key| {
                        self.tell_of(states.get(key), is_replay || spoilt.contains(key)).boxed()
                    }));
                }
                EntryOutcome::Conflict | EntryOutcome::Refused(_) => {}
            }
        }
        stream::iter(news).buffer_unordered(TOLD_AT_ONCE).collect::<()>().await;
    }

    async fn tell_of_rows(&self, rows: &[Row]) {
        for row in rows {
            match row {
                // Nobody can have asked for what did not exist: its id was not known to anyone.
                Row::Account(account) if account.version > Version::new(1) => {
                    self.reads.account_written(account).await;
                }
                Row::Order(order) if order.version > Version::new(1) => {
                    self.reads.order_written(order).await;
                }
                _ => {}
            }
        }
    }

    /// Tells what an answer was based on; where that is in doubt, only that what is cached is, too.
    async fn tell_of(&self, state: Option<&State>, in_doubt: bool) {
        match state {
            Some(State::Account(account)) if in_doubt => {
                self.reads.account_doubted(account.id, account.holder_id).await;
            }
            Some(State::Account(account)) => self.reads.account_written(account).await,
            Some(State::Order(order)) if in_doubt => {
                self.reads.order_doubted(order.id, order.holder_id).await;
                // Its cancellation may have given money back.
                let payer = order.payment.as_ref().and_then(|payment| payment.account_id);
                if let Some(id) = payer.map(AccountId::from_uuid) {
                    self.reads.account_doubted(id, order.holder_id).await;
                }
            }
            Some(State::Order(order)) => self.reads.order_written(order).await,
            Some(
                State::Topic(_)
                | State::Task(_)
                | State::Asked(_)
                | State::UniqueTask(_)
                | State::Holder(_)
                | State::UrgentTasks(_)
                | State::EmailTaken,
            )
            | None => {}
        }
    }
}

fn answer_all(batch: Vec<Waiting>, error: &CommandError) {
    for waiting in batch {
        waiting.answer(Err(error.clone()));
    }
}

/// Answers the commands that need something that can't be read; the others come back.
fn answer_unreadable(
    batch: Vec<Waiting>,
    states: &States,
    unreadable: &Unreadable,
) -> Vec<Waiting> {
    if unreadable.is_empty() {
        return batch;
    }
    let mut readable = Vec::with_capacity(batch.len());
    for waiting in batch {
        let needs = waiting.command.needs();
        let payer = refunded_account(states, &needs);
        match needs.iter().chain(&payer).find_map(|key| unreadable.get(key)) {
            Some(error) => waiting.answer(Err(error.clone())),
            None => readable.push(waiting),
        }
    }
    readable
}

/// The accounts that orders of `seen` were paid from and that are not loaded yet.
fn missing_payers(states: &States, seen: &HashSet<Key>) -> HashSet<Key> {
    seen.iter().filter_map(|key| payer(states, key)).filter(|key| !seen.contains(key)).collect()
}

fn payer(states: &States, key: &Key) -> Option<Key> {
    let State::Order(order) = states.get(key)? else { return None };
    let account = order.refundable()?.account_id?;
    Some(Key::Account(AccountId::from_uuid(account)))
}

/// The account that a decision on these keys may give money back to: it depends on it as well.
fn refunded_account(states: &States, keys: &[Key]) -> Option<Key> {
    keys.iter().find_map(|key| payer(states, key)).filter(|key| !keys.contains(key))
}

fn expected_versions(states: &States, keys: &[Key]) -> Vec<(StreamId, Version)> {
    keys.iter().filter_map(|key| states.expectation(key)).collect()
}

/// Streams that the entry begins are expected to be empty.
fn with_new_streams(
    mut expected: Vec<(StreamId, Version)>,
    staged: &Staged,
) -> Vec<(StreamId, Version)> {
    for event in &staged.events {
        if event.version == Version::new(1)
            && expected.iter().all(|(stream, _)| *stream != event.stream)
        {
            expected.push((event.stream.clone(), Version::ZERO));
        }
    }
    expected
}

/// Workers change tasks behind the appender's back, and addresses and holders are seldom asked about.
fn is_kept(key: &Key) -> bool {
    match key {
        Key::Account(_) | Key::Order(_) | Key::Topic(_) => true,
        Key::Task(_)
        | Key::Asked(_)
        | Key::UniqueTask(..)
        | Key::UrgentTasks(_)
        | Key::Holder(_)
        | Key::Email(_) => false,
    }
}

/// The events of an entry whose last has this position.
fn recorded(entry: Entry<Row>, last: Position) -> impl Iterator<Item = Arc<RecordedEvent>> {
    let count = u64::try_from(entry.events.len()).unwrap_or(u64::MAX);
    let before = Position::new(last.get().saturating_sub(count));
    let (timestamp, metadata) = (entry.timestamp, entry.metadata);
    (1..).zip(entry.events).map(move |(n, event)| {
        Arc::new(RecordedEvent {
            position: before.plus(n),
            id: event.id,
            stream: event.stream,
            version: event.version,
            event_type: event.event_type.into(),
            timestamp,
            data: event.data,
            owner: event.owner,
            order_id: event.order_id,
            metadata: metadata.clone(),
        })
    })
}
