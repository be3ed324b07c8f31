//! A cache that takes whatever it is given.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use daybook_events::{Cache, CacheError, Cached, Lookup, Ticket, Version};

/// As long a fetch from the database may take now and then.
const SLOW_FETCH: Duration = Duration::from_millis(3);
/// Higher than every version there is.
const HIGHEST: Version = Version::new(i64::MAX.unsigned_abs());

pub(super) struct VersionsIgnored(Arc<dyn Cache>);

impl VersionsIgnored {
    pub(super) fn new(cache: Arc<dyn Cache>) -> Self {
        Self(cache)
    }

    async fn force(&self, key: &str, value: Cached, ttl: Duration) -> Result<(), CacheError> {
        self.0.invalidate(key, HIGHEST).await?;
        match self.0.get(key).await? {
            Lookup::Miss(ticket) => self.0.fill(key, ticket, value, ttl).await,
            Lookup::Hit(_) | Lookup::Pending(_) => Ok(()),
        }
    }
}

#[async_trait]
impl Cache for VersionsIgnored {
    async fn get(&self, key: &str) -> Result<Lookup, CacheError> {
        self.0.get(key).await
    }

    async fn fill(
        &self,
        key: &str,
        _: Ticket,
        value: Cached,
        ttl: Duration,
    ) -> Result<(), CacheError> {
        tokio::time::sleep(SLOW_FETCH).await;
        self.force(key, value, ttl).await
    }

    async fn put(&self, key: &str, value: Cached, ttl: Duration) -> Result<(), CacheError> {
        self.force(key, value, ttl).await
    }

    async fn invalidate(&self, key: &str, version: Version) -> Result<(), CacheError> {
        self.0.invalidate(key, version).await
    }

    fn outages(&self) -> u64 {
        self.0.outages()
    }

    async fn check(&self) -> Result<(), CacheError> {
        self.0.check().await
    }
}
