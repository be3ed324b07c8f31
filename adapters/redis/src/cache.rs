//! The cache that instances share.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use daybook_events::{Cache, CacheError, Cached, Lookup, TICKET_PATIENCE, Ticket, Version};
use redis::RedisResult;

use crate::client::Redis;
use crate::guard::{self, guard_key};
use crate::link::Link;
use crate::near::{self, Pair};
use crate::scripts::{FILL, INVALIDATE, LOOK, PUT};
use crate::trouble::RedisTrouble;

/// The cache that instances share.
///
/// A value is a plain string under its key, with its time to live; what it is stands beside it
/// under `{key}:guard`. Every call is answered within the settings' `command_timeout`, and at once
/// where Redis is known not to answer. A key must not contain braces where Redis is a cluster.
#[derive(Clone, Debug)]
pub struct RedisCache {
    redis: Redis,
}

impl RedisCache {
    /// The cache on a connection.
    pub fn new(redis: Redis) -> Self {
        Self { redis }
    }

    /// Runs `change`, which changes a key, and forgets what is kept near of it.
    async fn change<F>(&self, key: &str, change: impl FnOnce(Link) -> F) -> Result<(), CacheError>
    where
        F: Future<Output = RedisResult<()>>,
    {
        let changed = self.redis.call(self.redis.command_timeout(), false, |link| async {
            let near = link.near().cloned();
            let changed = change(link).await;
            // Redis tells of it too, but perhaps only after the caller has read again.
            if let Some(near) = near {
                near.forget(key);
            }
            changed
        });
        changed.await.map_err(unavailable)
    }
}

#[async_trait]
impl Cache for RedisCache {
    async fn get(&self, key: &str) -> Result<Lookup, CacheError> {
        let asked = self.redis.call(self.redis.command_timeout(), false, |link| look(link, key));
        asked.await.map_err(unavailable)
    }

    async fn fill(
        &self,
        key: &str,
        ticket: Ticket,
        value: Cached,
        ttl: Duration,
    ) -> Result<(), CacheError> {
        self.change(key, |mut link| async move {
            let run = link.run();
            let (fetched, filled) = (guard::of_ticket(ticket, &run), guard::of_reply(&value, &run));
            let args = [&*fetched, &filled, &millis(ttl)];
            FILL.run(&mut link, key, &args, value.value.as_deref()).await
        })
        .await
    }

    async fn put(&self, key: &str, value: Cached, ttl: Duration) -> Result<(), CacheError> {
        self.change(key, |mut link| async move {
            let put = guard::of_reply(&value, &link.run());
            let args = [&*value.version.to_string(), &put, &millis(ttl)];
            PUT.run(&mut link, key, &args, value.value.as_deref()).await
        })
        .await
    }

    async fn invalidate(&self, key: &str, version: Version) -> Result<(), CacheError> {
        self.change(key, |mut link| async move {
            INVALIDATE.run(&mut link, key, &[&*version.to_string()], None).await
        })
        .await
    }

    fn outages(&self) -> u64 {
        self.redis.outages()
    }

    async fn check(&self) -> Result<(), CacheError> {
        self.redis.check().await.map_err(unavailable)
    }
}

async fn look(mut link: Link, key: &str) -> RedisResult<Lookup> {
    let guard = guard_key(key);
    let run = link.run();
    let found = match link.near().cloned() {
        None => {
            let mut both = redis::cmd("MGET");
            let (value, state): Pair = both.arg(key).arg(&guard).query_async(&mut link).await?;
            guard::read(value, state.as_deref(), &run)
        }
        Some(near) => {
            if let Some(cached) = near.get(key) {
                return Ok(Lookup::Hit(cached));
            }
            let (number, asked) = (near.make(key), Instant::now());
            let ((value, state), stays) = near::read_tracked(&mut link, key, &guard).await?;
            let found = guard::read(value, state.as_deref(), &run);
            let until = stays.and_then(|stays| asked.checked_add(stays));
            if let (Some(Lookup::Hit(cached)), Some(until)) = (&found, until) {
                near.take(key, number, cached, until);
            }
            found
        }
    };
    match found {
        Some(found) => Ok(found),
        None => miss(&mut link, key).await,
    }
}

/// Nothing was there: asks for a ticket, unless something has come in the meantime.
async fn miss(link: &mut Link, key: &str) -> RedisResult<Lookup> {
    // 63 bits: as many digits as the scripts take for a number.
    let ticket = Ticket(rand::random::<u64>() >> 1);
    let run = link.run();
    let args = [&*guard::of_ticket(ticket, &run), &millis(TICKET_PATIENCE)];
    let found: Vec<Vec<u8>> = LOOK.run(link, key, &args, None).await?;
    let mut found = found.into_iter();
    let (guard, value) = (found.next(), found.next());
    let found = guard::read(value, guard.as_deref(), &run);
    // Whatever else was there is gone, and the ticket in its place.
    Ok(found.unwrap_or(Lookup::Miss(ticket)))
}

/// A time to live as Redis takes it: at least a millisecond.
fn millis(ttl: Duration) -> String {
    ttl.as_millis().clamp(1, i64::MAX as u128 / 2).to_string()
}

#[expect(clippy::needless_pass_by_value, reason = "the form in which errors are mapped")]
fn unavailable(trouble: RedisTrouble) -> CacheError {
    CacheError(trouble.to_string())
}
