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

/// A bounded cache of replies.
///
/// Promises:
/// - [`Cache::put`] replaces a value only by one of a higher version: whoever is slow can never
///   put an old value back;
/// - a value is not found any more once its time to live has passed;
/// - a value may be lost at any time, and memory stays within the configured bound.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Cache: Send + Sync {
    /// The value of a key.
    ///
    /// # Errors
    /// [`CacheError`] where the cache can't be asked; the caller goes to the database.
    async fn get(&self, key: &str) -> Result<Option<Cached>, CacheError>;

    /// Sets the value of a key for `ttl`, unless it has one of the same or a higher version.
    ///
    /// # Errors
    /// [`CacheError`] where the cache can't be told.
    async fn put(&self, key: &str, value: Cached, ttl: Duration) -> Result<(), CacheError>;
}

/// The cache could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the cache is unavailable: {0}")]
pub struct CacheError(pub String);
