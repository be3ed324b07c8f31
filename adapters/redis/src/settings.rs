//! What a connection to Redis is made from.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use thiserror::Error;

/// What a connection to Redis is made from.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisSettings {
    /// Where Redis is: `redis://`, `rediss://` (TLS) or `unix://`, or the nodes of a cluster as
    /// `redis+cluster://host:port,host:port` or `rediss+cluster://…`. It may hold a user name and a
    /// password, and is never shown.
    pub url: String,
    /// How long a call of the cache may take.
    pub command_timeout: Duration,
    /// How many replies this process keeps for itself; `None` for none. Redis tells it of every
    /// change, but some milliseconds late. Not for clusters.
    pub near_cache: Option<NonZeroUsize>,
    /// The channel on which instances tell each other of new events.
    pub events_channel: String,
    /// Where the names of keys and channels begin, before a colon; empty where they begin as others
    /// know them. Letters, digits, `-`, `_` and `.`, at most 64.
    pub namespace: String,
}

impl RedisSettings {
    /// The settings for a URL, with 100 ms for a call of the cache and nothing kept near.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            command_timeout: Duration::from_millis(100),
            near_cache: None,
            events_channel: "daybook:events".to_owned(),
            namespace: String::new(),
        }
    }
}

impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the URL: it may hold a password.
        f.debug_struct("RedisSettings")
            .field("command_timeout", &self.command_timeout)
            .field("near_cache", &self.near_cache)
            .field("events_channel", &self.events_channel)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// Settings that can never work. The text tells what to change, and shows nothing of the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RedisConfigError {
    /// The URL is none that is understood.
    #[error(
        "REDIS_URL can't be read: write redis://host:port, rediss://host:port, unix:///path or \
         redis+cluster://host:port,host:port; a user name and a password go before the host, as \
         in redis://user:password@host:port, with %40 for @, %3A for : and %2F for /"
    )]
    Url,
    /// The URL says something after `?` or `#` that nobody would read.
    #[error(
        "REDIS_URL has parameters that mean nothing: the number of a database is the path, as in \
         redis://host:6379/3, and a user name and a password go before the host; only unix:///path \
         has ?db=3&user=…&pass=…, each once, and only rediss:// has #insecure"
    )]
    Parameters,
    /// A cluster was asked for another database than 0.
    #[error(
        "REDIS_URL names a database of a cluster, which has no other than 0: leave the path out"
    )]
    ClusterDatabase,
    /// A near cache was asked for with a cluster.
    #[error(
        "the near cache does not work with a cluster: switch it off, or give REDIS_URL one node"
    )]
    NearCacheOfCluster,
    /// The channel for events is empty or one of those for notifications.
    #[error("the events channel must be neither empty nor one for notifications")]
    EventsChannel,
    /// The namespace has characters that would mean something in a key.
    #[error(
        "DAYBOOK_NAMESPACE has at most 64 letters, digits, hyphens, underscores and full stops, \
         as in staging"
    )]
    Namespace,
}
