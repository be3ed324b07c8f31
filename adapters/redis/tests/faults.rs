//! A server that hangs, dies, was never there, or is something else: calls fail fast, say why, and
//! all comes back by itself.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use daybook_application::PresentIdentity;
use daybook_events::{
    Cache, Cached, EventBus, EventData, EventId, EventSignals, Identity, InstallationId, Lookup,
    Metadata, Position, RecordedEvent, Signal, StreamId, Timestamp, Topic, Version,
};
use daybook_redis::{Heard, Redis, RedisBus, RedisCache, RedisSettings, RedisTrouble};
use futures_util::StreamExt;
use support::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use uuid::Uuid;

const TTL: Duration = Duration::from_mins(10);

/// How long anything that has to happen may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// The installation of a test.
fn identity() -> PresentIdentity {
    let id = InstallationId::from_uuid(Uuid::from_u128(1));
    PresentIdentity::new(Identity { id, secret: [7; 16] })
}

fn connect(url: &str) -> (Redis, RedisCache, RedisBus) {
    let redis = Redis::new(RedisSettings::new(url)).unwrap();
    (redis.clone(), RedisCache::new(redis.clone(), identity()), RedisBus::new(redis, identity()))
}

fn batch(position: u64) -> Arc<[Arc<RecordedEvent>]> {
    Arc::new([Arc::new(RecordedEvent {
        position: Position::new(position),
        id: EventId::from_uuid(Uuid::from_u128(position.into())),
        stream: StreamId::new("order", position),
        version: Version::new(1),
        event_type: "OrderCreated".into(),
        timestamp: Timestamp::from_micros(1_795_392_000_123_456),
        data: EventData::of(&position),
        owner: None,
        order_id: None,
        metadata: Metadata::default(),
    })])
}

fn reply() -> Cached {
    Cached { version: Version::new(1), value: Some(Bytes::from_static(b"{}")) }
}

async fn next(signals: &mut EventSignals) -> Signal {
    tokio::time::timeout(DEADLINE, signals.next()).await.unwrap().unwrap()
}

async fn is_back(redis: &Redis) {
    tokio::time::timeout(DEADLINE, async {
        while redis.check().await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
}

/// Publishes until the subscriber hears it; it must have heard of the gap first.
async fn gap_then_events(bus: &RedisBus, signals: &mut EventSignals) {
    assert!(matches!(next(signals).await, Signal::Missed));
    bus.publish(batch(9)).await.unwrap();
    match next(signals).await {
        Signal::Events(events) => assert_eq!(events[..], batch(9)[..]),
        Signal::Missed => panic!("nothing more was missed"),
    }
}

/// Calls, each of them bounded, until the breaker is open.
async fn until_the_breaker_opens(redis: &Redis, cache: &RedisCache) {
    let mut calls = 0;
    while redis.check().await.is_ok() {
        calls += 1;
        assert!(calls <= 20, "the breaker stays closed");
        let bounded = tokio::time::timeout(DEADLINE, cache.get("k")).await.unwrap();
        bounded.unwrap_err();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_costs_some_timeouts_then_nothing_and_all_comes_back() {
    let server = daybook_services::Redis::start().unwrap();
    let (redis, cache, bus) = connect(&server.url());
    is_back(&redis).await;
    let mut signals = bus.subscribe().await.unwrap();
    server.pause().unwrap();
    until_the_breaker_opens(&redis, &cache).await;
    // A thousand calls that each waited would take 100 s.
    let begun = Instant::now();
    for _ in 0..1_000 {
        cache.put("k", reply(), TTL).await.unwrap_err();
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let at = server.url().replace("redis://", "").replace('/', "");
    assert_eq!(redis.check().await, Err(RedisTrouble::NotAnswering { at }));
    bus.publish(batch(1)).await.unwrap_err();

    server.resume().unwrap();
    is_back(&redis).await;
    assert!(matches!(cache.get("k").await.unwrap(), Lookup::Miss(_)));
    // Whether the same connection went on or another took over, there is no silent gap.
    bus.publish(batch(9)).await.unwrap();
    while !matches!(next(&mut signals).await, Signal::Events(events) if events[..] == batch(9)[..])
    {
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_stall_loses_no_event() {
    let server = daybook_services::Redis::start().unwrap();
    let (redis, cache, bus) = connect(&server.url());
    is_back(&redis).await;
    let mut signals = bus.subscribe().await.unwrap();
    server.pause().unwrap();
    until_the_breaker_opens(&redis, &cache).await;
    let (publishing, cached) = tokio::join!(bus.publish(batch(1)), async {
        let cached = cache.get("k").await;
        server.resume().unwrap();
        cached
    });
    cached.unwrap_err();
    publishing.unwrap();
    assert!(
        matches!(next(&mut signals).await, Signal::Events(events) if events[..] == batch(1)[..])
    );
    is_back(&redis).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_and_comes_back_is_used_again_and_the_gap_is_told() {
    let server = daybook_services::Redis::start().unwrap();
    let (redis, cache, bus) = connect(&server.url());
    let mut signals = bus.subscribe().await.unwrap();
    let mut messages = redis.listen_to(&Topic::default()).await;
    for round in 0..3 {
        assert!(matches!(cache.get("k").await.unwrap(), Lookup::Miss(_)), "round {round}");
        server.kill().unwrap();
        tokio::time::timeout(DEADLINE, async { while redis.check().await.is_ok() {} })
            .await
            .unwrap();
        let trouble = redis.check().await.unwrap_err();
        assert!(matches!(trouble, RedisTrouble::Unreachable { .. }), "{trouble}");
        assert!(cache.get("k").await.is_err());
        assert!(bus.publish(batch(1)).await.is_err());
        // A subscription stays, also one that begins now.
        let mut late = bus.subscribe().await.unwrap();

        server.restart().unwrap();
        is_back(&redis).await;
        gap_then_events(&bus, &mut signals).await;
        assert!(matches!(next(&mut late).await, Signal::Missed));
        assert!(matches!(next(&mut late).await, Signal::Events(_)));
        let heard = tokio::time::timeout(DEADLINE, messages.next()).await.unwrap();
        assert_eq!(heard, Some(Heard::Missed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_later_is_found() {
    let server = daybook_services::Redis::start().unwrap();
    server.kill().unwrap();
    let (redis, cache, bus) = connect(&server.url());
    assert!(cache.get("k").await.is_err());
    let mut signals = bus.subscribe().await.unwrap();
    let trouble = redis.check().await.unwrap_err().to_string();
    assert!(trouble.contains("REDIS_URL") && trouble.contains("127.0.0.1"), "{trouble}");
    server.restart().unwrap();
    is_back(&redis).await;
    gap_then_events(&bus, &mut signals).await;
    assert!(matches!(cache.get("k").await.unwrap(), Lookup::Miss(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_dies_and_comes_back_is_used_again_and_the_gap_is_told() {
    let server = daybook_services::Redis::start_cluster().unwrap();
    let (redis, cache, bus) = connect(&server.url().replace("redis://", "redis+cluster://"));
    let mut signals = bus.subscribe().await.unwrap();
    server.kill().unwrap();
    tokio::time::timeout(DEADLINE, async { while redis.check().await.is_ok() {} }).await.unwrap();
    assert!(cache.get("k").await.is_err());
    server.restart().unwrap();
    // After a restart a cluster refuses commands for two seconds.
    tokio::time::timeout(DEADLINE, async {
        while cache.get("k").await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    assert!(matches!(next(&mut signals).await, Signal::Missed));
    bus.publish(batch(9)).await.unwrap();
    while !matches!(next(&mut signals).await, Signal::Events(_)) {}
}

/// What a connection says of a URL; it must name the setting, and neither the user nor the password.
async fn trouble_at(url: &str) -> RedisTrouble {
    let (redis, cache, bus) = connect(url);
    let trouble = redis.check().await.unwrap_err();
    let said = [
        trouble.to_string(),
        format!("{redis:?} {trouble:?}"),
        cache.check().await.unwrap_err().to_string(),
        cache.get("k").await.unwrap_err().to_string(),
        bus.check().await.unwrap_err().to_string(),
        bus.publish(batch(1)).await.unwrap_err().to_string(),
    ];
    for text in &said {
        assert!(!text.contains("hidden") && !text.contains("zoe"), "{text}");
        assert!(!text.contains('\n'), "{text}");
    }
    assert!(said[0].contains("REDIS_URL"), "{}", said[0]);
    trouble
}

#[tokio::test]
async fn a_wrong_password_and_a_missing_one_are_told_apart() {
    let server = daybook_services::Redis::start_with(&["--requirepass", "right"]).unwrap();
    let url = server.url();
    let with = |login: &str| url.replace("redis://", &format!("redis://{login}@"));
    for login in [":hidden", "zoe:hidden", "default:hidden"] {
        let trouble = trouble_at(&with(login)).await;
        assert!(matches!(trouble, RedisTrouble::LoginRefused { .. }), "{trouble}");
    }
    let trouble = trouble_at(&url).await;
    assert!(matches!(trouble, RedisTrouble::LoginMissing { .. }), "{trouble}");
    for login in [":right", "default:right"] {
        assert_eq!(connect(&with(login)).0.check().await, Ok(()));
    }
    let cluster = with("zoe:hidden").replace("redis://", "redis+cluster://");
    let trouble = trouble_at(&cluster).await;
    assert!(matches!(trouble, RedisTrouble::LoginRefused { .. }), "{trouble}");
}

#[tokio::test]
async fn a_user_needs_the_permissions_that_are_named_and_no_more() {
    let server = daybook_services::Redis::start().unwrap();
    let mut client = Client::connect(&server.url()).await;
    let url = server.url().replace("redis://", "redis://zoe:hidden@");
    let user = ["ACL", "SETUSER", "zoe", "on", ">hidden", "~*", "&*"];
    let named = ["+@read", "+@write", "+@scripting", "+@pubsub", "+@connection", "+info"];
    // Without INFO it does, too; only what a crashed server brings back is not told apart then.
    for granted in [&named[..], &named[..5]] {
        client.ask(&[&user[..], &["resetkeys", "nocommands", "~*"], granted].concat()).await;
        let (redis, cache, bus) = connect(&url);
        assert_eq!(redis.check().await, Ok(()));
        let mut signals = bus.subscribe().await.unwrap();
        bus.publish(batch(1)).await.unwrap();
        assert!(matches!(next(&mut signals).await, Signal::Events(_)));
        let key = granted.len().to_string();
        let Lookup::Miss(ticket) = cache.get(&key).await.unwrap() else { panic!("it is empty") };
        cache.fill(&key, ticket, reply(), TTL).await.unwrap();
        cache.put(&key, Cached { version: Version::new(2), ..reply() }, TTL).await.unwrap();
        cache.invalidate(&key, Version::new(3)).await.unwrap();
    }
    client.ask(&[&user[..], &["nocommands", "+ping"]].concat()).await;
    let (_, cache, bus) = connect(&url);
    for text in [
        cache.get("k").await.unwrap_err().to_string(),
        bus.publish(batch(1)).await.unwrap_err().to_string(),
    ] {
        assert!(text.contains("REDIS_URL") && text.contains("permit"), "{text}");
        assert!(!text.contains("zoe"), "{text}");
    }
}

#[tokio::test]
async fn a_cluster_and_one_server_are_not_taken_for_each_other() {
    let one = daybook_services::Redis::start().unwrap();
    let trouble = trouble_at(&one.url().replace("redis://", "redis+cluster://zoe:hidden@")).await;
    assert!(
        matches!(trouble, RedisTrouble::NoCluster { .. } | RedisTrouble::LoginRefused { .. }),
        "{trouble}"
    );
    let trouble = trouble_at(&one.url().replace("redis://", "redis+cluster://")).await;
    assert!(matches!(trouble, RedisTrouble::NoCluster { .. }), "{trouble}");
}

#[tokio::test]
async fn a_server_without_memory_says_so_and_keeps_nothing_old() {
    let server = daybook_services::Redis::start().unwrap();
    let (redis, cache, _) = connect(&server.url());
    let mut client = Client::connect(&server.url()).await;
    for key in ["changed", "invalidated", "kept"] {
        let Lookup::Miss(ticket) = cache.get(key).await.unwrap() else { panic!("it is empty") };
        cache.fill(key, ticket, reply(), TTL).await.unwrap();
    }
    let Lookup::Miss(ticket) = cache.get("fetched").await.unwrap() else { panic!("it is empty") };
    client.ask(&["CONFIG", "SET", "maxmemory", "1"]).await;

    let newer = Cached { version: Version::new(2), ..reply() };
    cache.put("changed", newer.clone(), TTL).await.unwrap();
    cache.invalidate("invalidated", Version::new(2)).await.unwrap();
    assert_eq!(client.ask(&["MGET", "changed", "invalidated"]).await, "nil nil");
    assert_eq!(cache.get("kept").await.unwrap(), Lookup::Hit(reply()));
    let full = [
        cache.get("changed").await.unwrap_err(),
        cache.get("never").await.unwrap_err(),
        cache.fill("fetched", ticket, reply(), TTL).await.unwrap_err(),
    ];
    for error in full {
        let text = error.to_string();
        assert!(text.contains("maxmemory") && text.contains("REDIS_URL"), "{text}");
    }
    assert_eq!(redis.check().await, Ok(()));
    client.ask(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert!(matches!(cache.get("changed").await.unwrap(), Lookup::Miss(_)));
}

/// Something that accepts connections and answers whatever it is sent with `answer`, or not at all.
async fn impostor(answer: Option<&'static str>) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://zoe:hidden@{}/", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let mut silent = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let Some(answer) = answer else {
                silent.push(stream);
                continue;
            };
            tokio::spawn(async move {
                let mut asked = [0; 1024];
                while stream.read(&mut asked).await.is_ok_and(|read| read > 0) {
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            });
        }
    });
    (url, serving)
}

#[tokio::test]
async fn what_is_not_redis_is_told_from_what_does_not_answer() {
    let (url, http) = impostor(Some("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")).await;
    let trouble = trouble_at(&url).await;
    assert!(matches!(trouble, RedisTrouble::NotRedis { .. }), "{trouble}");
    http.abort();

    let (url, silent) = impostor(None).await;
    let trouble = trouble_at(&url).await;
    assert!(matches!(trouble, RedisTrouble::NotAnswering { .. }), "{trouble}");
    silent.abort();
}

#[tokio::test]
async fn an_old_server_is_told_and_what_it_quotes_is_not_repeated() {
    let quoting = "-ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `zoe`, \
                   `hidden`, \r\n-ERR unknown\r\n-ERR unknown\r\n";
    let (url, old) = impostor(Some(quoting)).await;
    let trouble = trouble_at(&url).await;
    assert!(matches!(trouble, RedisTrouble::TooOld { .. }), "{trouble}");
    old.abort();
}

#[tokio::test]
async fn a_server_without_tls_is_told_as_one_that_can_not_be_reached() {
    let server = daybook_services::Redis::start().unwrap();
    let trouble = trouble_at(&server.url().replace("redis://", "rediss://zoe:hidden@")).await;
    assert!(
        matches!(trouble, RedisTrouble::Unreachable { .. } | RedisTrouble::NotAnswering { .. }),
        "{trouble}"
    );
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_told() {
    let trouble = trouble_at("redis://zoe:hidden@nowhere.invalid:6379").await;
    assert!(matches!(trouble, RedisTrouble::Unreachable { .. }), "{trouble}");
}
