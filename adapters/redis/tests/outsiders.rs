//! Those who know nothing of Daybook see and say what the programs before it did.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use daybook_application::PresentIdentity;
use daybook_events::{
    Cache, Cached, EventBus, EventData, EventId, Identity, InstallationId, Lookup, Metadata,
    Position, RecordedEvent, Signal, StreamId, Timestamp, Topic, Version,
};
use daybook_redis::{Heard, Messages, Redis, RedisBus, RedisCache, RedisSettings};
use futures_util::{FutureExt, StreamExt};
use support::Client;
use uuid::Uuid;

fn redis(url: &str) -> Redis {
    let command_timeout = Duration::from_secs(5);
    let events_channel = format!("outsiders:{}", Uuid::now_v7());
    let settings = RedisSettings { command_timeout, events_channel, ..RedisSettings::new(url) };
    Redis::new(settings).unwrap()
}

/// The installation of a test.
fn identity() -> PresentIdentity {
    let id = InstallationId::from_uuid(Uuid::from_u128(1));
    PresentIdentity::new(Identity { id, secret: [7; 16] })
}

fn event(event_type: &'static str, data: &str) -> Arc<RecordedEvent> {
    Arc::new(RecordedEvent {
        position: Position::new(1),
        id: EventId::from_uuid(Uuid::now_v7()),
        stream: StreamId::new("notification", "notifications"),
        version: Version::new(1),
        event_type: event_type.into(),
        timestamp: Timestamp::from_micros(1_795_392_000_123_456),
        data: EventData::from_stored(data.to_owned()).unwrap(),
        owner: None,
        order_id: None,
        metadata: Metadata::default(),
    })
}

fn notification(topic: &str, message: &str) -> Arc<RecordedEvent> {
    let data = format!("{{\"topic\":\"{topic}\",\"message\":\"{message}\"}}");
    event("NotificationPublished", &data)
}

async fn next(messages: &mut Messages) -> Heard {
    tokio::time::timeout(Duration::from_secs(10), messages.next()).await.unwrap().unwrap()
}

fn heard(text: &str) -> Heard {
    Heard::Message(text.to_owned())
}

#[tokio::test]
async fn a_cached_reply_is_a_plain_string_with_a_time_to_live() {
    let url = daybook_services::test_redis_url().unwrap();
    let (cache, mut client) =
        (RedisCache::new(redis(&url), identity()), Client::connect(&url).await);
    let key = format!("account:{}:user:{}", Uuid::now_v7(), Uuid::now_v7());
    let Lookup::Miss(ticket) = cache.get(&key).await.unwrap() else { panic!("nothing is there") };
    for version in 1..=2 {
        let json = format!("{{\"name\":\"Savings ü\",\"version\":{version}}}");
        let value =
            Cached { version: Version::new(version), value: Some(Bytes::from(json.clone())) };
        let ttl = Duration::from_mins(10);
        cache.fill(&key, ticket, value.clone(), ttl).await.unwrap();
        cache.put(&key, value, ttl).await.unwrap();
        assert_eq!(client.ask(&["GET", &key]).await, json);
        let left: u64 = client.ask(&["TTL", &key]).await.parse().unwrap();
        assert!((590..=600).contains(&left), "{left}");
    }
}

#[tokio::test]
async fn a_notification_is_heard_as_its_plain_text_on_the_channel_of_its_topic() {
    // Its own server: the channels have the same names for everyone.
    let server = daybook_services::Redis::start().unwrap();
    let (mut client, mut other) =
        (Client::connect(&server.url()).await, Client::connect(&server.url()).await);
    client.ask(&["SUBSCRIBE", "notifications"]).await;
    other.ask(&["SUBSCRIBE", "notifications:orders.eu"]).await;
    let bus = RedisBus::new(redis(&server.url()), identity());
    let events: Arc<[_]> = Arc::new([
        notification("notifications", "Hello from publisher! Message #1"),
        event("OrderCreated", "{}"),
        event("NotificationPublished", "{\"topic\":\"no topic\",\"message\":\"x\"}"),
        notification("orders.eu", "elsewhere"),
        notification("notifications", "ü \\n 2"),
    ]);
    bus.publish(events).await.unwrap();
    let mut said = Vec::new();
    for _ in 0..2 {
        said.push(client.read().await);
    }
    assert_eq!(
        said,
        ["message notifications Hello from publisher! Message #1", "message notifications ü \n 2"]
    );
    assert_eq!(other.read().await, "message notifications:orders.eu elsewhere");
}

#[tokio::test]
async fn what_others_publish_is_heard_on_its_topic() {
    let server = daybook_services::Redis::start().unwrap();
    let redis = redis(&server.url());
    let bus = RedisBus::new(redis.clone(), identity());
    let mut client = Client::connect(&server.url()).await;
    let mut messages = redis.listen_to(&Topic::default()).await;
    let mut again = redis.listen_to(&Topic::default()).await;
    let mut elsewhere = redis.listen_to(&"orders".parse().unwrap()).await;

    for n in 1..=5 {
        let text = format!("Hello from publisher! Message #{n}");
        assert_eq!(client.ask(&["PUBLISH", "notifications", &text]).await, "1");
        assert_eq!(next(&mut messages).await, heard(&text));
        assert_eq!(next(&mut again).await, heard(&text));
    }
    client.ask_bytes(&[b"PUBLISH", b"notifications", b"\xff!"]).await;
    assert_eq!(next(&mut messages).await, heard("\u{fffd}!"));
    client.ask(&["PUBLISH", "notifications", ""]).await;
    assert_eq!(next(&mut messages).await, heard(""));

    bus.publish(Arc::new([notification("notifications", "ours")])).await.unwrap();
    assert_eq!(next(&mut messages).await, heard("ours"));
    client.ask(&["PUBLISH", "notifications:orders", "x"]).await;
    assert_eq!(next(&mut elsewhere).await, heard("x"));
    assert_eq!(messages.next().now_or_never(), None);
}

#[tokio::test]
async fn a_channel_that_nobody_listens_on_any_more_is_given_up() {
    let server = daybook_services::Redis::start().unwrap();
    let redis = redis(&server.url());
    let mut client = Client::connect(&server.url()).await;
    drop(redis.listen_to(&Topic::default()).await);
    tokio::time::timeout(Duration::from_secs(10), async {
        while client.ask(&["PUBLISH", "notifications", "x"]).await != "0" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    let mut messages = redis.listen_to(&Topic::default()).await;
    client.ask(&["PUBLISH", "notifications", "back"]).await;
    assert_eq!(next(&mut messages).await, heard("back"));
}

#[tokio::test]
async fn a_message_that_tells_of_no_events_is_heard_as_a_gap() {
    let url = daybook_services::test_redis_url().unwrap();
    let settings = RedisSettings {
        events_channel: format!("outsiders:{}", Uuid::now_v7()),
        command_timeout: Duration::from_secs(5),
        ..RedisSettings::new(url.clone())
    };
    let channel = settings.events_channel.clone();
    let bus = RedisBus::new(Redis::new(settings).unwrap(), identity());
    let mut client = Client::connect(&url).await;
    let mut signals = bus.subscribe().await.unwrap();
    client.ask(&["PUBLISH", &channel, "Hello from publisher!"]).await;
    assert!(matches!(signals.next().await, Some(Signal::Missed)));
    let large = "x".repeat(9 * 1024 * 1024);
    client.ask(&["PUBLISH", &channel, &large]).await;
    assert!(matches!(signals.next().await, Some(Signal::Missed)));
    bus.publish(Arc::new([event("OrderCreated", "{}")])).await.unwrap();
    assert!(matches!(signals.next().await, Some(Signal::Events(events)) if events.len() == 1));
}

#[tokio::test]
async fn a_subscription_ends_with_the_connection_it_came_from() {
    let url = daybook_services::test_redis_url().unwrap();
    let bus = RedisBus::new(redis(&url), identity());
    let mut signals = bus.subscribe().await.unwrap();
    drop(bus);
    let end = tokio::time::timeout(Duration::from_secs(10), signals.next()).await.unwrap();
    assert!(end.is_none());
}
