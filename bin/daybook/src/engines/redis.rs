//! Redis, where it is configured.

use std::num::NonZeroUsize;

use daybook_redis::{Redis, RedisSettings};

use super::secret::secret;
use crate::cli::RedisOptions;
use crate::startup::StartupError;

/// How many replies a process keeps that is asked to.
const NEAR: NonZeroUsize = NonZeroUsize::MIN.saturating_add(65_535);

/// A connection that is made in the background; `None` where Redis is not configured.
pub(crate) fn connect(options: &RedisOptions) -> Result<Option<Redis>, StartupError> {
    let url = secret("REDIS_URL", options.redis_url.as_deref(), options.redis_url_file.as_deref())?;
    let address = options.redis_addr.as_deref().filter(|address| !address.is_empty());
    let url = match (url, address) {
        (Some(url), _) => url,
        (None, Some(address)) => url_of(address)?,
        (None, None) => return Ok(None),
    };
    let settings = RedisSettings {
        near_cache: options.near_cache.then_some(NEAR),
        events_channel: options.events_channel.clone(),
        namespace: options.namespace.clone(),
        ..RedisSettings::new(url)
    };
    Ok(Some(Redis::new(settings)?))
}

/// The URL of a `host:port`.
fn url_of(address: &str) -> Result<String, StartupError> {
    let port = address.rsplit_once(':').and_then(|(host, port)| {
        let plain = !host.is_empty() && !host.contains(['/', '@', '?', '#']);
        plain.then(|| port.parse::<u16>().ok()).flatten()
    });
    match port {
        Some(_) => Ok(format!("redis://{address}/")),
        None => Err(StartupError::RedisAddress),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        assert_eq!(url_of("localhost:6379").unwrap(), "redis://localhost:6379/");
        assert_eq!(url_of("[::1]:6379").unwrap(), "redis://[::1]:6379/");
        for wrong in [
            "localhost",
            ":6379",
            "localhost:port",
            "redis://localhost:6379",
            "u:p@h:1",
            "h:1/3",
            "h?db=3:1",
            "h#x:1",
        ] {
            assert!(url_of(wrong).is_err(), "{wrong}");
        }
    }
}
