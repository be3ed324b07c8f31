//! Reading one account or order through the cache.
//!
//! A hit answers from the cache. A miss reads the database once, however many ask at that moment,
//! and fills the cache. A write puts the new reply in before it is acknowledged; the cache takes
//! no reply older than the one it has, and a load that began before the write is not joined by
//! reads that come after it. So no read is older than a write that was acknowledged before it.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use daybook_accounts::{Account, AccountId, AccountRepository};
use daybook_events::{Cache, Cached, HolderId, Version};
use daybook_orders::{Order, OrderId, OrderRepository};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

use crate::views::{AccountView, OrderView, encode};
use crate::{Caller, QueryError};

/// A cache, and how long things stay in it.
#[derive(Clone)]
pub struct ReadCache {
    /// The cache.
    pub cache: Arc<dyn Cache>,
    /// How long a reply stays.
    pub ttl: Duration,
    /// How long it is remembered that there is nothing.
    pub absent_ttl: Duration,
}

type Flight = Shared<BoxFuture<'static, Result<Cached, QueryError>>>;

/// Reads single accounts and orders.
#[derive(Clone)]
pub struct Reads {
    accounts: Arc<dyn AccountRepository>,
    orders: Arc<dyn OrderRepository>,
    cache: Option<ReadCache>,
    flights: Arc<Flights>,
}

#[derive(Default)]
struct Flights {
    under_way: Mutex<HashMap<String, (u64, Flight)>>,
    next: AtomicU64,
}

impl Flights {
    fn with<T>(&self, f: impl FnOnce(&mut HashMap<String, (u64, Flight)>) -> T) -> T {
        f(&mut self.under_way.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Takes a flight off the map when it ends, even if it ends in a panic: a flight that stayed would
/// be joined for ever.
struct Landing {
    flights: Arc<Flights>,
    key: String,
    number: u64,
}

impl Landing {
    /// Whether no write has come in between.
    fn is_current(&self) -> bool {
        self.flights.with(|flights| flights.get(&self.key).is_some_and(|(n, _)| *n == self.number))
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let landed = self.flights.with(|flights| match flights.get(&self.key) {
            Some((number, _)) if *number == self.number => flights.remove(&self.key),
            _ => None,
        });
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
}

impl Reads {
    /// Reads from these repositories, through this cache where there is one.
    pub fn new(
        accounts: Arc<dyn AccountRepository>,
        orders: Arc<dyn OrderRepository>,
        cache: Option<ReadCache>,
    ) -> Self {
        Self { accounts, orders, cache, flights: Arc::default() }
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

    async fn written(&self, what: What, value: Cached) {
        let Some(cache) = &self.cache else { return };
        let key = what.key();
        put(cache, &key, value).await;
        self.flights.with(|flights| flights.remove(&key));
    }

    async fn read(&self, what: What) -> Result<Option<Bytes>, QueryError> {
        let Some(cache) = &self.cache else {
            return self.load(what).await.map(|loaded| loaded.value);
        };
        let key = what.key();
        match cache.cache.get(&key).await {
            Ok(Some(hit)) => return Ok(hit.value),
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "cache not read"),
        }
        self.join_flight(cache, key, what).await.map(|loaded| loaded.value)
    }

    /// Joins the load of `key` that is under way, or begins one.
    fn join_flight(&self, cache: &ReadCache, key: String, what: What) -> Flight {
        self.flights.with(|flights| {
            if let Some((_, flight)) = flights.get(&key) {
                return flight.clone();
            }
            let number = self.flights.next.fetch_add(1, Ordering::Relaxed);
            let (reads, cache, name) = (self.clone(), cache.clone(), key.clone());
            // On its own task: it ends, and leaves the map, also when every reader has gone.
            let load = tokio::spawn(async move {
                let landing = Landing { flights: Arc::clone(&reads.flights), key: name, number };
                let loaded = reads.load(what).await;
                if let (Ok(value), true) = (&loaded, landing.is_current()) {
                    put(&cache, &landing.key, value.clone()).await;
                }
                loaded
            });
            let flight = load
                .map(|joined| {
                    joined.unwrap_or_else(|e| Err(QueryError::Unavailable(e.to_string())))
                })
                .boxed()
                .shared();
            flights.insert(key, (number, flight.clone()));
            flight
        })
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

async fn put(cache: &ReadCache, key: &str, value: Cached) {
    let never_was = value.value.is_none() && value.version == Version::ZERO;
    let ttl = if never_was { cache.absent_ttl } else { cache.ttl };
    if let Err(error) = cache.cache.put(key, value, ttl).await {
        tracing::debug!(%error, "cache not filled");
    }
}

#[cfg(test)]
mod tests;
