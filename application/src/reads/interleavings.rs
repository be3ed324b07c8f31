//! Every order in which readers, writers, invalidations and expiries can meet at a cache.
//!
//! The code is the real one, down to the cache in the process. What its tasks share lies behind the
//! ports, so an order of the calls of the ports is all that an interleaving is: each call waits for its turn,
//! and all choices of who is next are tried, depth first. Checkers that replace threads and locks
//! can't run this code, whose tasks and timers are the runtime's.

#![expect(clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use daybook_accounts::{AccountPage, RepositoryError, StatementEntry, StatementPage};
use daybook_events::{CacheError, Placed};
use daybook_memory::MemoryCache;
use daybook_orders::MockOrderRepository;
use futures_util::future::join_all;

use super::*;
use crate::fakes::{account, caller, holder};

/// The choices of one run: at each turn, which of how many that waited went on.
#[derive(Default)]
struct Choices {
    made: Vec<(usize, usize)>,
    turn: usize,
}

impl Choices {
    /// After so many turns whoever waits longest goes on; before, everything is tried.
    const TURNS: usize = 11;

    fn choose(&mut self, of: usize) -> usize {
        if self.turn >= Self::TURNS {
            return 0;
        }
        if self.turn == self.made.len() {
            self.made.push((0, of));
        }
        let (choice, known) = self.made[self.turn];
        assert_eq!(known, of, "the same choices must lead to the same place");
        self.turn += 1;
        choice
    }

    /// The next run's choices; false where all have been tried.
    fn advance(&mut self) -> bool {
        self.turn = 0;
        while let Some((choice, of)) = self.made.pop() {
            if choice + 1 < of {
                self.made.push((choice + 1, of));
                return true;
            }
        }
        false
    }
}

/// Those who wait for their turn.
#[derive(Default)]
struct Turns(Mutex<Vec<oneshot::Sender<()>>>);

impl Turns {
    async fn mine(&self) {
        let (go, going) = oneshot::channel();
        self.0.lock().unwrap().push(go);
        going.await.unwrap();
    }

    fn waiting(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn give(&self, choice: usize) {
        self.0.lock().unwrap().remove(choice).send(()).unwrap();
    }
}

/// A port whose calls wait for their turn.
struct InTurn<T> {
    port: T,
    turns: Arc<Turns>,
}

#[async_trait]
impl Cache for InTurn<Arc<dyn Cache>> {
    async fn get(&self, key: &str) -> Result<Lookup, CacheError> {
        self.turns.mine().await;
        self.port.get(key).await
    }

    async fn fill(
        &self,
        key: &str,
        ticket: Ticket,
        value: Cached,
        ttl: Duration,
    ) -> Result<(), CacheError> {
        self.turns.mine().await;
        self.port.fill(key, ticket, value, ttl).await
    }

    async fn put(&self, key: &str, value: Cached, ttl: Duration) -> Result<(), CacheError> {
        self.turns.mine().await;
        self.port.put(key, value, ttl).await
    }

    async fn invalidate(&self, key: &str, version: Version) -> Result<(), CacheError> {
        self.turns.mine().await;
        self.port.invalidate(key, version).await
    }

    async fn check(&self) -> Result<(), CacheError> {
        self.port.check().await
    }
}

/// The account as it is committed.
type Stored = Arc<Mutex<Account>>;

#[async_trait]
impl AccountRepository for InTurn<Stored> {
    async fn find(&self, _: &[AccountId]) -> Result<Vec<Account>, RepositoryError> {
        self.turns.mine().await;
        Ok(vec![self.port.lock().unwrap().clone()])
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

/// What all actors of a run share.
struct World {
    stored: Stored,
    cache: Arc<dyn Cache>,
    turns: Arc<Turns>,
    /// The highest version that was acknowledged.
    acknowledged: AtomicU64,
}

impl World {
    fn new(cache: Arc<dyn Cache>) -> Self {
        let stored = Arc::new(Mutex::new(account(1, holder(7))));
        Self { stored, cache, turns: Arc::default(), acknowledged: AtomicU64::new(1) }
    }

    /// What one instance reads with.
    fn instance(&self) -> Reads {
        let in_turn = InTurn { port: Arc::clone(&self.cache), turns: Arc::clone(&self.turns) };
        let ttl = Duration::from_mins(10);
        let cache = ReadCache { cache: Arc::new(in_turn), ttl, absent_ttl: ttl, repair: None };
        let accounts = InTurn { port: Arc::clone(&self.stored), turns: Arc::clone(&self.turns) };
        Reads::new(Arc::new(accounts), Arc::new(MockOrderRepository::new()), Some(cache))
    }

    fn id(&self) -> AccountId {
        self.stored.lock().unwrap().id
    }

    /// Reads, and says where that was stale.
    async fn read(&self, reads: &Reads) -> Result<(), String> {
        let acknowledged = self.acknowledged.load(Ordering::SeqCst);
        let body = reads.account(&caller(7), self.id()).await.unwrap().unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let read = body["version"].as_u64().unwrap();
        if read < acknowledged {
            return Err(format!("{read} was read after {acknowledged} was acknowledged"));
        }
        Ok(())
    }

    /// Commits, tells the cache, acknowledges.
    async fn write(&self, reads: &Reads) {
        self.turns.mine().await;
        let written = {
            let mut stored = self.stored.lock().unwrap();
            stored.version = stored.version.next();
            stored.clone()
        };
        reads.account_written(&written).await;
        self.acknowledged.fetch_max(written.version.get(), Ordering::SeqCst);
    }

    /// What the relay tells the cache of the first write, whenever it comes to it.
    async fn repair(&self) {
        self.turns.mine().await;
        if self.stored.lock().unwrap().version > Version::new(1) {
            let key = What::Account(self.id(), holder(7)).key();
            self.cache.invalidate(&key, Version::new(2)).await.unwrap();
        }
    }

    /// Whatever is there expires, or is evicted.
    async fn expire(&self) {
        self.turns.mine().await;
        let key = What::Account(self.id(), holder(7)).key();
        self.cache.invalidate(&key, HIGHEST).await.unwrap();
    }
}

/// Who takes part.
#[derive(Clone, Copy)]
enum Actor {
    /// Reads so often, one after the other, on this instance.
    Reader(usize, usize),
    /// Reads past the cache so often, one after the other, on this instance.
    Past(usize, usize),
    /// Writes on this instance.
    Writer(usize),
    Repair,
    Expiry,
}

async fn act(world: Arc<World>, instances: Arc<[Reads; 2]>, actor: Actor) -> Result<(), String> {
    match actor {
        Actor::Reader(times, at) => {
            for _ in 0..times {
                world.read(&instances[at]).await?;
            }
        }
        Actor::Past(times, at) => {
            let past = instances[at].as_fresh_as(Freshness::Stored);
            for _ in 0..times {
                // Whenever it likes: those who began together would join each other for ever.
                world.turns.mine().await;
                world.read(&past).await?;
            }
        }
        Actor::Writer(at) => world.write(&instances[at]).await,
        Actor::Repair => world.repair().await,
        Actor::Expiry => world.expire().await,
    }
    Ok(())
}

/// Lets the actors meet once, in the order of the choices, and reads once more at the end.
async fn meet(
    cache: Arc<dyn Cache>,
    actors: &[Actor],
    choices: &mut Choices,
) -> Result<(), String> {
    let world = Arc::new(World::new(cache));
    let instances = Arc::new([world.instance(), world.instance()]);
    let begin =
        |actor: &Actor| tokio::spawn(act(Arc::clone(&world), Arc::clone(&instances), *actor));
    let everyone = tokio::spawn(join_all(actors.iter().map(begin).collect::<Vec<_>>()));
    loop {
        // The paused clock moves when nobody can go on by himself.
        tokio::time::sleep(Duration::from_millis(1)).await;
        match world.turns.waiting() {
            0 if everyone.is_finished() => break,
            0 => {}
            waiting => world.turns.give(choices.choose(waiting)),
        }
    }
    for ended in everyone.await.unwrap() {
        ended.unwrap()?;
    }
    let (reader, instances) = (Arc::clone(&world), Arc::clone(&instances));
    let last = tokio::spawn(async move { reader.read(&instances[0]).await });
    while !last.is_finished() {
        tokio::time::sleep(Duration::from_millis(1)).await;
        if world.turns.waiting() > 0 {
            world.turns.give(0);
        }
    }
    last.await.unwrap()
}

/// Lets them meet in every order. How many there were, or what went wrong in the first that did.
fn explore(cache: impl Fn() -> Arc<dyn Cache>, actors: &[Actor]) -> Result<usize, String> {
    let mut choices = Choices::default();
    for count in 1.. {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let met = runtime.block_on(meet(cache(), actors, &mut choices));
        met.map_err(|stale| format!("{stale}; choices {:?}", choices.made))?;
        if !choices.advance() {
            return Ok(count);
        }
    }
    unreachable!("there are only so many orders")
}

fn real() -> Arc<dyn Cache> {
    Arc::new(MemoryCache::new(1 << 20))
}

const SCENARIOS: [&[Actor]; 8] = [
    &[Actor::Reader(2, 0), Actor::Writer(0), Actor::Repair, Actor::Expiry],
    &[Actor::Reader(1, 0), Actor::Reader(1, 0), Actor::Writer(0), Actor::Expiry],
    &[Actor::Reader(1, 0), Actor::Reader(1, 1), Actor::Writer(1), Actor::Repair],
    &[Actor::Reader(1, 0), Actor::Writer(0), Actor::Writer(1), Actor::Expiry],
    &[Actor::Reader(1, 1), Actor::Writer(0), Actor::Writer(0), Actor::Repair],
    &[Actor::Past(1, 0), Actor::Past(1, 0), Actor::Writer(0), Actor::Expiry],
    &[Actor::Past(1, 0), Actor::Past(1, 0), Actor::Writer(1), Actor::Repair],
    &[Actor::Past(1, 0), Actor::Reader(1, 0), Actor::Writer(1), Actor::Repair],
];

#[test]
fn no_order_of_four_actors_makes_a_read_stale() {
    for (number, actors) in SCENARIOS.into_iter().enumerate() {
        let orders = explore(real, actors).unwrap_or_else(|stale| panic!("{number}: {stale}"));
        println!("scenario {number}: {orders} orders");
        assert!(orders > 500, "only {orders} orders of scenario {number}");
    }
}

/// A cache as it is often built. It is here to show that the search finds what is wrong with it.
#[derive(Default)]
struct Careless {
    entries: Mutex<HashMap<String, Cached>>,
    heeds_versions: bool,
    heeds_tickets: bool,
    tickets: AtomicU64,
    valid: Mutex<Option<Ticket>>,
}

#[async_trait]
impl Cache for Careless {
    async fn get(&self, key: &str) -> Result<Lookup, CacheError> {
        if let Some(cached) = self.entries.lock().unwrap().get(key) {
            return Ok(Lookup::Hit(cached.clone()));
        }
        let ticket = Ticket(self.tickets.fetch_add(1, Ordering::SeqCst));
        *self.valid.lock().unwrap() = Some(ticket);
        Ok(Lookup::Miss(ticket))
    }

    async fn fill(
        &self,
        key: &str,
        ticket: Ticket,
        value: Cached,
        _: Duration,
    ) -> Result<(), CacheError> {
        if !self.heeds_tickets || *self.valid.lock().unwrap() == Some(ticket) {
            self.entries.lock().unwrap().insert(key.to_owned(), value);
        }
        Ok(())
    }

    async fn put(&self, key: &str, value: Cached, _: Duration) -> Result<(), CacheError> {
        *self.valid.lock().unwrap() = None;
        let mut entries = self.entries.lock().unwrap();
        let known = entries.get(key).map(|cached| cached.version);
        if !self.heeds_versions || known.is_some_and(|known| known < value.version) {
            entries.insert(key.to_owned(), value);
        }
        Ok(())
    }

    async fn invalidate(&self, _: &str, version: Version) -> Result<(), CacheError> {
        *self.valid.lock().unwrap() = None;
        // There is but one key here.
        self.entries.lock().unwrap().retain(|_, cached| cached.version >= version);
        Ok(())
    }

    async fn check(&self) -> Result<(), CacheError> {
        Ok(())
    }
}

#[test]
fn the_search_finds_what_a_careless_cache_does() {
    let stale = |heeds_versions, heeds_tickets| {
        let cache = move || -> Arc<dyn Cache> {
            Arc::new(Careless { heeds_versions, heeds_tickets, ..Careless::default() })
        };
        SCENARIOS.into_iter().find_map(|actors| explore(cache, actors).err())
    };
    assert!(stale(true, false).is_some(), "a fill without a ticket was not found");
    assert!(stale(false, true).is_some(), "a put without a version was not found");
    assert_eq!(stale(true, true), None, "with both there is nothing to be found");
}
