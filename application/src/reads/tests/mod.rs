//! What a read sees, beside a cache that comes and goes and beside writes.

mod elsewhere;
mod outages;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use daybook_accounts::{
    AccountName, AccountPage, AccountStatus, RepositoryError, StatementEntry, StatementPage,
};
use daybook_events::{CacheError, Placed, Position, Timestamp};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    async fn list(&self, _: &AccountPage) -> Result<Vec<Placed<Account>>, RepositoryError> {
        Ok(Vec::new())
    }

    async fn statement(&self, _: &StatementPage) -> Result<Vec<StatementEntry>, RepositoryError> {
        Ok(Vec::new())
    }

    async fn transfer(
        &self,
        _: daybook_events::TransferId,
    ) -> Result<Option<daybook_accounts::Transfer>, RepositoryError> {
        Ok(None)
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
