//! What is in Redis is believed only where this installation put it there, whoever else uses the same
//! names.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod support;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use daybook_application::PresentIdentity;
use daybook_events::{
    Cache, Cached, EventBus, EventData, EventId, Head, Identity, InstallationId, Lookup, Metadata,
    Position, RecordedEvent, Signal, StreamId, Timestamp, Topic, Version, Witness,
};
use daybook_redis::{
    Heard, Redis, RedisBus, RedisCache, RedisConfigError, RedisSettings, RedisWitness,
};
use futures_util::StreamExt;
use support::Client;
use uuid::Uuid;

const TTL: Duration = Duration::from_mins(10);

fn identity(number: u128) -> PresentIdentity {
    let id = InstallationId::from_uuid(Uuid::from_u128(number));
    let mut secret = [0; 16];
    secret.copy_from_slice(&(number * 7).to_be_bytes());
    PresentIdentity::new(Identity { id, secret })
}

fn settings(url: &str) -> RedisSettings {
    RedisSettings { command_timeout: Duration::from_secs(5), ..RedisSettings::new(url) }
}

fn cache(url: &str, identity: &PresentIdentity) -> RedisCache {
    RedisCache::new(Redis::new(settings(url)).unwrap(), identity.clone())
}

fn guard(key: &str) -> String {
    format!("{{{key}}}:guard")
}

fn reply(version: u64, of: &str) -> Cached {
    let json = format!("{{\"version\":{version},\"of\":\"{of}\"}}");
    Cached { version: Version::new(version), value: Some(Bytes::from(json)) }
}

fn absent() -> Cached {
    Cached { version: Version::new(3), value: None }
}

/// Misses, and fills in.
async fn fetch(cache: &RedisCache, key: &str, value: &Cached) {
    let found = cache.get(key).await.unwrap();
    let Lookup::Miss(ticket) = found else { panic!("{key} was to be missed: {found:?}") };
    cache.fill(key, ticket, value.clone(), TTL).await.unwrap();
    assert_eq!(cache.get(key).await.unwrap(), Lookup::Hit(value.clone()));
}

#[tokio::test]
async fn what_was_not_put_there_by_this_installation_is_never_served_and_is_put_right() {
    let url = daybook_services::test_redis_url().unwrap();
    let large = "x".repeat(10 << 20);
    let binary: &[u8] = b"\0\xff\xfe\r\n";
    for near in [None, NonZeroUsize::new(100)] {
        let redis = Redis::new(RedisSettings { near_cache: near, ..settings(&url) }).unwrap();
        let (cache, mut client) =
            (RedisCache::new(redis, identity(1)), Client::connect(&url).await);
        for forged in [b"{\"balance\":\"999999.00\"".as_slice(), b"", large.as_bytes(), binary] {
            for kept in [reply(1, "me"), absent()] {
                let key = format!("account:{}:user:1", Uuid::now_v7());
                fetch(&cache, &key, &kept).await;
                client.ask_bytes(&[b"SET", key.as_bytes(), forged, b"KEEPTTL"]).await;
                // A near cache hears of it some milliseconds later.
                tokio::time::timeout(Duration::from_secs(10), async {
                    while cache.get(&key).await.unwrap() == Lookup::Hit(kept.clone()) {
                        // An empty value and none are the same to who asks for the absent.
                        if forged.is_empty() && kept.value.is_none() {
                            break;
                        }
                        tokio::task::yield_now().await;
                    }
                })
                .await
                .unwrap();
                if !(forged.is_empty() && kept.value.is_none()) {
                    assert_eq!(client.ask(&["EXISTS", &key]).await, "0");
                    assert!(matches!(cache.get(&key).await.unwrap(), Lookup::Pending(_)));
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_forged_is_not_carried_over() {
    let server = daybook_services::Redis::start().unwrap();
    let (cache, mut client) =
        (cache(&server.url(), &identity(1)), Client::connect(&server.url()).await);
    let key = "account:1:user:1";
    fetch(&cache, key, &reply(1, "me")).await;
    client.ask(&["SET", key, &"x".repeat(10 << 20)]).await;
    let sent = async |client: &mut Client| {
        let stats = client.ask(&["INFO", "stats"]).await;
        let bytes = stats.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:"));
        bytes.unwrap().trim().parse::<u64>().unwrap()
    };
    let before = sent(&mut client).await;
    assert!(matches!(cache.get(key).await.unwrap(), Lookup::Miss(_)));
    assert!(sent(&mut client).await - before < 1 << 20);
}

#[tokio::test]
async fn a_value_of_one_key_or_version_does_not_pass_for_that_of_another() {
    let url = daybook_services::test_redis_url().unwrap();
    let (cache, mut client) = (cache(&url, &identity(1)), Client::connect(&url).await);
    let own = format!("account:{}:user:1", Uuid::now_v7());
    let other = format!("account:{}:user:2", Uuid::now_v7());
    fetch(&cache, &own, &reply(1, "me")).await;
    let (value, said) =
        (client.ask(&["GET", &own]).await, client.ask(&["GET", &guard(&own)]).await);
    client.ask(&["SET", &other, &value]).await;
    client.ask(&["SET", &guard(&other), &said]).await;
    assert!(matches!(cache.get(&other).await.unwrap(), Lookup::Miss(_)));
    client.ask(&["SET", &guard(&own), &said.replace("v:1:", "v:9:")]).await;
    assert!(matches!(cache.get(&own).await.unwrap(), Lookup::Miss(_)));
    // That there is nothing has to be proven too.
    client.ask(&["DEL", &own]).await;
    client.ask(&["SET", &guard(&own), &said.replace("v:1:", "t:9:")]).await;
    assert!(matches!(cache.get(&own).await.unwrap(), Lookup::Miss(_)));
}

#[tokio::test]
async fn a_copy_with_the_same_keys_serves_and_keeps_its_own_only() {
    let url = daybook_services::test_redis_url().unwrap();
    let (me, them) = (identity(1), identity(2));
    let (mine, theirs) = (cache(&url, &me), cache(&url, &them));
    let key = format!("account:{}:user:1", Uuid::now_v7());
    fetch(&mine, &key, &reply(1, "me")).await;
    assert!(me.met_lately().is_empty());
    fetch(&theirs, &key, &reply(5, "them")).await;
    assert_eq!(them.met_lately(), [("cache", me.id().to_string())]);
    fetch(&mine, &key, &reply(1, "me")).await;
    assert_eq!(me.met_lately(), [("cache", them.id().to_string())]);
    // A write of one voids what is there, and never becomes the other's.
    theirs.put(&key, reply(6, "them"), TTL).await.unwrap();
    assert!(matches!(mine.get(&key).await.unwrap(), Lookup::Miss(_)));
    let Lookup::Miss(slow) = theirs.get(&key).await.unwrap() else { panic!("nothing is there") };
    mine.put(&key, reply(2, "me"), TTL).await.unwrap();
    theirs.fill(&key, slow, reply(5, "them"), TTL).await.unwrap();
    assert!(!matches!(mine.get(&key).await.unwrap(), Lookup::Hit(_)));
}

#[tokio::test]
async fn a_forged_ticket_is_waited_for_and_fills_nothing() {
    let url = daybook_services::test_redis_url().unwrap();
    let (mine, theirs) = (cache(&url, &identity(1)), cache(&url, &identity(2)));
    let key = format!("account:{}:user:1", Uuid::now_v7());
    let Lookup::Miss(ticket) = theirs.get(&key).await.unwrap() else { panic!("nothing is there") };
    mine.fill(&key, ticket, reply(1, "me"), TTL).await.unwrap();
    assert!(matches!(mine.get(&key).await.unwrap(), Lookup::Miss(_)));
}

fn batch(position: u64) -> Arc<[Arc<RecordedEvent>]> {
    Arc::new([Arc::new(RecordedEvent {
        position: Position::new(position),
        id: EventId::from_uuid(Uuid::now_v7()),
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

/// Databases of a server have other numbers, and the same channels.
#[tokio::test]
async fn events_of_another_installation_are_not_heard_and_it_is_made_a_note_of() {
    let server = daybook_services::Redis::start().unwrap();
    let (me, them) = (identity(1), identity(2));
    let bus = |number: u8, identity: &PresentIdentity| {
        let url = format!("{}/{number}", server.url().trim_end_matches('/'));
        RedisBus::new(Redis::new(settings(&url)).unwrap(), identity.clone())
    };
    let (mine, theirs) = (bus(1, &me), bus(2, &them));
    let mut signals = mine.subscribe().await.unwrap();
    theirs.publish(batch(1)).await.unwrap();
    let own = batch(1);
    mine.publish(Arc::clone(&own)).await.unwrap();
    let heard = tokio::time::timeout(Duration::from_secs(10), signals.next()).await.unwrap();
    match heard.unwrap() {
        Signal::Events(events) => assert_eq!(events[..], own[..]),
        Signal::Missed => panic!("nothing was missed"),
    }
    assert_eq!(me.met_lately(), [("bus", them.id().to_string())]);
}

#[tokio::test]
async fn two_namespaces_live_apart_on_the_same_server_and_on_a_cluster() {
    let (one, cluster) = (
        daybook_services::Redis::start().unwrap(),
        daybook_services::Redis::start_cluster().unwrap(),
    );
    for url in [one.url(), cluster.url().replace("redis://", "redis+cluster://")] {
        let (me, them) = (identity(1), identity(2));
        let redis = |namespace: &str| {
            let namespace = namespace.to_owned();
            Redis::new(RedisSettings { namespace, ..settings(&url) }).unwrap()
        };
        let (a, b) = (redis("a.1"), redis("b-2"));
        let (mine, theirs) =
            (RedisCache::new(a.clone(), me.clone()), RedisCache::new(b.clone(), them.clone()));
        for round in 0..3 {
            let key = format!("account:{round}:user:1");
            fetch(&mine, &key, &reply(1, "me")).await;
            fetch(&theirs, &key, &reply(1, "them")).await;
            assert_eq!(mine.get(&key).await.unwrap(), Lookup::Hit(reply(1, "me")));
        }
        let mut heard = a.listen_to(&Topic::default()).await;
        let (my_bus, their_bus) = (RedisBus::new(a, me.clone()), RedisBus::new(b, them.clone()));
        let mut signals = my_bus.subscribe().await.unwrap();
        their_bus.publish(notification("theirs")).await.unwrap();
        my_bus.publish(notification("mine")).await.unwrap();
        let next = tokio::time::timeout(Duration::from_secs(10), heard.next()).await.unwrap();
        assert_eq!(next, Some(Heard::Message("mine".to_owned())));
        let next = tokio::time::timeout(Duration::from_secs(10), signals.next()).await.unwrap();
        assert!(matches!(next, Some(Signal::Events(_))), "{next:?}");
        assert!(me.met_lately().is_empty() && them.met_lately().is_empty());
    }
}

fn notification(message: &str) -> Arc<[Arc<RecordedEvent>]> {
    let data = format!("{{\"topic\":\"notifications\",\"message\":\"{message}\"}}");
    let event = RecordedEvent {
        event_type: "NotificationPublished".into(),
        data: EventData::from_stored(data).unwrap(),
        ..(**batch(1).first().unwrap()).clone()
    };
    Arc::new([Arc::new(event)])
}

#[test]
fn a_namespace_that_would_mean_something_in_a_key_is_refused() {
    for wrong in ["a:b", "{a}", "a b", "ü", "a*", "a\n", &"x".repeat(65)] {
        let settings = RedisSettings { namespace: wrong.into(), ..settings("redis://h") };
        assert_eq!(Redis::new(settings).err(), Some(RedisConfigError::Namespace), "{wrong}");
    }
}

#[tokio::test]
async fn whatever_stands_in_the_place_of_a_witness_is_none_and_no_outage() {
    let url = daybook_services::test_redis_url().unwrap();
    let mut client = Client::connect(&url).await;
    let redis = Redis::new(settings(&url)).unwrap();
    let id = InstallationId::from_uuid(Uuid::now_v7());
    let identity = PresentIdentity::new(Identity { id, secret: [3; 16] });
    let witness = RedisWitness::new(redis.clone(), identity.clone());
    let cache = RedisCache::new(redis, identity);
    let key = format!("daybook:witness:{id}");
    let large = "x".repeat(1 << 20);
    for forged in [&["RPUSH", &key, "x"][..], &["SET", &key, &large], &["SET", &key, "7:x:y"]] {
        client.ask(&["DEL", &key]).await;
        client.ask(forged).await;
        let before = cache.outages();
        assert_eq!(witness.seen().await.unwrap(), None);
        assert_eq!(cache.outages(), before, "what is cached is believed all the same");
        let head = Head { position: Position::new(7), event: EventId::from_uuid(Uuid::now_v7()) };
        witness.tell(head).await.unwrap();
        assert_eq!(witness.seen().await.unwrap(), Some(head));
    }
}
