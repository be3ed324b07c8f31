//! The cache in this process.

use std::fmt;
use std::future;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use daybook_events::{Cache, CacheError, Cached};
use moka::Expiry;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;

/// What an entry takes besides its key and its value: the tables, queues and counters around it.
const OVERHEAD: usize = 512;

/// A cache in this process, bounded in bytes; what was not asked for longest goes first.
#[derive(Clone)]
pub struct MemoryCache {
    entries: moka::future::Cache<Box<str>, Stored>,
}

#[derive(Clone)]
struct Stored {
    cached: Cached,
    ttl: Duration,
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
        Self { entries }
    }
}

#[expect(clippy::borrowed_box, reason = "a weigher is handed a reference to the key as it is kept")]
fn weight(key: &Box<str>, stored: &Stored) -> u32 {
    let value = stored.cached.value.as_ref().map_or(0, Bytes::len);
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

#[async_trait]
impl Cache for MemoryCache {
    async fn get(&self, key: &str) -> Result<Option<Cached>, CacheError> {
        Ok(self.entries.get(key).await.map(|stored| stored.cached))
    }

    async fn put(&self, key: &str, value: Cached, ttl: Duration) -> Result<(), CacheError> {
        // One at a time for each key: nothing comes between the comparison and the replacement.
        let version = value.version;
        self.entries
            .entry(key.into())
            .and_compute_with(|present| {
                let newer = present.is_none_or(|present| present.value().cached.version < version);
                let op = if newer { Op::Put(Stored { cached: value, ttl }) } else { Op::Nop };
                future::ready(op)
            })
            .await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use daybook_events::Version;
    use tokio::task::JoinSet;

    use super::*;

    fn cached(version: u64, bytes: usize) -> Cached {
        Cached { version: Version::new(version), value: Some(Bytes::from(vec![b'x'; bytes])) }
    }

    const LONG: Duration = Duration::from_hours(1);

    #[tokio::test]
    async fn stays_within_its_bytes_and_drops_what_was_not_asked_for_longest() {
        let cache = MemoryCache::new(64 * 1024);
        for n in 0..1_000 {
            cache.put(&format!("k{n}"), cached(1, 1_000), LONG).await.unwrap();
        }
        cache.entries.run_pending_tasks().await;
        assert!(cache.entries.weighted_size() <= 64 * 1024);
        assert!(cache.entries.weighted_size() > 48 * 1024);
        assert!(cache.get("k999").await.unwrap().is_some());
        assert_eq!(cache.get("k0").await.unwrap(), None);
    }

    #[tokio::test]
    async fn counts_what_says_that_there_is_nothing() {
        let cache = MemoryCache::new(16 * 1024);
        let nothing = Cached { version: Version::ZERO, value: None };
        for n in 0..1_000 {
            cache.put(&format!("k{n}"), nothing.clone(), LONG).await.unwrap();
        }
        cache.entries.run_pending_tasks().await;
        assert!(cache.entries.entry_count() <= 32);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn keeps_the_highest_of_the_versions_that_threads_put_at_once() {
        let cache = MemoryCache::new(1024 * 1024);
        for round in 0..50 {
            let key: Arc<str> = format!("k{round}").into();
            let mut writers = JoinSet::new();
            for version in (1..=32).step_by(2).chain((1..=32).rev().step_by(2)) {
                let (cache, key) = (cache.clone(), Arc::clone(&key));
                writers.spawn(async move { cache.put(&key, cached(version, 1), LONG).await });
            }
            writers.join_all().await;
            assert_eq!(cache.get(&key).await.unwrap(), Some(cached(32, 1)));
        }
    }

    #[tokio::test]
    async fn loses_a_value_that_is_too_large_and_what_it_replaced() {
        let cache = MemoryCache::new(8 * 1024);
        cache.put("k", cached(1, 10), LONG).await.unwrap();
        cache.put("k", cached(2, 16 * 1024), LONG).await.unwrap();
        cache.entries.run_pending_tasks().await;
        assert_eq!(cache.get("k").await.unwrap(), None);
        assert_eq!(cache.entries.weighted_size(), 0);
    }
}
