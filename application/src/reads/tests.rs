//! What a read sees, beside a cache that comes and goes and beside writes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use daybook_accounts::{
    AccountName, AccountPage, AccountStatus, RepositoryError, StatementEntry, StatementPage,
};
use daybook_events::{CacheError, Position, Timestamp};
use daybook_orders::{MockOrderRepository, OrderStatus};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::*;
use crate::fakes::{FakeStore, account, caller, event, holder, soon};

const TTL: Duration = Duration::from_mins(10);
const ABSENT_TTL: Duration = Duration::from_secs(5);

/// A cache that keeps everything, until it is told to fail or to forget.
#[derive(Default)]
struct FakeCache {
    entries: Mutex<HashMap<String, (Known, Duration)>>,
    tickets: AtomicU64,
    down: AtomicBool,
    outages: AtomicU64,
    out_of_reach_when_asked: AtomicBool,
}

#[derive(Clone)]
enum Known {
    Reply(Cached),
    Fetching(Ticket),
}

impl FakeCache {
    fn entry(&self, what: What) -> Option<(Cached, Duration)> {
        match self.entries.lock().unwrap().get(&what.key())? {
            (Known::Reply(cached), ttl) => Some((cached.clone(), *ttl)),
            (Known::Fetching(_), _) => None,
        }
    }

    fn forget_everything(&self) {
        self.entries.lock().unwrap().clear();
    }

    fn up(&self) -> Result<(), CacheError> {
        let down = self.down.load(Ordering::Relaxed);
        if down { Err(CacheError("unplugged".to_owned())) } else { Ok(()) }
    }

    fn has_been_out_of_reach(&self) {
        self.outages.fetch_add(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Cache for FakeCache {
    async fn get(&self, key: &str) -> Result<Lookup, CacheError> {
        self.up()?;
        if self.out_of_reach_when_asked.swap(false, Ordering::Relaxed) {
            self.has_been_out_of_reach();
        }
        let mut entries = self.entries.lock().unwrap();
        Ok(match entries.get(key) {
            Some((Known::Reply(cached), _)) => Lookup::Hit(cached.clone()),
            Some((Known::Fetching(ticket), _)) => Lookup::Pending(*ticket),
            None => {
                let ticket = Ticket(self.tickets.fetch_add(1, Ordering::Relaxed));
                entries.insert(key.to_owned(), (Known::Fetching(ticket), TTL));
                Lookup::Miss(ticket)
            }
        })
    }

    async fn fill(
        &self,
        key: &str,
        ticket: Ticket,
        value: Cached,
        ttl: Duration,
    ) -> Result<(), CacheError> {
        self.up()?;
        let mut entries = self.entries.lock().unwrap();
        if matches!(entries.get(key), Some((Known::Fetching(valid), _)) if *valid == ticket) {
            entries.insert(key.to_owned(), (Known::Reply(value), ttl));
        }
        Ok(())
    }

    async fn put(&self, key: &str, value: Cached, ttl: Duration) -> Result<(), CacheError> {
        self.up()?;
        let mut entries = self.entries.lock().unwrap();
        match entries.get(key) {
            Some((Known::Reply(cached), _)) if cached.version < value.version => {
                entries.insert(key.to_owned(), (Known::Reply(value), ttl));
            }
            Some((Known::Fetching(_), _)) => {
                entries.remove(key);
            }
            _ => {}
        }
        Ok(())
    }

    async fn invalidate(&self, key: &str, version: Version) -> Result<(), CacheError> {
        self.up()?;
        let mut entries = self.entries.lock().unwrap();
        if !matches!(entries.get(key), Some((Known::Reply(cached), _)) if cached.version >= version)
        {
            entries.remove(key);
        }
        Ok(())
    }

    fn outages(&self) -> u64 {
        self.outages.load(Ordering::Relaxed)
    }

    async fn check(&self) -> Result<(), CacheError> {
        self.up()
    }
}

/// A reply's time may be up to a tenth less than it is told.
fn assert_about(ttl: Duration, at_most: Duration) {
    assert!(ttl <= at_most && ttl >= at_most * 9 / 10, "{ttl:?}");
}

/// How a look-up of accounts ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Fine,
    Failing,
    Panicking,
}

/// Accounts that are read as they are when they are asked for, and answered when the gate opens.
struct FakeAccounts {
    now: Mutex<Vec<Account>>,
    mood: Mutex<Mood>,
    finds: AtomicUsize,
    gate: Semaphore,
}

impl FakeAccounts {
    fn set(&self, account: Account) {
        *self.now.lock().unwrap() = vec![account];
    }

    fn set_mood(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn finds(&self) -> usize {
        self.finds.load(Ordering::Relaxed)
    }

    async fn asked(&self, times: usize) {
        soon(async {
            while self.finds() < times {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[async_trait]
impl AccountRepository for FakeAccounts {
    async fn find(&self, ids: &[AccountId]) -> Result<Vec<Account>, RepositoryError> {
        self.finds.fetch_add(1, Ordering::Relaxed);
        let mood = *self.mood.lock().unwrap();
        let mut found = self.now.lock().unwrap().clone();
        found.retain(|account| ids.contains(&account.id));
        self.gate.acquire().await.unwrap().forget();
        match mood {
            Mood::Fine => Ok(found),
            Mood::Failing => Err(RepositoryError::Unavailable("unplugged".to_owned())),
            Mood::Panicking => panic!("the repository panicked, as the test wants it"),
        }
    }

    async fn list(&self, _: &AccountPage) -> Result<Vec<Account>, RepositoryError> {
        Ok(Vec::new())
    }

    async fn statement(&self, _: &StatementPage) -> Result<Vec<StatementEntry>, RepositoryError> {
        Ok(Vec::new())
    }
}

struct Setting {
    accounts: Arc<FakeAccounts>,
    cache: Arc<FakeCache>,
    reads: Reads,
}

/// The holder's account and its id.
fn mine() -> (Account, AccountId) {
    let account = account(1, holder(7));
    (account.clone(), account.id)
}

fn renamed(account: &Account, name: &str) -> Account {
    let name = AccountName::new(name).unwrap();
    Account { name, version: account.version.next(), ..account.clone() }
}

fn closed(account: &Account) -> Account {
    let version = account.version.next();
    Account { status: AccountStatus::Closed, version, ..account.clone() }
}

/// `account` is stored, and `permits` look-ups are answered at once.
fn given(account: Account, permits: usize) -> Setting {
    given_with(account, permits, None)
}

fn given_with(account: Account, permits: usize, repair: Option<Repair>) -> Setting {
    let accounts = Arc::new(FakeAccounts {
        now: Mutex::new(vec![account]),
        mood: Mutex::new(Mood::Fine),
        finds: AtomicUsize::new(0),
        gate: Semaphore::new(permits),
    });
    let cache = Arc::new(FakeCache::default());
    let read_cache = ReadCache {
        cache: Arc::clone(&cache) as Arc<dyn Cache>,
        ttl: TTL,
        absent_ttl: ABSENT_TTL,
        repair,
    };
    let orders = Arc::new(MockOrderRepository::new());
    let reads = Reads::new(Arc::clone(&accounts) as _, orders, Some(read_cache));
    Setting { accounts, cache, reads }
}

impl Setting {
    async fn read(&self, id: AccountId) -> Option<String> {
        let found = soon(self.reads.account(&caller(7), id)).await.unwrap();
        found.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    /// Begins to read, on a task of its own.
    fn begin(&self, id: AccountId) -> tokio::task::JoinHandle<Option<String>> {
        let reads = self.reads.clone();
        tokio::spawn(async move {
            let found = reads.account(&caller(7), id).await.unwrap();
            found.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
        })
    }
}

#[tokio::test]
async fn a_miss_reads_the_repository_and_fills_the_cache() {
    let (account, id) = mine();
    let setting = given(account.clone(), 9);
    let reply = setting.read(id).await.unwrap();
    assert!(reply.contains(r#""name":"Everyday""#), "{reply}");
    let (cached, ttl) = setting.cache.entry(What::Account(id, holder(7))).unwrap();
    assert_eq!(cached.version, account.version);
    assert_eq!(cached.value.unwrap(), reply);
    assert_about(ttl, TTL);
}

#[tokio::test]
async fn a_hit_does_not_touch_the_repository() {
    let (account, id) = mine();
    let setting = given(account, 9);
    let first = setting.read(id).await;
    assert_eq!(setting.read(id).await, first);
    assert_eq!(setting.accounts.finds(), 1);
}

#[tokio::test]
async fn misses_at_the_same_moment_read_the_repository_once() {
    let (account, id) = mine();
    let setting = given(account, 0);
    let readers: Vec<_> = (0..50).map(|_| setting.begin(id)).collect();
    setting.accounts.asked(1).await;
    // Long enough for each of them to have asked as well, if it were to.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(setting.accounts.finds(), 1);
    setting.accounts.gate.add_permits(50);
    for reader in readers {
        assert!(soon(reader).await.unwrap().is_some());
    }
    assert_eq!(setting.accounts.finds(), 1);
}

#[tokio::test]
async fn a_load_goes_on_when_its_reader_has_gone() {
    let (account, id) = mine();
    let setting = given(account, 0);
    let reader = setting.begin(id);
    setting.accounts.asked(1).await;
    reader.abort();
    assert!(reader.await.unwrap_err().is_cancelled());
    setting.accounts.gate.add_permits(1);
    assert!(setting.read(id).await.is_some());
    assert_eq!(setting.accounts.finds(), 1);
}

#[tokio::test]
async fn without_a_cache_that_answers_the_repository_does() {
    let (account, id) = mine();
    let setting = given(account, 9);
    setting.cache.down.store(true, Ordering::Relaxed);
    assert!(setting.read(id).await.is_some());
    assert!(setting.read(id).await.is_some());
    assert_eq!(setting.accounts.finds(), 2);
}

#[tokio::test]
async fn without_any_cache_every_read_is_from_the_repository() {
    let (account, id) = mine();
    let setting = given(account, 9);
    let orders = Arc::new(MockOrderRepository::new());
    let reads = Reads::new(Arc::clone(&setting.accounts) as _, orders, None);
    for _ in 0..3 {
        assert!(reads.account(&caller(7), id).await.unwrap().is_some());
    }
    assert_eq!(setting.accounts.finds(), 3);
}

#[tokio::test]
async fn what_was_written_is_read_without_the_repository() {
    let (account, id) = mine();
    let setting = given(account.clone(), 9);
    setting.read(id).await;
    setting.reads.account_written(&renamed(&account, "Savings")).await;
    assert!(setting.read(id).await.unwrap().contains("Savings"));
    assert_eq!(setting.accounts.finds(), 1);
}

#[tokio::test]
async fn a_load_from_before_a_write_does_not_replace_what_was_written() {
    let (account, id) = mine();
    let setting = given(account.clone(), 0);
    let slow = setting.begin(id);
    setting.accounts.asked(1).await;
    setting.accounts.set(renamed(&account, "Savings"));
    setting.reads.account_written(&renamed(&account, "Savings")).await;
    setting.accounts.gate.add_permits(2);
    assert!(soon(slow).await.unwrap().unwrap().contains("Everyday"));
    assert!(setting.read(id).await.unwrap().contains("Savings"));
}

#[tokio::test]
async fn a_load_from_before_a_write_is_not_joined_after_it_and_fills_no_cache() {
    let (account, id) = mine();
    let setting = given(account.clone(), 0);
    let slow = setting.begin(id);
    setting.accounts.asked(1).await;
    let written = renamed(&account, "Savings");
    setting.accounts.set(written.clone());
    setting.reads.account_written(&written).await;
    // A cache may lose anything, also what keeps older replies out.
    setting.cache.forget_everything();
    let later = setting.begin(id);
    setting.accounts.asked(2).await;
    setting.accounts.gate.add_permits(1);
    assert!(soon(slow).await.unwrap().unwrap().contains("Everyday"));
    assert_eq!(setting.cache.entry(What::Account(id, holder(7))), None);
    // The old load took itself off the map, not the one that came after it.
    let third = setting.begin(id);
    setting.accounts.gate.add_permits(1);
    assert!(soon(later).await.unwrap().unwrap().contains("Savings"));
    assert!(soon(third).await.unwrap().unwrap().contains("Savings"));
    assert_eq!(setting.accounts.finds(), 2);
}

#[tokio::test]
async fn a_load_on_another_instance_is_not_joined_after_a_write() {
    let (account, id) = mine();
    let here = given(account.clone(), 0);
    let there = Reads::new(
        Arc::clone(&here.accounts) as _,
        Arc::new(MockOrderRepository::new()),
        here.reads.cache.clone(),
    );
    let slow = here.begin(id);
    here.accounts.asked(1).await;
    let written = renamed(&account, "Savings");
    here.accounts.set(written.clone());
    there.account_written(&written).await;
    let later = here.begin(id);
    here.accounts.asked(2).await;
    here.accounts.gate.add_permits(2);
    assert!(soon(slow).await.unwrap().unwrap().contains("Everyday"));
    assert!(soon(later).await.unwrap().unwrap().contains("Savings"));
    assert!(here.read(id).await.unwrap().contains("Savings"));
}

#[tokio::test]
async fn what_another_instance_fetches_is_waited_for() {
    let (account, id) = mine();
    let here = given(account, 0);
    let there = Reads::new(
        Arc::clone(&here.accounts) as _,
        Arc::new(MockOrderRepository::new()),
        here.reads.cache.clone(),
    );
    let first = here.begin(id);
    here.accounts.asked(1).await;
    let second = tokio::spawn(async move { there.account(&caller(7), id).await.unwrap() });
    tokio::task::yield_now().await;
    here.accounts.gate.add_permits(1);
    assert!(soon(first).await.unwrap().is_some());
    assert!(soon(second).await.unwrap().is_some());
    assert_eq!(here.accounts.finds(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_never_ends_holds_up_nobody() {
    let (account, id) = mine();
    let setting = given(account, 1);
    let what = What::Account(id, holder(7));
    // Someone got the ticket and was never seen again.
    assert!(matches!(setting.cache.get(&what.key()).await, Ok(Lookup::Miss(_))));
    assert!(setting.read(id).await.is_some());
    assert_eq!(setting.cache.entry(what), None);
}

#[tokio::test]
async fn an_event_that_the_writer_could_not_tell_of_drops_what_is_older() {
    use daybook_events::{EventData, EventId, Metadata, Position};
    let (account, id) = mine();
    let setting = given(account.clone(), 9);
    setting.read(id).await;
    let event = |version, stream| RecordedEvent {
        position: Position::new(9),
        id: EventId::from_uuid(Uuid::nil()),
        stream,
        version: Version::new(version),
        event_type: "AccountRenamed".into(),
        timestamp: Timestamp::from_micros(0),
        data: EventData::of(&()),
        owner: Some(holder(7)),
        order_id: None,
        metadata: Metadata::default(),
    };
    let elsewhere = daybook_events::StreamId::new("task", Uuid::nil());
    for event in [event(1, id.stream()), event(2, elsewhere)] {
        setting.reads.catch_up(&event).await.unwrap();
        assert!(setting.cache.entry(What::Account(id, holder(7))).is_some());
    }
    setting.reads.catch_up(&event(2, id.stream())).await.unwrap();
    assert_eq!(setting.cache.entry(What::Account(id, holder(7))), None);
}

#[tokio::test]
async fn that_there_is_nothing_is_remembered_for_a_shorter_time() {
    let setting = given(mine().0, 9);
    let nowhere = AccountId::from_uuid(Uuid::from_u128(404));
    assert_eq!(setting.read(nowhere).await, None);
    assert_eq!(setting.read(nowhere).await, None);
    assert_eq!(setting.accounts.finds(), 1);
    let (cached, ttl) = setting.cache.entry(What::Account(nowhere, holder(7))).unwrap();
    assert_eq!(cached, Cached { version: Version::ZERO, value: None });
    assert_about(ttl, ABSENT_TTL);
}

#[tokio::test]
async fn anothers_account_is_as_if_it_were_not_there() {
    let anothers = account(1, holder(8));
    let setting = given(anothers.clone(), 9);
    assert_eq!(setting.read(anothers.id).await, None);
    let found = setting.reads.account(&caller(8), anothers.id).await.unwrap();
    assert!(found.is_some());
    // Also when both are remembered.
    assert_eq!(setting.read(anothers.id).await, None);
}

#[tokio::test]
async fn a_closed_account_is_not_there_and_does_not_come_back() {
    let (account, id) = mine();
    let setting = given(closed(&account), 9);
    assert_eq!(setting.read(id).await, None);
    setting.reads.account_written(&account).await;
    assert_eq!(setting.read(id).await, None);
    let (cached, ttl) = setting.cache.entry(What::Account(id, holder(7))).unwrap();
    assert_eq!(cached.version, Version::new(2));
    assert_about(ttl, TTL);
}

#[tokio::test]
async fn an_operator_reads_anyones_open_account_as_it_is_stored() {
    let (account, id) = mine();
    let setting = given(account.clone(), 9);
    let operator = Caller { operator: true, ..caller(1) };
    assert!(setting.reads.account(&operator, id).await.unwrap().is_some());
    assert!(setting.reads.account(&operator, id).await.unwrap().is_some());
    assert_eq!(setting.accounts.finds(), 2);
    setting.accounts.set(closed(&account));
    assert_eq!(setting.reads.account(&operator, id).await.unwrap(), None);
}

#[tokio::test]
async fn a_failure_reaches_the_reader_and_is_not_remembered() {
    let (account, id) = mine();
    let setting = given(account, 9);
    for mood in [Mood::Failing, Mood::Panicking] {
        setting.accounts.set_mood(mood);
        let error = soon(setting.reads.account(&caller(7), id)).await.unwrap_err();
        assert!(matches!(error, QueryError::Unavailable(_)), "{error}");
    }
    setting.accounts.set_mood(Mood::Fine);
    assert!(setting.read(id).await.is_some());
}

#[tokio::test]
async fn an_order_goes_through_the_cache_as_well() {
    let order = Order {
        id: OrderId::from_uuid(Uuid::from_u128(3)),
        holder_id: holder(7),
        contents: None,
        status: OrderStatus::Pending,
        payment: None,
        created_at: Timestamp::from_micros(0),
        version: Version::new(1),
    };
    let mut orders = MockOrderRepository::new();
    let stored = order.clone();
    orders.expect_find().times(2).returning(move |_| Ok(vec![stored.clone()]));
    let Setting { accounts, cache, .. } = given(mine().0, 9);
    let cache = ReadCache { cache, ttl: TTL, absent_ttl: ABSENT_TTL, repair: None };
    let reads = Reads::new(accounts, Arc::new(orders), Some(cache));
    let read = async |number| {
        let found = reads.order(&caller(number), order.id).await.unwrap();
        found.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    };
    assert!(read(7).await.unwrap().contains("PENDING"));
    assert!(read(7).await.unwrap().contains("PENDING"));
    assert_eq!(read(8).await, None);
    let paid = Order { status: OrderStatus::Paid, version: Version::new(2), ..order.clone() };
    reads.order_written(&paid).await;
    assert!(read(7).await.unwrap().contains("PAID"));
    assert_eq!(read(8).await, None);
}

const RELAY: &str = "cache";

/// `account` is cached, and after that was renamed; the cache was out of reach and is back, with
/// the relay that tells it not so far.
async fn after_an_outage(account: &Account) -> (Setting, Arc<FakeStore>) {
    let store = Arc::new(FakeStore::new());
    let repair = Repair { journal: Arc::clone(&store) as _, relay: RELAY };
    let setting = given_with(account.clone(), 999, Some(repair));
    setting.read(account.id).await;
    setting.accounts.set(renamed(account, "Savings"));
    store.add_events([event(1, None)]);
    setting.cache.has_been_out_of_reach();
    (setting, store)
}

async fn long_after() {
    tokio::time::sleep(Duration::from_mins(1)).await;
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_the_cache_is_not_believed_before_the_relay_has_told_it_everything() {
    let (account, id) = mine();
    let (setting, store) = after_an_outage(&account).await;
    for _ in 0..3 {
        assert!(setting.read(id).await.unwrap().contains("Savings"));
        long_after().await;
    }
    assert_eq!(setting.accounts.finds(), 4);

    // What the relay does.
    setting.reads.account_written(&renamed(&account, "Savings")).await;
    store.save_checkpoint(RELAY, Position::new(1)).await.unwrap();
    long_after().await;
    for _ in 0..3 {
        assert!(setting.read(id).await.unwrap().contains("Savings"));
    }
    assert_eq!(setting.accounts.finds(), 4, "the cache is believed again");
}

#[tokio::test(start_paused = true)]
async fn an_outage_while_the_last_is_overcome_begins_it_anew() {
    let (account, id) = mine();
    let (setting, store) = after_an_outage(&account).await;
    store.save_checkpoint(RELAY, Position::new(1)).await.unwrap();
    setting.read(id).await;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        setting.cache.has_been_out_of_reach();
        setting.read(id).await;
    }
    assert_eq!(setting.accounts.finds(), 7);
    long_after().await;
    setting.read(id).await;
    assert_eq!(setting.accounts.finds(), 7);
}

#[tokio::test(start_paused = true)]
async fn others_have_time_to_come_back_to_the_cache_after_it_was_reached_again() {
    let (account, id) = mine();
    let (setting, store) = after_an_outage(&account).await;
    store.save_checkpoint(RELAY, Position::new(1)).await.unwrap();
    setting.cache.down.store(true, Ordering::Relaxed);
    setting.read(id).await;
    tokio::time::sleep(Duration::from_secs(62)).await;
    setting.cache.down.store(false, Ordering::Relaxed);
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(setting.read(id).await.unwrap().contains("Savings"));
    }
    assert_eq!(setting.accounts.finds(), 5);
}

#[tokio::test(start_paused = true)]
async fn while_the_log_can_not_be_read_the_cache_is_not_believed() {
    let (account, id) = mine();
    let (setting, store) = after_an_outage(&account).await;
    store.save_checkpoint(RELAY, Position::new(1)).await.unwrap();
    store.set_unreadable(true);
    setting.read(id).await;
    long_after().await;
    assert!(setting.read(id).await.unwrap().contains("Savings"));
    assert_eq!(setting.accounts.finds(), 3);
    store.set_unreadable(false);
    long_after().await;
    setting.read(id).await;
    assert_eq!(setting.accounts.finds(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_begins_while_the_cache_is_asked_makes_its_answer_void() {
    let (account, id) = mine();
    let store = Arc::new(FakeStore::new());
    let repair = Repair { journal: Arc::clone(&store) as _, relay: RELAY };
    let setting = given_with(account.clone(), 999, Some(repair));
    setting.read(id).await;
    setting.accounts.set(renamed(&account, "Savings"));
    setting.cache.out_of_reach_when_asked.store(true, Ordering::Relaxed);
    assert!(setting.read(id).await.unwrap().contains("Savings"));
}

#[tokio::test(start_paused = true)]
async fn what_is_read_past_the_cache_is_told_to_it() {
    let (account, id) = mine();
    let (setting, _store) = after_an_outage(&account).await;
    let before = setting.cache.entry(What::Account(id, holder(7))).unwrap().0;
    assert!(setting.read(id).await.unwrap().contains("Savings"));
    // Another instance, which has seen no outage, reads it from the cache.
    let now = setting.cache.entry(What::Account(id, holder(7))).unwrap().0;
    assert_eq!((before.version, now.version), (account.version, account.version.next()));
}
