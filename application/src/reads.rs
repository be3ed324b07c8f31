//! Reading one account or order through the cache.
//!
//! A hit answers from the cache. Whoever misses first is given a ticket, reads the database and fills the
//! cache with it; who misses at that moment waits for the same reply, here or on another instance.
//! A write tells the cache before it is acknowledged, and that voids the ticket: so no read is
//! older than a write that was acknowledged before it began.
//!
//! At the start, and after the cache was out of reach, nothing in it is believed until it was put right.
//! Until then, too, one read of the database serves all who wait for it.

mod past;
mod trust;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use daybook_accounts::{Account, AccountId, AccountRepository};
use daybook_events::{
    Cache, CacheError, Cached, HolderId, Journal, Lookup, RecordedEvent, Ticket, Version,
};
use daybook_orders::{Order, OrderId, OrderRepository};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use rand::Rng;
use tokio::sync::oneshot;
use uuid::Uuid;

use past::Past;
use trust::Trust;

use crate::views::{AccountView, OrderView, encode};
use crate::{Caller, ForkWatch, Freshness, QueryError, Row, Stale};

/// How long someone else's fetch is waited for, before the database is read all the same.
const WAIT: Duration = Duration::from_millis(250);
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(32);
/// By how many per cent a reply's time may be shorter: what was read together is not to expire
/// together.
const JITTER: u32 = 10;

/// A cache, and how long things stay in it.
#[derive(Clone)]
pub struct ReadCache {
    /// The cache.
    pub cache: Arc<dyn Cache>,
    /// How long a reply stays at most; it may be up to a tenth less.
    pub ttl: Duration,
    /// How long it is remembered that there is nothing.
    pub absent_ttl: Duration,
    /// Who puts the cache right where a writer could not; none where the cache is never out of reach.
    pub repair: Option<Repair>,
}

/// The relay that tells the cache of every event.
#[derive(Clone)]
pub struct Repair {
    /// Where the relay's checkpoint is.
    pub journal: Arc<dyn Journal<Row>>,
    /// The relay's name.
    pub relay: &'static str,
    /// Notices where what is cached is of another log; none where only this one can be there.
    pub forks: Option<ForkWatch>,
}

/// Higher than every version there is.
const HIGHEST: Version = Version::new(i64::MAX.unsigned_abs());

type Flight = Shared<BoxFuture<'static, Result<Cached, QueryError>>>;
/// Where the result of a flight is told to all who wait for it.
type Land = oneshot::Sender<Result<Cached, QueryError>>;

fn flight() -> (Land, Flight) {
    let (land, landed) = oneshot::channel();
    let flight = landed.map(|loaded: Result<_, _>| {
        loaded.unwrap_or_else(|_| Err(QueryError::Unavailable("a load failed".to_owned())))
    });
    (land, flight.boxed().shared())
}

/// Reads single accounts and orders.
#[derive(Clone)]
pub struct Reads {
    accounts: Arc<dyn AccountRepository>,
    orders: Arc<dyn OrderRepository>,
    cache: Option<ReadCache>,
    flights: Arc<Flights>,
    past: Arc<Past>,
    trust: Arc<Trust>,
    freshness: Freshness,
}

/// The fetches of this process that are under way, by their tickets.
#[derive(Default)]
struct Flights(Mutex<HashMap<Ticket, Flight>>);

impl Flights {
    fn with<T>(&self, f: impl FnOnce(&mut HashMap<Ticket, Flight>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Takes a flight off the map when it ends, even if it ends in a panic: a flight that stayed would
/// be joined for ever.
struct Landing {
    flights: Arc<Flights>,
    ticket: Ticket,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let landed = self.flights.with(|flights| flights.remove(&self.ticket));
        drop(landed);
    }
}

impl fmt::Debug for Reads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reads").finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
enum What {
    Account(AccountId, HolderId),
    Order(OrderId, HolderId),
}

impl What {
    fn key(self) -> String {
        match self {
            Self::Account(id, holder) => format!("account:{id}:user:{holder}"),
            Self::Order(id, holder) => format!("order:{id}:user:{holder}"),
        }
    }

    /// What an event has changed; `None` where it is nothing that is cached.
    fn of_event(event: &RecordedEvent) -> Option<Self> {
        let (category, id) = event.stream.as_str().split_once('-')?;
        let (id, holder) = (id.parse::<Uuid>().ok()?, event.owner?);
        match category {
            "account" => Some(Self::Account(AccountId::from_uuid(id), holder)),
            "order" => Some(Self::Order(OrderId::from_uuid(id), holder)),
            _ => None,
        }
    }
}

impl Reads {
    /// Reads from these repositories, through this cache where there is one.
    pub fn new(
        accounts: Arc<dyn AccountRepository>,
        orders: Arc<dyn OrderRepository>,
        cache: Option<ReadCache>,
    ) -> Self {
        Self {
            accounts,
            orders,
            cache,
            flights: Arc::default(),
            past: Arc::default(),
            trust: Arc::default(),
            freshness: Freshness::Acknowledged,
        }
    }

    /// Begins to make sure that what is in the cache can be believed.
    pub fn begin(&self) {
        if let Some(cache) = &self.cache {
            self.trust.covers(cache);
        }
    }

    /// The same reads, as fresh as that.
    pub(crate) fn as_fresh_as(&self, freshness: Freshness) -> Self {
        Self { freshness, ..self.clone() }
    }

    /// The JSON of an account the caller may see; `None` where there is none.
    ///
    /// # Errors
    /// [`QueryError`] where it is not cached and can't be read.
    pub async fn account(
        &self,
        caller: &Caller,
        id: AccountId,
    ) -> Result<Option<Bytes>, QueryError> {
        if caller.operator {
            let found = self.accounts.find(&[id]).await?;
            return Ok(found.iter().find(|a| a.is_open()).map(|a| encode(&AccountView::from(a))));
        }
        self.read(What::Account(id, caller.holder_id)).await
    }

    /// The JSON of an order the caller may see; `None` where there is none.
    ///
    /// # Errors
    /// [`QueryError`] where it is not cached and can't be read.
    pub async fn order(&self, caller: &Caller, id: OrderId) -> Result<Option<Bytes>, QueryError> {
        if caller.operator {
            let found = self.orders.find(&[id]).await?;
            return Ok(found.first().map(|order| encode(&OrderView::from(order))));
        }
        self.read(What::Order(id, caller.holder_id)).await
    }

    /// Puts in what a write made of an account. To be called after the commit and before the write
    /// is acknowledged.
    pub(crate) async fn account_written(&self, account: &Account) {
        self.written(What::Account(account.id, account.holder_id), of_account(account)).await;
    }

    /// Puts in what a write made of an order, as [`Reads::account_written`].
    pub(crate) async fn order_written(&self, order: &Order) {
        self.written(What::Order(order.id, order.holder_id), of_order(order)).await;
    }

    /// Drops what is cached of an account, whatever it is.
    pub(crate) async fn account_doubted(&self, id: AccountId, holder: HolderId) {
        self.doubted(What::Account(id, holder)).await;
    }

    /// Drops what is cached of an order, whatever it is.
    pub(crate) async fn order_doubted(&self, id: OrderId, holder: HolderId) {
        self.doubted(What::Order(id, holder)).await;
    }

    async fn doubted(&self, what: What) {
        let Some(cache) = &self.cache else { return };
        if let Err(error) = cache.cache.invalidate(&what.key(), HIGHEST).await {
            tracing::debug!(%error, "the cache was not told to forget; the relay will tell it");
        }
    }

    async fn written(&self, what: What, value: Cached) {
        let Some(cache) = &self.cache else { return };
        let ttl = cache.ttl_of(&value);
        if let Err(error) = cache.cache.put(&what.key(), value, ttl).await {
            tracing::debug!(%error, "the cache was not told of a write; the relay will tell it");
        }
    }

    /// Tells the cache of an event that another instance may have committed without reaching it.
    ///
    /// # Errors
    /// [`CacheError`] where the cache can't be told.
    pub async fn catch_up(&self, event: &RecordedEvent) -> Result<(), CacheError> {
        match (&self.cache, What::of_event(event)) {
            (Some(cache), Some(what)) => cache.cache.invalidate(&what.key(), event.version).await,
            _ => Ok(()),
        }
    }

    /// Drops the reply of a row that was replaced without an event. Answers whether the cache, where
    /// there is one, was told.
    pub(crate) async fn replaced(&self, stale: Stale) -> bool {
        let Some(cache) = &self.cache else { return true };
        let (what, version) = match stale {
            Stale::Account(id, holder, version) => (What::Account(id, holder), version),
            Stale::Order(id, holder, version) => (What::Order(id, holder), version),
        };
        // What was replaced may have had the same version as what is right.
        let told = cache.cache.invalidate(&what.key(), version.next()).await;
        if let Err(error) = &told {
            tracing::warn!(%error, "the cache was not told of a row that was replaced");
        }
        told.is_ok()
    }

    async fn read(&self, what: What) -> Result<Option<Bytes>, QueryError> {
        let Some(cache) = &self.cache else {
            return self.load(what).await.map(|loaded| loaded.value);
        };
        let key = what.key();
        if self.freshness == Freshness::Stored || !self.trust.covers(cache) {
            return self.load_past(cache, &key, what).await;
        }
        let (mut waited, mut pause) = (Duration::ZERO, FIRST_PAUSE);
        loop {
            let ticket = match cache.cache.get(&key).await {
                // An outage may have ended just before this was asked.
                Ok(Lookup::Hit(_)) if !self.trust.covers(cache) => break,
                Ok(Lookup::Hit(hit)) => return Ok(hit.value),
                Ok(Lookup::Miss(ticket)) => {
                    return self.begin_flight(cache, key, what, ticket).await.map(|l| l.value);
                }
                Ok(Lookup::Pending(ticket)) => ticket,
                Err(error) => {
                    tracing::debug!(%error, "cache not read");
                    break;
                }
            };
            // The ticket is good: no write has been acknowledged since its flight began.
            if let Some(flight) = self.flights.with(|flights| flights.get(&ticket).cloned()) {
                return flight.await.map(|loaded| loaded.value);
            }
            if waited >= WAIT {
                break;
            }
            tokio::time::sleep(pause).await;
            waited += pause;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.load_past(cache, &key, what).await
    }

    /// Reads past the cache, by a read that begins after this was called.
    async fn load_past(
        &self,
        cache: &ReadCache,
        key: &str,
        what: What,
    ) -> Result<Option<Bytes>, QueryError> {
        let (reads, cache, name) = (self.clone(), cache.clone(), key.to_owned());
        let load = move || {
            let (reads, cache, name) = (reads.clone(), cache.clone(), name.clone());
            async move { reads.load_and_tell(&cache, &name, what).await }
        };
        self.past.join(key, load).await.map(|loaded| loaded.value)
    }

    /// Reads, and tells the cache what is read: it may be a write that the writer did not come to tell it
    /// of, and whoever reads after this answer must not see what was before.
    async fn load_and_tell(
        &self,
        cache: &ReadCache,
        key: &str,
        what: What,
    ) -> Result<Cached, QueryError> {
        let loaded = self.load(what).await?;
        if loaded.version > Version::ZERO {
            let ttl = cache.ttl_of(&loaded);
            if let Err(error) = cache.cache.put(key, loaded.clone(), ttl).await {
                tracing::debug!(%error, "the cache was not told of what was read");
            }
        }
        Ok(loaded)
    }

    /// Loads what a key stands for and fills it in.
    fn begin_flight(&self, cache: &ReadCache, key: String, what: What, ticket: Ticket) -> Flight {
        let (land, flight) = flight();
        self.flights.with(|flights| flights.insert(ticket, flight.clone()));
        let landing = Landing { flights: Arc::clone(&self.flights), ticket };
        let (reads, cache) = (self.clone(), cache.clone());
        // On its own task: it ends, and leaves the map, also when every reader has gone.
        tokio::spawn(async move {
            let _landing = landing;
            let loaded = reads.load(what).await;
            let told = match &loaded {
                Ok(value) => {
                    cache.cache.fill(&key, ticket, value.clone(), cache.ttl_of(value)).await
                }
                // No value is older than that: it only gives the ticket back.
                Err(_) => cache.cache.invalidate(&key, Version::ZERO).await,
            };
            if let Err(error) = told {
                tracing::debug!(%error, "cache not filled");
            }
            // Whoever asked may have gone.
            let _ = land.send(loaded);
        });
        flight
    }

    async fn load(&self, what: What) -> Result<Cached, QueryError> {
        let absent = Cached { version: Version::ZERO, value: None };
        Ok(match what {
            What::Account(id, holder) => {
                let found = self.accounts.find(&[id]).await?;
                found.iter().find(|a| a.holder_id == holder).map_or(absent, of_account)
            }
            What::Order(id, holder) => {
                let found = self.orders.find(&[id]).await?;
                found.iter().find(|o| o.holder_id == holder).map_or(absent, of_order)
            }
        })
    }
}

/// A closed account leaves its version behind, so that no slow reader brings it back.
fn of_account(account: &Account) -> Cached {
    let value = account.is_open().then(|| encode(&AccountView::from(account)));
    Cached { version: account.version, value }
}

fn of_order(order: &Order) -> Cached {
    Cached { version: order.version, value: Some(encode(&OrderView::from(order))) }
}

impl ReadCache {
    fn ttl_of(&self, value: &Cached) -> Duration {
        let never_was = value.value.is_none() && value.version == Version::ZERO;
        let ttl = if never_was { self.absent_ttl } else { self.ttl };
        ttl * (100 - rand::rng().random_range(0..=JITTER)) / 100
    }
}

#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod tests;
