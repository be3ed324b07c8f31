//! What becomes of commands, beside a journal that fails in every way and beside other processes.
#![expect(clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

mod histories;
mod keys;
mod loading;
mod other_processes;
mod tasks;
mod told;
mod unknown_outcomes;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use daybook_accounts::{
    Account, AccountEvent, AccountId, AccountRejection, MockHolderRepository, OpenAccount,
    Reference,
};
use daybook_events::{
    Aggregate, Entry, EventPayload, Fingerprint, HolderId, IdempotencyKey, MockCache,
    MockTaskRepository, NewTask, Position, Priority, StreamId, TaskId, TaskKind, Timestamp,
    TransferId, Version,
};
use daybook_money::{Amount, Money};
use daybook_orders::{Contents, LineName, OrderId, OrderRejection, RequestedLine};
use futures_util::FutureExt;
use proptest::prelude::*;
use serde_json::value::RawValue;
use tokio::time::Instant;
use uuid::Uuid;

use super::*;
use crate::fakes::{FakeClock, FakeStore, Fate, account, caller, holder, soon};
use crate::{
    Change, Commands, Decision, Key, NewOrder, Passwords, ReadCache, Receipt, Rejection,
    RequestKey, States,
};

const NOW: Timestamp = Timestamp::from_micros(1_795_392_000_000_000);
const ME: u128 = 7;

/// What a test wants done, by the holder `ME` unless it says otherwise.
struct Act {
    actor: HolderId,
    needs: Vec<Key>,
    #[expect(clippy::type_complexity, reason = "it is the signature of Command::decide")]
    decide: Box<dyn Fn(&States, EntryId) -> Result<Decision, Rejection> + Send + Sync>,
    decided: Arc<AtomicU32>,
}

impl Act {
    fn new(
        needs: Vec<Key>,
        decide: impl Fn(&States, EntryId) -> Result<Decision, Rejection> + Send + Sync + 'static,
    ) -> Self {
        Self { actor: holder(ME), needs, decide: Box::new(decide), decided: Arc::default() }
    }
}

impl Command for Act {
    fn actor(&self) -> Option<HolderId> {
        Some(self.actor)
    }

    fn needs(&self) -> Vec<Key> {
        self.needs.clone()
    }

    fn decide(&self, states: &States, entry: EntryId) -> Result<Decision, Rejection> {
        self.decided.fetch_add(1, Ordering::Relaxed);
        (self.decide)(states, entry)
    }
}

fn account_id(number: u128) -> AccountId {
    AccountId::from_uuid(Uuid::from_u128(number))
}

fn euros(amount: &str) -> Money {
    Money::parse(amount, "EUR".parse().unwrap()).unwrap()
}

fn text(amount: &str) -> Amount {
    Amount::Text(amount.to_owned())
}

/// Opens an account with 100 EUR on it.
fn open(number: u128) -> Act {
    Act::new(Vec::new(), move |_, _| {
        let account = account(number, holder(ME));
        let opened = Account::open(OpenAccount {
            account_id: account.id,
            holder_id: account.holder_id,
            name: account.name,
            currency: account.balance.currency(),
            initial_balance: Some(text("100")),
            opened_at: account.created_at,
        })?;
        let changes = vec![Change::Account(account_id(number), opened)];
        Ok(Decision { changes, receipt: Receipt::AccountOpened(account_id(number)) })
    })
}

fn withdraw(number: u128, amount: &'static str) -> Act {
    Act::new(vec![Key::Account(account_id(number))], move |states, _| {
        let event =
            states.own_account(account_id(number), holder(ME))?.withdraw(&text(amount), None)?;
        let changes = vec![Change::Account(account_id(number), event)];
        Ok(Decision { changes, receipt: Receipt::Done })
    })
}

/// Opens an account that may be there already, without looking.
fn open_blindly(number: u128) -> Act {
    Act { needs: vec![Key::Account(account_id(number))], ..open(number) }
}

fn keyed(key: &str, fingerprint: u8) -> Request {
    let key = RequestKey {
        key: IdempotencyKey::new(key).unwrap(),
        fingerprint: Fingerprint::new([fingerprint; 32]),
    };
    Request { key: Some(key), ..Request::default() }
}

const fn at_most(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

const SETTINGS: AppenderSettings =
    AppenderSettings { queue: at_most(64), batch: at_most(32), states: at_most(8), decisions: 3 };

/// The ports of an appender over a store, and what the store does not have.
fn ports(
    store: &Arc<FakeStore>,
    tasks: MockTaskRepository,
    holders: MockHolderRepository,
) -> Ports {
    Ports {
        journal: Arc::clone(store) as _,
        accounts: Arc::clone(store) as _,
        orders: Arc::clone(store) as _,
        holders: Arc::new(holders),
        tasks: Arc::new(tasks),
        clock: Arc::new(FakeClock::at(NOW)),
        ids: Arc::clone(store.ids()) as _,
    }
}

/// An appender over a store, and the task to be run for it.
struct Process {
    appender: Appender,
    task: Option<AppenderTask>,
    tail: Arc<Tail>,
}

impl Process {
    fn new(store: &Arc<FakeStore>, settings: AppenderSettings, cache: Option<ReadCache>) -> Self {
        let ports = ports(store, MockTaskRepository::new(), MockHolderRepository::new());
        Self::with(ports, store, settings, cache)
    }

    fn with(
        ports: Ports,
        store: &Arc<FakeStore>,
        settings: AppenderSettings,
        cache: Option<ReadCache>,
    ) -> Self {
        let reads = Reads::new(Arc::clone(store) as _, Arc::clone(store) as _, cache);
        let tail = crate::fakes::tail(64);
        let (appender, task) = Appender::new(ports, settings, reads, Arc::clone(&tail));
        Self { appender, task: Some(task), tail }
    }

    /// One that runs.
    fn running(store: &Arc<FakeStore>) -> Self {
        let mut process = Self::new(store, SETTINGS, None);
        process.run();
        process
    }

    fn run(&mut self) {
        tokio::spawn(self.task.take().unwrap().run());
    }

    fn submit(&self, act: Act) -> Submission {
        self.appender.submit(Box::new(act), Request::default()).unwrap()
    }

    fn submit_keyed(&self, act: Act, request: Request) -> Submission {
        self.appender.submit(Box::new(act), request).unwrap()
    }

    async fn execute(&self, act: Act) -> Result<Outcome, CommandError> {
        soon(self.appender.execute(act, Request::default())).await
    }
}

/// The outcomes of submissions, in their order.
async fn outcomes(
    submissions: impl IntoIterator<Item = Submission>,
) -> Vec<Result<Outcome, CommandError>> {
    let mut outcomes = Vec::new();
    for submission in submissions {
        outcomes.push(soon(submission.outcome()).await);
    }
    outcomes
}

fn positions(outcomes: &[Result<Outcome, CommandError>]) -> Vec<u64> {
    outcomes.iter().map(|outcome| outcome.as_ref().unwrap().position.get()).collect()
}

fn batch_sizes(store: &FakeStore) -> Vec<usize> {
    store.batches().iter().map(Vec::len).collect()
}

async fn balance(store: &FakeStore, number: u128) -> Money {
    let found = AccountRepository::find(store, &[account_id(number)]).await.unwrap();
    found.first().unwrap().balance
}

/// The sum of the postings of everything that was to be appended.
fn posted(store: &FakeStore) -> i64 {
    let entries = store.batches().into_iter().flatten();
    let rows = entries.flat_map(|entry| entry.rows);
    rows.map(|row| if let Row::Posting(posting) = row { posting.amount.minor() } else { 0 }).sum()
}

const REFUSED: Result<Receipt, Rejection> =
    Err(Rejection::Account(AccountRejection::InsufficientFunds));

#[tokio::test]
async fn commands_that_wait_are_committed_together_in_their_order() {
    let store = Arc::new(FakeStore::new());
    let mut process = Process::new(&store, SETTINGS, None);
    let submissions: Vec<_> = (1..=5).map(|number| process.submit(open(number))).collect();
    process.run();
    let outcomes = outcomes(submissions).await;
    assert_eq!(positions(&outcomes), [1, 2, 3, 4, 5]);
    for (number, outcome) in (1..).zip(outcomes) {
        let receipt = outcome.unwrap().result.unwrap();
        assert_eq!(receipt, Receipt::AccountOpened(account_id(number)));
    }
    assert_eq!(batch_sizes(&store), [5]);
}

#[tokio::test]
async fn while_a_batch_is_committed_the_next_gathers() {
    let store = Arc::new(FakeStore::new());
    store.gate.forget_permits(usize::MAX);
    let process = Process::running(&store);
    let first = process.submit(open(1));
    soon(async {
        while store.batches().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let others: Vec<_> = (2..=4).map(|number| process.submit(open(number))).collect();
    store.gate.add_permits(2);
    assert_eq!(positions(&outcomes([first].into_iter().chain(others)).await), [1, 2, 3, 4]);
    assert_eq!(batch_sizes(&store), [1, 3]);
}

#[tokio::test]
async fn a_batch_is_bounded() {
    let store = Arc::new(FakeStore::new());
    let settings = AppenderSettings { batch: at_most(2), ..SETTINGS };
    let mut process = Process::new(&store, settings, None);
    let submissions: Vec<_> = (1..=5).map(|number| process.submit(open(number))).collect();
    process.run();
    assert_eq!(positions(&outcomes(submissions).await), [1, 2, 3, 4, 5]);
    assert_eq!(batch_sizes(&store), [2, 2, 1]);
}

#[tokio::test]
async fn a_command_is_decided_on_what_those_before_it_left() {
    let store = Arc::new(FakeStore::new());
    let mut process = Process::new(&store, SETTINGS, None);
    let acts = [open(1), withdraw(1, "60"), withdraw(1, "60"), withdraw(1, "40")];
    let submissions = acts.map(|act| process.submit(act));
    process.run();
    let outcomes = outcomes(submissions).await;
    assert_eq!(outcomes[1].as_ref().unwrap().result, Ok(Receipt::Done));
    assert_eq!(outcomes[2].as_ref().unwrap().result, REFUSED);
    assert_eq!(outcomes[3].as_ref().unwrap().result, Ok(Receipt::Done));
    assert_eq!(positions(&outcomes), [1, 2, 2, 3]);
    assert_eq!(batch_sizes(&store), [4]);
    assert!(balance(&store, 1).await.is_zero());
}

#[tokio::test]
async fn a_state_is_loaded_once_and_then_known() {
    let store = Arc::new(FakeStore::new());
    Process::running(&store).execute(open(1)).await.unwrap();
    let process = Process::running(&store);
    for _ in 0..5 {
        process.execute(withdraw(1, "1")).await.unwrap().result.unwrap();
    }
    assert_eq!(store.finds(), 1);
}

#[tokio::test]
async fn an_entry_names_what_it_was_decided_on_and_when_and_for_whom() {
    let store = Arc::new(FakeStore::new());
    let process = Process::running(&store);
    let request = Request {
        correlation_id: Some(Uuid::from_u128(5)),
        traceparent: Some("00-trace".to_owned()),
        key: None,
    };
    soon(process.appender.execute(open(1), request)).await.unwrap();
    process.execute(withdraw(1, "1")).await.unwrap().result.unwrap();
    let batches = store.batches();
    let stream = account_id(1).stream();
    let expected = |batch: usize| batches[batch][0].expected.clone();
    assert_eq!(expected(0), [(stream.clone(), Version::ZERO)]);
    assert_eq!(expected(1), [(stream.clone(), Version::new(1))]);
    let opened = &store.events()[0];
    assert_eq!((&opened.stream, opened.version, opened.timestamp), (&stream, Version::new(1), NOW));
    assert_eq!(opened.owner, Some(holder(ME)));
    assert_eq!(opened.metadata.actor, Some(holder(ME)));
    assert_eq!(opened.metadata.correlation_id, Some(Uuid::from_u128(5)));
    assert_eq!(opened.metadata.traceparent.as_deref(), Some("00-trace"));
}

#[tokio::test]
async fn a_refusal_is_an_entry_without_events_on_the_versions_it_was_decided_on() {
    let store = Arc::new(FakeStore::new());
    let process = Process::running(&store);
    process.execute(open(1)).await.unwrap();
    let refused = process.execute(withdraw(1, "100.01")).await.unwrap();
    assert_eq!((refused.result, refused.position), (REFUSED, Position::new(1)));
    let missing = process.execute(withdraw(2, "1")).await.unwrap();
    assert_eq!(missing.result, Err(Rejection::AccountNotFound));
    let batches = store.batches();
    for (batch, stream, version) in [(1, 1, Version::new(1)), (2, 2, Version::ZERO)] {
        let entry: &Entry<Row> = &batches[batch][0];
        assert!(entry.events.is_empty() && entry.rows.is_empty());
        assert_eq!(entry.expected, [(account_id(stream).stream(), version)]);
    }
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let store = Arc::new(FakeStore::new());
    let settings = AppenderSettings { queue: at_most(2), ..SETTINGS };
    let mut process = Process::new(&store, settings, None);
    let taken = [open(1), open(2)].map(|act| process.submit(act));
    let refused = process.appender.submit(Box::new(open(3)), Request::default());
    assert_eq!(refused.map(drop), Err(CommandError::Overloaded));
    assert_eq!(process.appender.load(), Load { waiting: 2, limit: 2 });
    process.run();
    assert_eq!(positions(&outcomes(taken).await), [1, 2]);
    assert_eq!(process.appender.load(), Load { waiting: 0, limit: 2 });
    process.execute(open(3)).await.unwrap();
}

#[tokio::test]
async fn what_waits_is_answered_before_the_appender_stops() {
    let store = Arc::new(FakeStore::new());
    let Process { appender, task, .. } = Process::new(&store, SETTINGS, None);
    let submission = appender.submit(Box::new(open(1)), Request::default()).unwrap();
    // A caller that has gone changes nothing.
    drop(appender.submit(Box::new(open(2)), Request::default()).unwrap());
    drop(appender);
    soon(task.unwrap().run()).await;
    assert!(submission.outcome().now_or_never().unwrap().is_ok());
    assert_eq!(store.events().len(), 2);
}

#[tokio::test]
async fn a_decision_that_contradicts_the_state_fails_alone() {
    let store = Arc::new(FakeStore::new());
    let mut process = Process::new(&store, SETTINGS, None);
    let acts = [open(1), withdraw(1, "1"), open_blindly(1), withdraw(1, "2")];
    let submissions = acts.map(|act| process.submit(act));
    process.run();
    let outcomes = outcomes(submissions).await;
    assert!(matches!(outcomes[2], Err(CommandError::Corrupt(_))), "{:?}", outcomes[2]);
    for position in [0, 1, 3] {
        assert!(outcomes[position].as_ref().is_ok_and(|outcome| outcome.result.is_ok()));
    }
    assert_eq!(balance(&store, 1).await, euros("97"));
}
