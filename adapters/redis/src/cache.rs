//! The cache that instances share.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use daybook_application::PresentIdentity;
use daybook_events::{Cache, CacheError, Cached, Lookup, TICKET_PATIENCE, Ticket, Version};
use redis::{RedisError, RedisResult};

use crate::client::Redis;
use crate::guard::{self, LARGEST, Writer, guard_key};
use crate::link::Link;
use crate::near::{self, Pair};
use crate::scripts::{FILL, INVALIDATE, LOOK, PUT};
use crate::trouble::RedisTrouble;

/// The cache that instances share.
///
/// A value is a plain string under its key, with its time to live; what it is stands beside it
/// under `{key}:guard`, and who put it there. What another installation or anybody else has put
/// there is not believed. Every call is answered within the settings' `command_timeout`, and at once
/// where Redis is known not to answer. A key must not contain braces where Redis is a cluster.
#[derive(Clone, Debug)]
pub struct RedisCache {
    redis: Redis,
    identity: PresentIdentity,
}

impl RedisCache {
    /// The cache of this installation on a connection.
    pub fn new(redis: Redis, identity: PresentIdentity) -> Self {
        Self { redis, identity }
    }

    /// Runs `change`, which changes a key, and forgets what is kept near of it.
    async fn change<F>(
        &self,
        key: &str,
        change: impl FnOnce(Link, Writer) -> F,
    ) -> Result<(), CacheError>
    where
        F: Future<Output = RedisResult<()>>,
    {
        let changed = self.redis.call(self.redis.command_timeout(), false, |link| async {
            let near = link.near().cloned();
            let writer = Writer::new(&link.run(), self.identity.get());
            let changed = change(link, writer).await;
            // Redis tells of it too, but perhaps only after the caller has read again.
            if let Some(near) = near {
                near.forget(key);
            }
            changed
        });
        changed.await.map_err(unavailable)
    }

    async fn look(&self, mut link: Link, key: &str) -> RedisResult<Lookup> {
        let guard = guard_key(key);
        let writer = Writer::new(&link.run(), self.identity.get());
        let found = match link.near().cloned() {
            None => {
                let pair = read(&mut link, key, &guard).await?;
                self.believed(&writer, key, pair)
            }
            Some(near) => {
                if let Some(cached) = near.get(key, writer.id()) {
                    return Ok(Lookup::Hit(cached));
                }
                let (number, asked) = (near.make(key, writer.id()), Instant::now());
                let (pair, stays) = near::read_tracked(&mut link, key, &guard).await?;
                let found = self.believed(&writer, key, pair);
                let until = stays.and_then(|stays| asked.checked_add(stays));
                if let (Some(Lookup::Hit(cached)), Some(until)) = (&found, until) {
                    near.take(key, number, cached, until);
                }
                found
            }
        };
        match found {
            Some(found) => Ok(found),
            None => self.miss(&mut link, &writer, key).await,
        }
    }

    /// Nothing was there: asks for a ticket, unless something has come in the meantime.
    async fn miss(&self, link: &mut Link, writer: &Writer, key: &str) -> RedisResult<Lookup> {
        // 63 bits: as many digits as the scripts take for a number.
        let ticket = Ticket(rand::random::<u64>() >> 1);
        let (guard, patience) = (writer.of_ticket(ticket), millis(TICKET_PATIENCE));
        let mut lie = String::new();
        loop {
            let args = [&*guard, &patience, &lie];
            let found: Vec<Vec<u8>> = LOOK.run(link, key, writer.mark(), &args, None).await?;
            let mut found = found.into_iter();
            // Whatever else was there is gone, and the ticket in its place.
            let Some(said) = found.next() else { return Ok(Lookup::Miss(ticket)) };
            let told = String::from_utf8_lossy(&said).into_owned();
            if let Some(found) = self.believed(writer, key, (found.next(), Some(said))) {
                return Ok(found);
            }
            if lie == told {
                // It is put there again and again: the value is fetched, and not kept.
                return Ok(Lookup::Miss(ticket));
            }
            lie = told;
        }
    }

    /// What is there, where this installation put it there. Another that did is made a note of.
    fn believed(&self, writer: &Writer, key: &str, (value, guard): Pair) -> Option<Lookup> {
        let found = writer.read(key, value, guard.as_deref());
        if found.is_none()
            && let Some(author) = guard.as_deref().and_then(guard::author)
            && author != writer.id()
        {
            self.identity.has_met("cache", &author.to_string());
        }
        found
    }
}

#[async_trait]
impl Cache for RedisCache {
    async fn get(&self, key: &str) -> Result<Lookup, CacheError> {
        let key = &*self.redis.named(key);
        let limit = self.redis.command_timeout();
        let asked = self.redis.call(limit, false, |link| self.look(link, key));
        asked.await.map_err(unavailable)
    }

    async fn fill(
        &self,
        key: &str,
        ticket: Ticket,
        value: Cached,
        ttl: Duration,
    ) -> Result<(), CacheError> {
        if is_too_large(&value) {
            return self.invalidate(key, Version::ZERO).await;
        }
        let key = &*self.redis.named(key);
        self.change(key, |mut link, writer| async move {
            let (fetched, filled) = (writer.of_ticket(ticket), writer.of_reply(key, &value));
            let args = [&*fetched, &filled, &millis(ttl)];
            FILL.run(&mut link, key, writer.mark(), &args, value.value.as_deref()).await
        })
        .await
    }

    async fn put(&self, key: &str, value: Cached, ttl: Duration) -> Result<(), CacheError> {
        if is_too_large(&value) {
            return self.invalidate(key, value.version).await;
        }
        let key = &*self.redis.named(key);
        self.change(key, |mut link, writer| async move {
            let put = writer.of_reply(key, &value);
            let args = [&*value.version.to_string(), &put, &millis(ttl)];
            PUT.run(&mut link, key, writer.mark(), &args, value.value.as_deref()).await
        })
        .await
    }

    async fn invalidate(&self, key: &str, version: Version) -> Result<(), CacheError> {
        let key = &*self.redis.named(key);
        self.change(key, |mut link, writer| async move {
            let args = [&*version.to_string()];
            INVALIDATE.run(&mut link, key, writer.mark(), &args, None).await
        })
        .await
    }

    fn outages(&self) -> u64 {
        self.redis.outages()
    }

    async fn check(&self) -> Result<(), CacheError> {
        self.redis.check_cache().await.map_err(unavailable)
    }
}

fn is_too_large(value: &Cached) -> bool {
    value.value.as_ref().is_some_and(|value| value.len() > LARGEST)
}

/// A value, as far as it may be one, and its guard. They may be read at two moments: then they don't
/// fit each other, and are looked at again in one step.
async fn read(link: &mut Link, key: &str, guard: &str) -> RedisResult<Pair> {
    let mut both = redis::pipe();
    near::ask_for_both(&mut both, key, guard);
    match both.query_async(link).await {
        Err(error) if is_of_another_type(&error) => Ok((None, None)),
        read => read.map(|(value, guard)| near::pair(value, guard)),
    }
}

/// Whether a key is there that is no string.
pub(crate) fn is_of_another_type(error: &RedisError) -> bool {
    let errors = error.clone().into_server_errors();
    errors.is_some_and(|errors| errors.iter().all(|(_, error)| error.code() == "WRONGTYPE"))
}

/// A time to live as Redis takes it: at least a millisecond.
fn millis(ttl: Duration) -> String {
    ttl.as_millis().clamp(1, i64::MAX as u128 / 2).to_string()
}

#[expect(clippy::needless_pass_by_value, reason = "the form in which errors are mapped")]
fn unavailable(trouble: RedisTrouble) -> CacheError {
    CacheError(trouble.to_string())
}
