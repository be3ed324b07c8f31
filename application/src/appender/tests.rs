//! What becomes of commands, beside a journal that fails in every way and beside other processes.
#![expect(clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

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

/// An appender over a store, and the task to be run for it.
struct Process {
    appender: Appender,
    task: Option<AppenderTask>,
    tail: Arc<Tail>,
}

impl Process {
    fn new(store: &Arc<FakeStore>, settings: AppenderSettings, cache: Option<ReadCache>) -> Self {
        let ports = Ports {
            journal: Arc::clone(store) as _,
            accounts: Arc::clone(store) as _,
            orders: Arc::clone(store) as _,
            holders: Arc::new(MockHolderRepository::new()),
            tasks: Arc::new(MockTaskRepository::new()),
            clock: Arc::new(FakeClock::at(NOW)),
            ids: Arc::clone(store.ids()) as _,
        };
        let reads = Reads::new(Arc::clone(store) as _, Arc::clone(store) as _, cache);
        let tail = Arc::new(Tail::new(64));
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
async fn a_journal_that_is_unavailable_fails_the_whole_batch_and_nothing_is_taken_for_done() {
    let store = Arc::new(FakeStore::new());
    Process::running(&store).execute(open(1)).await.unwrap();
    let mut process = Process::new(&store, SETTINGS, None);
    store.fated([Fate::Unavailable]);
    let submissions = [open(2), withdraw(1, "80"), withdraw(1, "20")];
    let submissions = submissions.map(|act| process.submit(act));
    process.run();
    for outcome in outcomes(submissions).await {
        assert!(matches!(outcome, Err(CommandError::Unavailable(_))), "{outcome:?}");
    }
    assert_eq!(store.events().len(), 1);
    process.execute(withdraw(1, "100")).await.unwrap().result.unwrap();
    assert!(balance(&store, 1).await.is_zero());
}

#[tokio::test]
async fn a_repository_that_is_unavailable_fails_what_needs_it() {
    let store = Arc::new(FakeStore::new());
    Process::running(&store).execute(open(1)).await.unwrap();
    let process = Process::running(&store);
    store.set_unreadable(true);
    let failed = process.execute(withdraw(1, "1")).await;
    assert!(matches!(failed, Err(CommandError::Unavailable(_))), "{failed:?}");
    store.set_unreadable(false);
    process.execute(withdraw(1, "1")).await.unwrap().result.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_commit_of_unknown_outcome_that_is_found_is_done() {
    let store = Arc::new(FakeStore::new());
    let mut process = Process::new(&store, SETTINGS, None);
    store.fated([Fate::LostAfter]);
    let submissions = [open(1), withdraw(1, "1"), open(2)].map(|act| process.submit(act));
    process.run();
    let outcomes = outcomes(submissions).await;
    assert_eq!(positions(&outcomes), [1, 2, 3]);
    assert!(outcomes.iter().all(|o| o.as_ref().is_ok_and(|o| o.result.is_ok() && !o.replayed)));
    assert_eq!((batch_sizes(&store), store.events().len()), (vec![3], 3));
    // What it left is in the tail. The states are loaded again: whoever ended the session may have
    // put right what is stored.
    let finds = store.finds();
    process.execute(withdraw(1, "99")).await.unwrap().result.unwrap();
    assert_eq!(store.finds(), finds + 1);
    assert_eq!(process.tail.after(Position::ZERO, 9).unwrap().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_commit_of_unknown_outcome_that_is_not_found_is_unavailable() {
    let store = Arc::new(FakeStore::new());
    let mut process = Process::new(&store, SETTINGS, None);
    store.fated([Fate::LostBefore]);
    let submissions = [open(1), open(2)].map(|act| process.submit(act));
    process.run();
    for outcome in outcomes(submissions).await {
        assert!(matches!(outcome, Err(CommandError::Unavailable(_))), "{outcome:?}");
    }
    assert_eq!(store.events(), []);
    process.execute(open(1)).await.unwrap().result.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_left_no_trace_in_a_commit_that_is_found_is_decided_again() {
    let store = Arc::new(FakeStore::new());
    let mut process = Process::new(&store, SETTINGS, None);
    store.fated([Fate::LostAfter]);
    let submissions = [
        process.submit(open(1)),
        process.submit(withdraw(1, "101")),
        process.submit_keyed(withdraw(1, "102"), keyed("k", 1)),
    ];
    process.run();
    let outcomes = outcomes(submissions).await;
    assert_eq!(positions(&outcomes), [1, 1, 1]);
    assert_eq!(outcomes[1].as_ref().unwrap().result, REFUSED);
    // This one was remembered, unlike the other.
    assert_eq!(outcomes[2].as_ref().unwrap().result, REFUSED);
    assert!(outcomes[2].as_ref().unwrap().replayed);
    assert_eq!(batch_sizes(&store), [3, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_nobody_can_tell_of_has_an_unknown_outcome_after_a_while() {
    let store = Arc::new(FakeStore::new());
    let process = Process::running(&store);
    store.fated([Fate::LostAfter]);
    store.set_unreadable(true);
    let asked = Instant::now();
    let outcome = process.execute(open(1)).await;
    assert!(matches!(outcome, Err(CommandError::OutcomeUnknown(_))), "{outcome:?}");
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    // Nothing is taken for known.
    store.set_unreadable(false);
    process.execute(withdraw(1, "100")).await.unwrap().result.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_comes_back_in_time_tells_the_outcome() {
    let store = Arc::new(FakeStore::new());
    let process = Process::running(&store);
    store.fated([Fate::LostAfter]);
    store.set_unreadable(true);
    let submission = process.submit(open(1));
    tokio::time::sleep(Duration::from_millis(500)).await;
    store.set_unreadable(false);
    assert_eq!(soon(submission.outcome()).await.unwrap().position, Position::new(1));
}

#[tokio::test]
async fn what_another_process_changed_is_loaded_and_decided_again() {
    let store = Arc::new(FakeStore::new());
    let (here, there) = (Process::running(&store), Process::running(&store));
    here.execute(open(1)).await.unwrap();
    there.execute(withdraw(1, "70")).await.unwrap().result.unwrap();
    // Known here is an account with 100 on it.
    let refused = here.execute(withdraw(1, "40")).await.unwrap();
    assert_eq!(refused.result, REFUSED);
    there.execute(withdraw(1, "10")).await.unwrap().result.unwrap();
    here.execute(withdraw(1, "20")).await.unwrap().result.unwrap();
    assert!(balance(&store, 1).await.is_zero());
    assert_eq!(store.events().last().unwrap().version, Version::new(4));
}

#[tokio::test]
async fn a_conflict_fails_no_neighbour_and_its_own_followers_are_decided_again() {
    let store = Arc::new(FakeStore::new());
    let mut here = Process::new(&store, SETTINGS, None);
    let submission = here.submit(open(1));
    here.run();
    soon(submission.outcome()).await.unwrap();
    Process::running(&store).execute(withdraw(1, "70")).await.unwrap().result.unwrap();

    let acts = [open(2), withdraw(1, "25"), withdraw(2, "50"), withdraw(1, "10")];
    let outcomes = outcomes(acts.map(|act| here.submit(act))).await;
    let results: Vec<_> = outcomes.iter().map(|o| o.as_ref().unwrap().result.is_ok()).collect();
    assert_eq!(results, [true, true, true, false]);
    assert_eq!(positions(&outcomes), [3, 5, 4, 5]);
    assert_eq!(batch_sizes(&store), [1, 1, 4, 2]);
    assert_eq!(balance(&store, 1).await, euros("5"));
    assert_eq!(balance(&store, 2).await, euros("50"));
}

#[tokio::test]
async fn what_keeps_changing_is_given_up_after_a_bounded_number_of_decisions() {
    let store = Arc::new(FakeStore::new());
    let process = Process::running(&store);
    store.fated([Fate::Conflict; 9]);
    let act = open(1);
    let decided = Arc::clone(&act.decided);
    assert_eq!(process.execute(act).await, Err(CommandError::Contended));
    assert_eq!(decided.load(Ordering::Relaxed), SETTINGS.decisions);
    assert_eq!(store.events(), []);
}

#[tokio::test]
async fn a_key_has_one_outcome_which_is_replayed_as_it_was() {
    let store = Arc::new(FakeStore::new());
    let process = Process::running(&store);
    process.execute(open(1)).await.unwrap();
    let first = process.submit_keyed(withdraw(1, "10"), keyed("k", 1));
    let first = soon(first.outcome()).await.unwrap();
    process.execute(withdraw(1, "1")).await.unwrap();
    // Here, and in a process that never saw the first.
    for process in [&process, &Process::running(&store)] {
        let again = process.submit_keyed(withdraw(1, "10"), keyed("k", 1));
        let again = soon(again.outcome()).await.unwrap();
        assert_eq!(again, Outcome { replayed: true, ..first.clone() });
    }
    assert_eq!(balance(&store, 1).await, euros("89"));
}

#[tokio::test]
async fn a_refusal_is_the_outcome_of_its_key_for_good() {
    let store = Arc::new(FakeStore::new());
    let process = Process::running(&store);
    let missing = process.submit_keyed(withdraw(1, "10"), keyed("k", 1));
    let missing = soon(missing.outcome()).await.unwrap();
    assert_eq!(missing.result, Err(Rejection::AccountNotFound));
    process.execute(open(1)).await.unwrap();
    let again = process.submit_keyed(withdraw(1, "10"), keyed("k", 1));
    assert_eq!(soon(again.outcome()).await.unwrap(), Outcome { replayed: true, ..missing });
}

#[tokio::test]
async fn a_key_is_not_used_for_another_request() {
    let store = Arc::new(FakeStore::new());
    let process = Process::running(&store);
    soon(process.submit_keyed(open(1), keyed("k", 1)).outcome()).await.unwrap();
    let reused = soon(process.submit_keyed(withdraw(1, "1"), keyed("k", 2)).outcome()).await;
    assert_eq!(reused, Err(CommandError::KeyReused));
    assert_eq!(store.events().len(), 1);
    // Nothing of it is left in what is known.
    process.execute(withdraw(1, "100")).await.unwrap().result.unwrap();
}

#[tokio::test]
async fn commands_with_one_key_in_one_go_have_one_outcome() {
    let store = Arc::new(FakeStore::new());
    let mut process = Process::new(&store, SETTINGS, None);
    let submissions = [
        process.submit_keyed(open(1), keyed("k", 1)),
        process.submit_keyed(open(1), keyed("k", 1)),
        process.submit_keyed(open(2), keyed("k", 2)),
        process.submit_keyed(Act { actor: holder(8), ..open(3) }, keyed("k", 3)),
    ];
    process.run();
    let outcomes = outcomes(submissions).await;
    let first = outcomes[0].clone().unwrap();
    assert!(!first.replayed);
    assert_eq!(outcomes[1], Ok(Outcome { replayed: true, ..first }));
    assert_eq!(outcomes[2], Err(CommandError::KeyReused));
    // Another holder's key is another key.
    assert!(outcomes[3].as_ref().is_ok_and(|outcome| !outcome.replayed));
    // The first and the other holder's, then the second, then the third.
    assert_eq!((batch_sizes(&store), store.events().len()), (vec![2, 1, 1], 2));
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

#[tokio::test]
async fn a_write_is_in_the_cache_before_it_is_acknowledged_and_a_first_version_in_none() {
    let mut cache = MockCache::new();
    let key = format!("account:{}:user:{}", account_id(1), holder(ME));
    let puts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&puts);
    cache.expect_put().returning(move |put_key, value, _| {
        assert_eq!((put_key, value.version), (key.as_str(), Version::new(2)));
        assert!(value.value.is_some());
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    let ttl = Duration::from_mins(1);
    let cache = ReadCache { cache: Arc::new(cache), ttl, absent_ttl: ttl, repair: None };
    let store = Arc::new(FakeStore::new());
    let mut process = Process::new(&store, SETTINGS, Some(cache));
    process.run();
    process.execute(open(1)).await.unwrap();
    assert_eq!(puts.load(Ordering::Relaxed), 0);
    process.execute(withdraw(1, "1")).await.unwrap();
    assert_eq!(puts.load(Ordering::Relaxed), 1);
}

/// A cache that holds what it was told by `put`, and notes of what it was told by `invalidate`.
fn noting_cache(notes: &Arc<std::sync::Mutex<Vec<String>>>) -> ReadCache {
    let mut cache = MockCache::new();
    let told = Arc::clone(notes);
    cache.expect_put().returning(move |key, value, _| {
        told.lock().unwrap().push(format!("{key} is at {}", value.version));
        Ok(())
    });
    let told = Arc::clone(notes);
    cache.expect_invalidate().returning(move |key, _| {
        told.lock().unwrap().push(format!("{key} is forgotten"));
        Ok(())
    });
    let ttl = Duration::from_mins(1);
    ReadCache { cache: Arc::new(cache), ttl, absent_ttl: ttl, repair: None }
}

#[tokio::test]
async fn a_refusal_tells_the_cache_what_it_was_based_on() {
    let store = Arc::new(FakeStore::new());
    let other = Process::running(&store);
    other.execute(open(1)).await.unwrap();
    // It was committed, and the cache was not told: its instance has no cache here.
    other.execute(withdraw(1, "60")).await.unwrap();

    let notes = Arc::default();
    let mut process = Process::new(&store, SETTINGS, Some(noting_cache(&notes)));
    process.run();
    let refused = process.execute(withdraw(1, "60")).await.unwrap();
    assert_eq!(refused.result, REFUSED);
    let key = format!("account:{}:user:{}", account_id(1), holder(ME));
    assert_eq!(*notes.lock().unwrap(), [format!("{key} is at 2")]);
}

#[tokio::test]
async fn a_repeated_answer_makes_the_cache_forget_what_it_was_about() {
    let store = Arc::new(FakeStore::new());
    let other = Process::running(&store);
    other.execute(open(1)).await.unwrap();
    // It was committed, and its instance came to neither telling the cache nor answering.
    soon(other.submit_keyed(withdraw(1, "1"), keyed("k", 1)).outcome()).await.unwrap();

    let notes = Arc::default();
    let mut process = Process::new(&store, SETTINGS, Some(noting_cache(&notes)));
    process.run();
    let again = process.submit_keyed(withdraw(1, "1"), keyed("k", 1));
    assert!(soon(again.outcome()).await.unwrap().replayed);
    let key = format!("account:{}:user:{}", account_id(1), holder(ME));
    assert_eq!(*notes.lock().unwrap(), [format!("{key} is forgotten")]);
}

#[tokio::test]
async fn the_tail_has_what_was_committed_as_the_journal_has_it() {
    let store = Arc::new(FakeStore::new());
    let process = Process::running(&store);
    for act in [open(1), withdraw(1, "500"), withdraw(1, "5"), open(2)] {
        process.execute(act).await.unwrap();
    }
    let tail = process.tail.after(Position::ZERO, 9).unwrap();
    let tail: Vec<_> = tail.iter().map(|event| (**event).clone()).collect();
    assert_eq!(tail, store.events());
    assert_eq!(*process.tail.commits().borrow(), Position::new(3));
}

#[tokio::test]
async fn a_committed_task_calls_the_workers() {
    let store = Arc::new(FakeStore::new());
    let mut process = Process::new(&store, SETTINGS, None);
    let new_tasks = process.task.as_ref().unwrap().new_tasks();
    process.run();
    process.execute(open(1)).await.unwrap();
    assert!(new_tasks.notified().now_or_never().is_none());
    let request = Act::new(Vec::new(), |_, entry| {
        let id = TaskId::from_uuid(entry.uuid());
        let task = NewTask {
            id,
            owner: Some(holder(ME)),
            kind: TaskKind::text(),
            payload: RawValue::NULL.to_owned(),
            run_at: NOW,
            created_at: NOW,
            priority: Priority::Normal,
            unique: None,
            history: Vec::new(),
        };
        let changes = vec![Change::Task(Box::new(task))];
        Ok(Decision { changes, receipt: Receipt::TaskAccepted(id) })
    });
    process.execute(request).await.unwrap().result.unwrap();
    assert!(new_tasks.notified().now_or_never().is_some());
}

/// Something a caller sends in a random history.
#[derive(Clone, Debug)]
struct Attempt {
    /// Which of two processes gets it.
    process: usize,
    from: u128,
    /// `None` for money that goes outside.
    to: Option<u128>,
    cents: u16,
    /// With a key, every attempt is the same one.
    key: Option<u8>,
}

impl Attempt {
    /// The same for all attempts with the same key, and for no others.
    fn tag(&self, number: usize) -> String {
        self.key.map_or_else(|| format!("attempt {number}"), |key| format!("key {key}"))
    }

    fn act(&self, tag: String) -> Act {
        let (from, to) = (account_id(self.from), self.to.map(account_id));
        let cents = self.cents;
        let needs = [from].into_iter().chain(to).map(Key::Account).collect();
        Act::new(needs, move |states, entry| {
            let amount = text(&format!("{}.{:02}", cents / 100, cents % 100));
            let reference = Some(Reference::new(&tag).unwrap());
            let source = states.own_account(from, holder(ME))?;
            let changes = match to {
                None => vec![Change::Account(from, source.withdraw(&amount, reference)?)],
                Some(to) => {
                    let target = states.own_account(to, holder(ME))?;
                    let id = TransferId::from_uuid(entry.uuid());
                    let (sent, received) = source.transfer(target, id, &amount, reference)?;
                    vec![Change::Account(from, sent), Change::Account(to, received)]
                }
            };
            Ok(Decision { changes, receipt: Receipt::Done })
        })
    }

    fn request(&self) -> Request {
        self.key.map_or_else(Request::default, |key| keyed(&format!("key-{key}"), key))
    }
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let to = prop_oneof![Just(None), (1_u128..4).prop_map(Some)];
    let key = prop_oneof![2 => Just(None), 1 => (0_u8..3).prop_map(Some)];
    (0_usize..2, 1_u128..4, to, 1_u16..5_000, key).prop_map(|(process, from, to, cents, key)| {
        match key {
            // What a key is used for is always the same.
            Some(key) => Attempt { process, from: 1, to: None, cents: 1_000, key: Some(key) },
            None => Attempt { process, from, to: to.filter(|to| *to != from), cents, key: None },
        }
    })
}

fn fate() -> impl Strategy<Value = Vec<Fate>> {
    let one = prop_oneof![
        Just(Fate::Unavailable),
        Just(Fate::LostBefore),
        Just(Fate::LostAfter),
        Just(Fate::Conflict),
    ];
    prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(one, 1..3)]
}

/// The accounts as the log has them.
fn folded(store: &FakeStore) -> HashMap<StreamId, Account> {
    let mut accounts: HashMap<StreamId, Account> = HashMap::new();
    for event in store.events() {
        let payload = AccountEvent::from_stored(&event.event_type, &event.data).unwrap();
        let before = accounts.remove(&event.stream);
        accounts.insert(event.stream, Account::evolve(before, &payload).unwrap());
    }
    accounts
}

/// Runs a history: in each round, both processes get all of it at once.
async fn run_history(rounds: Vec<(Vec<Attempt>, Vec<Fate>)>) {
    let store = Arc::new(FakeStore::new());
    let processes = [Process::running(&store), Process::running(&store)];
    for number in 1..4 {
        processes[0].execute(open(number)).await.unwrap().result.unwrap();
    }
    // What is known of each tag: whether it must be in the log, or must not.
    let mut told: HashMap<String, Option<bool>> = HashMap::new();
    let mut number = 0;
    for (attempts, fates) in rounds {
        store.fated(fates);
        let mut submissions = Vec::new();
        for attempt in attempts {
            number += 1;
            let tag = attempt.tag(number);
            let act = attempt.act(tag.clone());
            let submission = processes[attempt.process].submit_keyed(act, attempt.request());
            submissions.push((tag, submission));
        }
        for (tag, submission) in submissions {
            let in_log = match soon(submission.outcome()).await {
                Ok(outcome) => Some(outcome.result.is_ok()),
                Err(CommandError::OutcomeUnknown(_)) => None,
                Err(CommandError::Unavailable(_) | CommandError::Contended) => Some(false),
                Err(error) => panic!("{error}"),
            };
            // An attempt that failed says nothing against one with the same key that did not.
            let known = told.entry(tag).or_insert(in_log);
            *known = if *known == Some(false) { in_log } else { *known };
        }
    }
    let events = store.events();
    for (tag, in_log) in told {
        let quoted = format!("\"{tag}\"");
        let own = events.iter().filter(|e| e.event_type != "TransferReceived");
        let times = own.filter(|event| event.data.text().contains(&quoted)).count();
        assert!(times <= 1, "{tag} happened {times} times");
        assert!(in_log.is_none_or(|in_log| in_log == (times == 1)), "{tag}: {in_log:?}, {times}");
    }
    for (stream, account) in folded(&store) {
        assert!(!account.balance.is_negative(), "{stream}: {}", account.balance.amount());
        let row = AccountRepository::find(&*store, &[account.id]).await.unwrap();
        assert_eq!(row, [account]);
    }
}

proptest! {
    #[test]
    fn whatever_fails_and_whoever_else_writes_the_log_has_what_was_acknowledged_and_no_more(
        rounds in prop::collection::vec((prop::collection::vec(attempt(), 1..8), fate()), 1..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(run_history(rounds));
    }
}

/// The sum of the postings of everything that was to be appended.
fn posted(store: &FakeStore) -> i64 {
    let entries = store.batches().into_iter().flatten();
    let rows = entries.flat_map(|entry| entry.rows);
    rows.map(|row| if let Row::Posting(posting) = row { posting.amount.minor() } else { 0 }).sum()
}

#[tokio::test]
async fn a_refund_is_decided_on_the_account_that_paid() {
    let store = Arc::new(FakeStore::new());
    let commands_of = |process: &Process| {
        Commands::new(
            process.appender.clone(),
            Passwords::new(1, 1),
            Arc::new(MockHolderRepository::new()),
            Arc::new(FakeClock::at(NOW)),
            Arc::clone(store.ids()) as _,
        )
    };
    let process = Process::running(&store);
    process.execute(open(1)).await.unwrap();
    let commands = commands_of(&process);
    let line = RequestedLine {
        name: LineName::new("A book").unwrap(),
        quantity: 2,
        unit_price: text("15"),
    };
    let contents = Some(Contents::new("EUR".parse().unwrap(), vec![line]).unwrap());
    let me = caller(ME);
    let made = commands.create_order(&me, NewOrder { contents }, Request::default()).await.unwrap();
    let Ok(Receipt::OrderCreated(order)) = made.result else { panic!("{made:?}") };
    let pay = commands.pay_order(&me, order, Some(account_id(1)), Request::default());
    pay.await.unwrap().result.unwrap();
    assert_eq!(balance(&store, 1).await, euros("70"));

    // In a process that knows nothing, only the order says whose account is concerned.
    let fresh = Process::running(&store);
    let cancel = commands_of(&fresh).cancel_order(&me, order, None, Request::default()).await;
    cancel.unwrap().result.unwrap();
    assert_eq!(balance(&store, 1).await, euros("100"));
    assert_eq!(posted(&store), 0);
    let last = store.batches().pop().unwrap().pop().unwrap();
    let expected: HashMap<StreamId, Version> = last.expected.into_iter().collect();
    let both = [(order.stream(), Version::new(2)), (account_id(1).stream(), Version::new(2))];
    assert_eq!(expected, HashMap::from(both));

    // The first process knows the order as paid: it finds out that it is not.
    let again = commands.cancel_order(&me, order, None, Request::default()).await.unwrap();
    assert_eq!(again.result, Err(Rejection::Order(OrderRejection::AlreadyCanceled)));
    assert_eq!(balance(&store, 1).await, euros("100"));
}

#[test]
fn every_outcome_is_read_back_as_it_was_remembered() {
    let (one, money) = (Uuid::from_u128(1), euros("12.34"));
    let outcomes: [Result<Receipt, Rejection>; 17] = [
        Ok(Receipt::Done),
        Ok(Receipt::Registered(holder(1))),
        Ok(Receipt::AccountOpened(account_id(1))),
        Ok(Receipt::Moved { entry_id: EntryId::from_uuid(one), balance: money, available: money }),
        Ok(Receipt::Transferred(TransferId::from_uuid(one))),
        Ok(Receipt::OrderCreated(OrderId::from_uuid(one))),
        Ok(Receipt::TaskAccepted(TaskId::from_uuid(one))),
        Ok(Receipt::TaskDuplicate(TaskId::from_uuid(one))),
        Err(Rejection::AccountNotFound),
        Err(Rejection::OrderNotFound),
        Err(Rejection::TaskNotFound),
        Err(Rejection::TaskNotDead),
        Err(Rejection::TaskDuplicated),
        Err(Rejection::TaskNotDiscardable),
        Err(Rejection::EmailTaken),
        REFUSED,
        Err(Rejection::Order(OrderRejection::AlreadyPaid)),
    ];
    for outcome in outcomes {
        let text = serde_json::to_string(&outcome).unwrap();
        let read: Result<Receipt, Rejection> = serde_json::from_str(&text).unwrap();
        assert_eq!(read, outcome, "{text}");
    }
}
