//! The port to a cache of encoded replies.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;

use crate::Version;

/// A cached reply: the bytes that are sent, or the knowledge that there is nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cached {
    /// The version of the stream the reply was made from.
    pub version: Version,
    /// The encoded reply; `None` says that there is nothing to reply.
    pub value: Option<Bytes>,
}

/// How long a ticket is good for. A fetch that takes longer fills nothing.
pub const TICKET_PATIENCE: Duration = Duration::from_secs(5);

/// The right to fill one key: names one fetch of its value from where values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// What a cache knows of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// A reply, or that there is nothing.
    Hit(Cached),
    /// Nothing. Whoever asked is to fetch the value and fill it in with this ticket.
    Miss(Ticket),
    /// Nothing yet: someone else, here or on another instance, fetches it with this ticket.
    Pending(Ticket),
}

/// A bounded cache of replies, shared by all who read and write the same things.
///
/// A value gets in by a *ticket*, which whoever first misses a key is given before it goes to
/// where values come from. Every write voids it. So whatever was fetched before a write never gets
/// in after it, also where the cache lost everything in between.
///
/// Promises:
/// - of those who miss a key at once, one is given a ticket, and the others are told of it, until
///   the key is filled, the ticket is void, or [`TICKET_PATIENCE`] has passed;
/// - [`Cache::fill`] takes effect only while its ticket is the key's present one, and uses it up;
/// - [`Cache::put`] replaces a value only by one of a higher version. Where there is no value it
///   leaves none, and the ticket of the key is void;
/// - [`Cache::invalidate`] leaves no value of a lower version, and the ticket of the key is void;
/// - a value is not found any more once its time to live has passed;
/// - a value or a ticket may be lost at any time, and memory stays within the configured bound;
/// - the same key names the same value on every instance that shares the cache.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Cache: Send + Sync {
    /// What is known of a key.
    ///
    /// # Errors
    /// [`CacheError`] where the cache can't be asked; the caller goes to the database.
    async fn get(&self, key: &str) -> Result<Lookup, CacheError>;

    /// Sets the value of a key for `ttl`, with the ticket that was given for it. A ticket that is
    /// void changes nothing.
    ///
    /// # Errors
    /// [`CacheError`] where the cache can't be told.
    async fn fill(
        &self,
        key: &str,
        ticket: Ticket,
        value: Cached,
        ttl: Duration,
    ) -> Result<(), CacheError>;

    /// Tells what a write has made of a key, for `ttl`.
    ///
    /// # Errors
    /// [`CacheError`] where the cache can't be told.
    async fn put(&self, key: &str, value: Cached, ttl: Duration) -> Result<(), CacheError>;

    /// Tells that a key has come to `version`, whatever its value is now.
    ///
    /// # Errors
    /// [`CacheError`] where the cache can't be told.
    async fn invalidate(&self, key: &str, version: Version) -> Result<(), CacheError>;

    /// How often, so far, the cache could not be used from here. Meanwhile writes may not have been
    /// told to it: what it knows afterwards may be old.
    fn outages(&self) -> u64 {
        0
    }

    /// Whether the cache can be used now.
    ///
    /// # Errors
    /// [`CacheError`] where it can't.
    async fn check(&self) -> Result<(), CacheError>;
}

/// The cache could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the cache is unavailable: {0}")]
pub struct CacheError(pub String);
