//! An old value never gets into the cache, and what is not understood there is put right.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod support;

use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use daybook_application::PresentIdentity;
use daybook_events::{Cache, Cached, Identity, InstallationId, Lookup, Ticket, Version};
use daybook_redis::{Redis, RedisCache, RedisSettings};
use support::Client;
use uuid::Uuid;

const TTL: Duration = Duration::from_mins(10);

fn settings(url: String) -> RedisSettings {
    RedisSettings { command_timeout: Duration::from_secs(5), ..RedisSettings::new(url) }
}

/// The installation of a test.
fn identity() -> PresentIdentity {
    let id = InstallationId::from_uuid(Uuid::from_u128(1));
    PresentIdentity::new(Identity { id, secret: [7; 16] })
}

fn cache_on(url: String) -> RedisCache {
    RedisCache::new(Redis::new(settings(url)).unwrap(), identity())
}

/// A cache, a client beside it, and a key of this test, on the server that all tests share.
async fn start() -> (RedisCache, Client, String) {
    let url = daybook_services::test_redis_url().unwrap();
    let client = Client::connect(&url).await;
    (cache_on(url), client, format!("account:{}:user:1", Uuid::now_v7()))
}

fn guard(key: &str) -> String {
    format!("{{{key}}}:guard")
}

fn reply(version: u64) -> Cached {
    let value = Some(Bytes::from(format!("{{\"version\":{version}}}")));
    Cached { version: Version::new(version), value }
}

async fn ticket(cache: &RedisCache, key: &str) -> Ticket {
    match cache.get(key).await.unwrap() {
        Lookup::Miss(ticket) => ticket,
        other => panic!("{key} was to be missed: {other:?}"),
    }
}

async fn fetch(cache: &RedisCache, key: &str, value: Cached) {
    let ticket = ticket(cache, key).await;
    cache.fill(key, ticket, value.clone(), TTL).await.unwrap();
    assert_eq!(cache.get(key).await.unwrap(), Lookup::Hit(value));
}

#[tokio::test]
async fn a_ticket_that_was_lost_or_voided_fills_nothing() {
    let (cache, mut client, key) = start().await;
    let slow = ticket(&cache, &key).await;
    client.ask(&["DEL", &key, &guard(&key)]).await;
    cache.fill(&key, slow, reply(1), TTL).await.unwrap();
    ticket(&cache, &key).await;
    cache.fill(&key, slow, reply(1), TTL).await.unwrap();
    assert!(matches!(cache.get(&key).await.unwrap(), Lookup::Pending(_)));
    assert_eq!(client.ask(&["GET", &key]).await, "nil");
}

#[tokio::test]
async fn a_flush_between_the_miss_and_the_fill_voids_the_ticket() {
    let server = daybook_services::Redis::start().unwrap();
    let (cache, mut client) = (cache_on(server.url()), Client::connect(&server.url()).await);
    let slow = ticket(&cache, "k").await;
    client.ask(&["FLUSHALL"]).await;
    cache.put("k", reply(2), TTL).await.unwrap();
    cache.fill("k", slow, reply(1), TTL).await.unwrap();
    assert_eq!(client.ask(&["DBSIZE"]).await, "0");
}

#[tokio::test]
async fn a_ticket_is_good_for_its_patience() {
    let (cache, mut client, key) = start().await;
    ticket(&cache, &key).await;
    let left: u64 = client.ask(&["PTTL", &guard(&key)]).await.parse().unwrap();
    assert!((1..=5_000).contains(&left), "{left}");
}

#[tokio::test]
async fn a_stalled_writer_never_brings_an_old_value_back() {
    for lost in ["value", "guard", "both", "neither"] {
        let (cache, mut client, key) = start().await;
        fetch(&cache, &key, reply(4)).await;
        let guard = guard(&key);
        match lost {
            "value" => client.ask(&["DEL", &key]).await,
            "guard" => client.ask(&["DEL", &guard]).await,
            "both" => client.ask(&["DEL", &key, &guard]).await,
            _ => String::new(),
        };
        // Its write is older than what was there; then it is newer, and others may have written since.
        for stalled in [3, 5] {
            cache.put(&key, reply(stalled), TTL).await.unwrap();
            let found = cache.get(&key).await.unwrap();
            if lost == "neither" {
                assert_eq!(found, Lookup::Hit(reply(stalled.max(4))));
            } else {
                assert!(!matches!(found, Lookup::Hit(_)), "{lost} lost: {found:?}");
            }
        }
        if lost != "neither" {
            assert_eq!(client.ask(&["GET", &key]).await, "nil", "{lost}");
        }
    }
}

#[tokio::test]
async fn a_value_or_a_guard_alone_is_a_miss_and_is_put_right() {
    for lost in ["value", "guard"] {
        let (cache, mut client, key) = start().await;
        fetch(&cache, &key, reply(4)).await;
        let guard = guard(&key);
        client.ask(&["DEL", if lost == "value" { &key } else { &guard }]).await;
        let ticket = ticket(&cache, &key).await;
        assert_eq!(client.ask(&["GET", &key]).await, "nil", "{lost}");
        assert_eq!(cache.get(&key).await.unwrap(), Lookup::Pending(ticket));
        cache.fill(&key, ticket, reply(5), TTL).await.unwrap();
        assert_eq!(cache.get(&key).await.unwrap(), Lookup::Hit(reply(5)));
    }
}

#[tokio::test]
async fn what_others_left_is_a_miss_and_is_put_right() {
    for (value, guard_text) in [
        (Some("old program"), None),
        (Some("x"), Some("garbage")),
        (Some("x"), Some("v:1")),
        (Some("x"), Some("v:1:otherrun")),
        (Some("x"), Some("v::")),
        (Some("x"), Some("l:1:0")),
        (None, Some("")),
        (None, Some("t:99999999999999999999:0")),
        (None, Some("t:0007:0")),
    ] {
        let (cache, mut client, key) = start().await;
        if let Some(value) = value {
            client.ask(&["SET", &key, value]).await;
        }
        if let Some(text) = guard_text {
            client.ask(&["SET", &guard(&key), text]).await;
        }
        fetch(&cache, &key, reply(1)).await;
    }
}

#[tokio::test]
async fn keys_of_another_type_are_a_miss_and_are_put_right() {
    let (cache, mut client, key) = start().await;
    for _ in 0..2 {
        client.ask(&["DEL", &key, &guard(&key)]).await;
        client.ask(&["LPUSH", &key, "x"]).await;
        client.ask(&["SADD", &guard(&key), "x"]).await;
        cache.put(&key, reply(1), TTL).await.unwrap();
        cache.invalidate(&key, Version::new(1)).await.unwrap();
        client.ask(&["LPUSH", &key, "x"]).await;
        client.ask(&["SADD", &guard(&key), "x"]).await;
        fetch(&cache, &key, reply(1)).await;
    }
}

#[tokio::test]
async fn versions_beyond_what_a_double_holds_are_told_apart() {
    let (cache, _client, key) = start().await;
    let two_to_53 = 1 << 53;
    fetch(&cache, &key, reply(two_to_53)).await;
    for version in [two_to_53 + 1, two_to_53 + 2, 9_999_999_999_999_999, 10_000_000_000_000_000] {
        cache.put(&key, reply(version), TTL).await.unwrap();
        assert_eq!(cache.get(&key).await.unwrap(), Lookup::Hit(reply(version)));
    }
    let highest = u64::MAX >> 1;
    cache.put(&key, reply(highest), TTL).await.unwrap();
    cache.put(&key, reply(highest - 1), TTL).await.unwrap();
    cache.invalidate(&key, Version::new(highest)).await.unwrap();
    assert_eq!(cache.get(&key).await.unwrap(), Lookup::Hit(reply(highest)));
}

#[tokio::test]
async fn a_server_that_forgot_the_scripts_is_told_them_again() {
    let server = daybook_services::Redis::start().unwrap();
    let (cache, mut client) = (cache_on(server.url()), Client::connect(&server.url()).await);
    for round in 1..=3 {
        client.ask(&["SCRIPT", "FLUSH"]).await;
        fetch(&cache, &format!("k{round}"), reply(round)).await;
    }
}

/// The server comes back with what it had on disk, in which a later write is missing.
#[tokio::test]
async fn what_a_crashed_server_brings_back_is_not_served() {
    let server = daybook_services::Redis::start().unwrap();
    let cache = cache_on(server.url());
    fetch(&cache, "k", reply(1)).await;
    let slow = ticket(&cache, "fetched").await;
    Client::connect(&server.url()).await.ask(&["SAVE"]).await;
    cache.put("k", reply(2), TTL).await.unwrap();
    server.kill().unwrap();
    server.restart().unwrap();
    let restored = Client::connect(&server.url()).await.ask(&["GET", "k"]).await;
    assert_eq!(restored, "{\"version\":1}");

    tokio::time::timeout(Duration::from_secs(10), async {
        while cache.get("other").await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    fetch(&cache, "k", reply(2)).await;
    cache.fill("fetched", slow, reply(1), TTL).await.unwrap();
    ticket(&cache, "fetched").await;
}

fn near_on(url: String) -> RedisCache {
    let near_cache = NonZeroUsize::new(100);
    RedisCache::new(Redis::new(RedisSettings { near_cache, ..settings(url) }).unwrap(), identity())
}

/// How many reads the server has answered.
async fn reads(client: &mut Client) -> String {
    let stats = client.ask(&["INFO", "commandstats"]).await;
    let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_getrange:calls="));
    calls.unwrap().split(',').next().unwrap().to_owned()
}

#[tokio::test]
async fn what_is_kept_near_is_not_asked_for_again_until_another_changes_it() {
    let server = daybook_services::Redis::start().unwrap();
    let (near, other) = (near_on(server.url()), cache_on(server.url()));
    let mut client = Client::connect(&server.url()).await;
    fetch(&near, "k", reply(1)).await;
    let before = reads(&mut client).await;
    for _ in 0..100 {
        assert_eq!(near.get("k").await.unwrap(), Lookup::Hit(reply(1)));
    }
    assert_eq!(reads(&mut client).await, before);

    for version in 2..=50 {
        other.put("k", reply(version), TTL).await.unwrap();
        tokio::time::timeout(Duration::from_secs(10), async {
            while near.get("k").await.unwrap() != Lookup::Hit(reply(version)) {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    }
    client.ask(&["FLUSHALL"]).await;
    tokio::time::timeout(Duration::from_secs(10), async {
        while matches!(near.get("k").await.unwrap(), Lookup::Hit(_)) {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

/// Readers and a writer at once: once the writer has stopped, nobody is left with an old value.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_old_stays_near_however_reads_and_writes_meet() {
    const LAST: u64 = 2_000;
    let url = daybook_services::test_redis_url().unwrap();
    let key = format!("account:{}:user:1", Uuid::now_v7());
    let (near, other) = (near_on(url.clone()), cache_on(url));
    fetch(&near, &key, reply(1)).await;
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let (near, key) = (near.clone(), key.clone());
            tokio::spawn(async move {
                let mut seen = Version::ZERO;
                while seen < Version::new(LAST) {
                    let Lookup::Hit(cached) = near.get(&key).await.unwrap() else {
                        panic!("a value was lost")
                    };
                    assert!(cached.version >= seen, "{} after {seen}", cached.version);
                    assert_eq!(cached, reply(cached.version.get()));
                    seen = cached.version;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for version in 2..=LAST {
        other.put(&key, reply(version), TTL).await.unwrap();
    }
    for reader in readers {
        tokio::time::timeout(Duration::from_secs(30), reader).await.unwrap().unwrap();
    }
}
