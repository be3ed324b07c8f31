//! The cache in this process.

use std::fmt;
use std::future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use daybook_events::{Cache, CacheError, Cached, Lookup, TICKET_PATIENCE, Ticket, Version};
use moka::Expiry;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;

/// What an entry takes besides its key and its value: the tables, queues and counters around it.
const OVERHEAD: usize = 512;

/// A cache in this process, bounded in bytes; what was not asked for longest goes first.
#[derive(Clone)]
pub struct MemoryCache {
    entries: moka::future::Cache<Box<str>, Stored>,
    tickets: Arc<AtomicU64>,
}

#[derive(Clone)]
struct Stored {
    known: Known,
    ttl: Duration,
}

#[derive(Clone)]
enum Known {
    Reply(Cached),
    /// Someone fetches it with this ticket.
    Fetching(Ticket),
}

impl Stored {
    fn lookup(self) -> Lookup {
        match self.known {
            Known::Reply(cached) => Lookup::Hit(cached),
            Known::Fetching(ticket) => Lookup::Pending(ticket),
        }
    }
}

impl fmt::Debug for MemoryCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCache").finish_non_exhaustive()
    }
}

impl MemoryCache {
    /// An empty cache that takes at most about `max_bytes`.
    pub fn new(max_bytes: u64) -> Self {
        let entries = moka::future::Cache::builder()
            .max_capacity(max_bytes)
            .weigher(weight)
            .expire_after(OwnTtl)
            // A filter on admission would turn away what was just written, and with it the version
            // that keeps older replies out.
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self { entries, tickets: Arc::default() }
    }
}

#[expect(clippy::borrowed_box, reason = "a weigher is handed a reference to the key as it is kept")]
fn weight(key: &Box<str>, stored: &Stored) -> u32 {
    let value = match &stored.known {
        Known::Reply(cached) => cached.value.as_ref().map_or(0, Bytes::len),
        Known::Fetching(_) => 0,
    };
    u32::try_from(key.len().saturating_add(value).saturating_add(OVERHEAD)).unwrap_or(u32::MAX)
}

/// Every entry expires after the time it was put in for.
struct OwnTtl;

impl Expiry<Box<str>, Stored> for OwnTtl {
    fn expire_after_create(&self, _: &Box<str>, stored: &Stored, _: Instant) -> Option<Duration> {
        Some(stored.ttl)
    }

    fn expire_after_update(
        &self,
        _: &Box<str>,
        stored: &Stored,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(stored.ttl)
    }
}

impl MemoryCache {
    /// Changes an entry. One at a time for each key: nothing comes between the look and the change.
    async fn change(&self, key: &str, change: impl FnOnce(Option<Stored>) -> Op<Stored>) {
        self.entries
            .entry(key.into())
            .and_compute_with(|present| future::ready(change(present.map(moka::Entry::into_value))))
            .await;
    }
}

#[async_trait]
impl Cache for MemoryCache {
    async fn get(&self, key: &str) -> Result<Lookup, CacheError> {
        if let Some(stored) = self.entries.get(key).await {
            return Ok(stored.lookup());
        }
        let ticket = Ticket(self.tickets.fetch_add(1, Ordering::Relaxed));
        let mut lookup = Lookup::Miss(ticket);
        self.change(key, |present| match present {
            Some(stored) => {
                lookup = stored.lookup();
                Op::Nop
            }
            None => Op::Put(Stored { known: Known::Fetching(ticket), ttl: TICKET_PATIENCE }),
        })
        .await;
        Ok(lookup)
    }

    async fn fill(
        &self,
        key: &str,
        ticket: Ticket,
        value: Cached,
        ttl: Duration,
    ) -> Result<(), CacheError> {
        self.change(key, |present| match present.map(|stored| stored.known) {
            Some(Known::Fetching(valid)) if valid == ticket => {
                Op::Put(Stored { known: Known::Reply(value), ttl })
            }
            _ => Op::Nop,
        })
        .await;
        Ok(())
    }

    async fn put(&self, key: &str, value: Cached, ttl: Duration) -> Result<(), CacheError> {
        self.change(key, |present| match present.map(|stored| stored.known) {
            Some(Known::Reply(known)) if known.version < value.version => {
                Op::Put(Stored { known: Known::Reply(value), ttl })
            }
            Some(Known::Fetching(_)) => Op::Remove,
            _ => Op::Nop,
        })
        .await;
        Ok(())
    }

    async fn invalidate(&self, key: &str, version: Version) -> Result<(), CacheError> {
        self.change(key, |present| match present.map(|stored| stored.known) {
            Some(Known::Reply(known)) if known.version >= version => Op::Nop,
            Some(_) => Op::Remove,
            None => Op::Nop,
        })
        .await;
        Ok(())
    }

    async fn check(&self) -> Result<(), CacheError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;

    fn cached(version: u64, bytes: usize) -> Cached {
        Cached { version: Version::new(version), value: Some(Bytes::from(vec![b'x'; bytes])) }
    }

    const LONG: Duration = Duration::from_hours(1);

    async fn fetch(cache: &MemoryCache, key: &str, value: Cached) {
        let Lookup::Miss(ticket) = cache.get(key).await.unwrap() else { panic!("{key} was known") };
        cache.fill(key, ticket, value, LONG).await.unwrap();
    }

    async fn is_known(cache: &MemoryCache, key: &str) -> bool {
        matches!(cache.get(key).await.unwrap(), Lookup::Hit(_))
    }

    #[tokio::test]
    async fn stays_within_its_bytes_and_drops_what_was_not_asked_for_longest() {
        let cache = MemoryCache::new(64 * 1024);
        for n in 0..1_000 {
            fetch(&cache, &format!("k{n}"), cached(1, 1_000)).await;
        }
        cache.entries.run_pending_tasks().await;
        assert!(cache.entries.weighted_size() <= 64 * 1024);
        assert!(cache.entries.weighted_size() > 48 * 1024);
        assert!(is_known(&cache, "k999").await);
        assert!(!is_known(&cache, "k0").await);
    }

    #[tokio::test]
    async fn bounds_those_who_fetch_as_well() {
        let cache = MemoryCache::new(16 * 1024);
        for n in 0..1_000 {
            cache.get(&format!("k{n}")).await.unwrap();
        }
        cache.entries.run_pending_tasks().await;
        assert!(cache.entries.entry_count() <= 32);
    }

    #[tokio::test]
    async fn counts_what_says_that_there_is_nothing() {
        let cache = MemoryCache::new(16 * 1024);
        let nothing = Cached { version: Version::ZERO, value: None };
        for n in 0..1_000 {
            fetch(&cache, &format!("k{n}"), nothing.clone()).await;
        }
        cache.entries.run_pending_tasks().await;
        assert!(cache.entries.entry_count() <= 32);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn keeps_the_highest_of_the_versions_that_threads_put_at_once() {
        let cache = MemoryCache::new(1024 * 1024);
        for round in 0..50 {
            let key: Arc<str> = format!("k{round}").into();
            fetch(&cache, &key, cached(0, 1)).await;
            let mut writers = JoinSet::new();
            for version in (1..=32).step_by(2).chain((1..=32).rev().step_by(2)) {
                let (cache, key) = (cache.clone(), Arc::clone(&key));
                writers.spawn(async move { cache.put(&key, cached(version, 1), LONG).await });
            }
            writers.join_all().await;
            assert_eq!(cache.get(&key).await.unwrap(), Lookup::Hit(cached(32, 1)));
        }
    }

    #[tokio::test]
    async fn loses_a_value_that_is_too_large_and_what_it_replaced() {
        let cache = MemoryCache::new(8 * 1024);
        fetch(&cache, "k", cached(1, 10)).await;
        cache.put("k", cached(2, 16 * 1024), LONG).await.unwrap();
        cache.entries.run_pending_tasks().await;
        assert_eq!(cache.entries.weighted_size(), 0);
        assert!(!is_known(&cache, "k").await);
    }
}
