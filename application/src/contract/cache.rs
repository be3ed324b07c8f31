//! What every [`Cache`] promises.
//!
//! A cache may lose a value at any time; to be tested it is given so much room that it does not.
//! `prefix` sets the keys of one test apart from those of others in the same cache.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use daybook_events::{Cache, Cached, Lookup, Ticket, Version};
use futures_util::future::join_all;

use super::soon;

const LONG: Duration = Duration::from_mins(10);
const SHORT: Duration = Duration::from_millis(60);

fn reply(version: u64, value: &str) -> Cached {
    Cached { version: Version::new(version), value: Some(Bytes::copy_from_slice(value.as_bytes())) }
}

fn nothing(version: u64) -> Cached {
    Cached { version: Version::new(version), value: None }
}

async fn look(cache: &dyn Cache, key: &str) -> Lookup {
    cache.get(key).await.unwrap()
}

async fn found(cache: &dyn Cache, key: &str) -> Option<Cached> {
    match look(cache, key).await {
        Lookup::Hit(cached) => Some(cached),
        Lookup::Miss(_) | Lookup::Pending(_) => None,
    }
}

/// The ticket of a key that nobody fetches.
async fn ticket(cache: &dyn Cache, key: &str) -> Ticket {
    match look(cache, key).await {
        Lookup::Miss(ticket) => ticket,
        other => panic!("{key} was to be missed: {other:?}"),
    }
}

/// Misses a key and fills it.
async fn fetch(cache: &dyn Cache, key: &str, value: &Cached, ttl: Duration) {
    let ticket = ticket(cache, key).await;
    cache.fill(key, ticket, value.clone(), ttl).await.unwrap();
}

async fn put(cache: &dyn Cache, key: &str, value: &Cached, ttl: Duration) {
    cache.put(key, value.clone(), ttl).await.unwrap();
}

/// Waits until a value is gone, and answers the ticket that was given in its place.
async fn gone(cache: &dyn Cache, key: &str) -> Ticket {
    soon("a value past its time to live is gone", async {
        loop {
            match look(cache, key).await {
                Lookup::Hit(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                Lookup::Miss(ticket) => return ticket,
                Lookup::Pending(_) => panic!("nobody else asks for {key}"),
            }
        }
    })
    .await
}

/// A key that was never filled has no value: whoever asks first gets a ticket, the others hear of it.
pub async fn of_those_who_miss_one_gets_a_ticket(cache: &dyn Cache, prefix: &str) {
    let key = format!("{prefix}:never");
    let looks = join_all((0..32).map(|_| look(cache, &key))).await;
    let (mut given, mut told) = (Vec::new(), HashSet::new());
    for look in looks {
        match look {
            Lookup::Miss(ticket) => given.push(ticket),
            Lookup::Pending(ticket) => {
                told.insert(ticket);
            }
            Lookup::Hit(cached) => panic!("{cached:?} came from nowhere"),
        }
    }
    assert_eq!(given.len(), 1);
    assert_eq!(told, given.into_iter().collect());
}

/// Every ticket is another, so that none is taken for one from before.
pub async fn every_ticket_is_another(cache: &dyn Cache, prefix: &str) {
    let key = format!("{prefix}:again");
    let mut seen = HashSet::new();
    for version in 1..=50 {
        assert!(seen.insert(ticket(cache, &key).await));
        cache.invalidate(&key, Version::new(version)).await.unwrap();
    }
}

/// A value comes back as it was filled in, with its version: text, no byte at all, or any bytes.
pub async fn a_value_is_found_as_it_was_filled_in(cache: &dyn Cache, prefix: &str) {
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    for (n, bytes) in [&br#"{"name":"Savings"}"#[..], b"", &every_byte].into_iter().enumerate() {
        let key = format!("{prefix}:{n}");
        let value = Cached { version: Version::new(7), value: Some(Bytes::copy_from_slice(bytes)) };
        fetch(cache, &key, &value, LONG).await;
        assert_eq!(found(cache, &key).await, Some(value));
    }
}

/// That there is nothing is kept like a value, and is not the same as an empty one.
pub async fn that_there_is_nothing_is_found_too(cache: &dyn Cache, prefix: &str) {
    let key = format!("{prefix}:absent");
    fetch(cache, &key, &nothing(0), LONG).await;
    assert_eq!(found(cache, &key).await, Some(nothing(0)));
}

/// What is filled in under one key is not found under another.
pub async fn keys_do_not_touch_each_other(cache: &dyn Cache, prefix: &str) {
    let (a, b) = (format!("{prefix}:k"), format!("{prefix}:k2"));
    fetch(cache, &a, &reply(5, "a"), LONG).await;
    fetch(cache, &b, &reply(1, "b"), LONG).await;
    assert_eq!(found(cache, &a).await, Some(reply(5, "a")));
    assert_eq!(found(cache, &b).await, Some(reply(1, "b")));
    cache.invalidate(&b, Version::new(9)).await.unwrap();
    assert_eq!(found(cache, &a).await, Some(reply(5, "a")));
}

/// A ticket fills its key once, and only its key.
pub async fn a_ticket_is_used_up(cache: &dyn Cache, prefix: &str) {
    let (key, other) = (format!("{prefix}:once"), format!("{prefix}:other"));
    let ticket = ticket(cache, &key).await;
    cache.fill(&other, ticket, reply(1, "astray"), LONG).await.unwrap();
    assert_eq!(found(cache, &other).await, None);
    cache.fill(&key, ticket, reply(2, "first"), LONG).await.unwrap();
    cache.fill(&key, ticket, reply(3, "second"), LONG).await.unwrap();
    assert_eq!(found(cache, &key).await, Some(reply(2, "first")));
}

/// A write voids the ticket of whoever fetched before it: what they have never gets in.
pub async fn a_write_voids_the_ticket(cache: &dyn Cache, prefix: &str) {
    let key = format!("{prefix}:written");
    let slow = ticket(cache, &key).await;
    put(cache, &key, &reply(2, "new"), LONG).await;
    cache.fill(&key, slow, reply(1, "old"), LONG).await.unwrap();
    assert_eq!(found(cache, &key).await, None);

    let key = format!("{prefix}:invalidated");
    let slow = ticket(cache, &key).await;
    cache.invalidate(&key, Version::new(2)).await.unwrap();
    cache.fill(&key, slow, reply(1, "old"), LONG).await.unwrap();
    let second = ticket(cache, &key).await;
    assert_ne!(second, slow);
    cache.fill(&key, slow, reply(1, "old"), LONG).await.unwrap();
    assert_eq!(look(cache, &key).await, Lookup::Pending(second));
    cache.fill(&key, second, reply(2, "new"), LONG).await.unwrap();
    assert_eq!(found(cache, &key).await, Some(reply(2, "new")));
}

/// Where there is no value, a write leaves none: it can't know whether a later one was lost.
pub async fn a_write_alone_leaves_no_value(cache: &dyn Cache, prefix: &str) {
    let key = format!("{prefix}:empty");
    put(cache, &key, &reply(2, "new"), LONG).await;
    ticket(cache, &key).await;
}

/// A higher version replaces a lower one, and its time to live counts.
pub async fn a_higher_version_replaces_a_lower(cache: &dyn Cache, prefix: &str) {
    let key = format!("{prefix}:up");
    fetch(cache, &key, &reply(0, "first"), LONG).await;
    // Versions are numbers: 10 is higher than 9.
    for version in [1, 9, 10, 1_000_000_007] {
        put(cache, &key, &reply(version, "new"), LONG).await;
        assert_eq!(found(cache, &key).await, Some(reply(version, "new")));
    }
    put(cache, &key, &reply(1_000_000_008, "newest"), SHORT).await;
    gone(cache, &key).await;
}

/// Whoever is slow never puts an old value back.
pub async fn a_lower_version_never_replaces_a_higher(cache: &dyn Cache, prefix: &str) {
    let key = format!("{prefix}:down");
    fetch(cache, &key, &reply(10, "new"), LONG).await;
    for old in [reply(9, "old"), reply(1, "old"), nothing(9), nothing(0)] {
        put(cache, &key, &old, LONG).await;
        assert_eq!(found(cache, &key).await, Some(reply(10, "new")));
    }
}

/// A reply never takes the place of the knowledge, from a later version, that there is nothing.
pub async fn what_is_no_more_is_not_brought_back(cache: &dyn Cache, prefix: &str) {
    let key = format!("{prefix}:closed");
    fetch(cache, &key, &reply(3, "open"), LONG).await;
    put(cache, &key, &nothing(4), LONG).await;
    put(cache, &key, &reply(3, "open"), LONG).await;
    assert_eq!(found(cache, &key).await, Some(nothing(4)));
}

/// The version that is there already changes nothing: neither the value nor how long it stays.
pub async fn the_same_version_changes_nothing(cache: &dyn Cache, prefix: &str) {
    let key = format!("{prefix}:same");
    fetch(cache, &key, &reply(2, "first"), LONG).await;
    put(cache, &key, &reply(2, "second"), SHORT).await;
    assert_eq!(found(cache, &key).await, Some(reply(2, "first")));

    let key = format!("{prefix}:same-for-short");
    fetch(cache, &key, &reply(2, "first"), SHORT).await;
    put(cache, &key, &reply(2, "second"), LONG).await;
    // Had it outlived its time, the first would still be here, or the second in its place.
    if found(cache, &key).await == Some(reply(2, "first")) {
        gone(cache, &key).await;
    }
}

/// What is older than a version that a key has come to is not found any more; what is not, is.
pub async fn what_is_outdated_is_dropped(cache: &dyn Cache, prefix: &str) {
    let key = format!("{prefix}:outdated");
    fetch(cache, &key, &reply(9, "value"), LONG).await;
    for same_or_lower in [1, 9] {
        cache.invalidate(&key, Version::new(same_or_lower)).await.unwrap();
        assert_eq!(found(cache, &key).await, Some(reply(9, "value")));
    }
    cache.invalidate(&key, Version::new(10)).await.unwrap();
    fetch(cache, &key, &nothing(10), LONG).await;
    cache.invalidate(&key, Version::new(11)).await.unwrap();
    ticket(cache, &key).await;
}

/// A value is found for as long as it was filled in for and not any longer.
pub async fn a_value_is_gone_after_its_time_to_live(cache: &dyn Cache, prefix: &str) {
    let (brief, lasting) = (format!("{prefix}:brief"), format!("{prefix}:lasting"));
    fetch(cache, &brief, &reply(1, "brief"), SHORT).await;
    fetch(cache, &lasting, &reply(1, "lasting"), LONG).await;
    gone(cache, &brief).await;
    assert_eq!(found(cache, &lasting).await, Some(reply(1, "lasting")));

    let absent = format!("{prefix}:absent");
    fetch(cache, &absent, &nothing(3), SHORT).await;
    gone(cache, &absent).await;
}

/// A value past its time keeps nothing out, whatever its version was.
pub async fn a_value_past_its_time_keeps_nothing_out(cache: &dyn Cache, prefix: &str) {
    let key = format!("{prefix}:again");
    fetch(cache, &key, &reply(9, "before"), SHORT).await;
    let ticket = gone(cache, &key).await;
    cache.fill(&key, ticket, reply(1, "after"), LONG).await.unwrap();
    assert_eq!(found(cache, &key).await, Some(reply(1, "after")));
}

/// However many write to a key at once, and in whatever order, the highest version remains.
pub async fn of_writers_at_once_the_highest_version_remains(cache: &dyn Cache, prefix: &str) {
    for round in 0..20 {
        let key = format!("{prefix}:race:{round}");
        fetch(cache, &key, &reply(0, "before"), LONG).await;
        // Odd ones first, then even ones downwards: neither the first nor the last is the highest.
        let versions = (1..=63).step_by(2).chain((1..=64).rev().step_by(2));
        let values: Vec<_> = versions.map(|version| reply(version, "raced")).collect();
        join_all(values.iter().map(|value| put(cache, &key, value, LONG))).await;
        assert_eq!(found(cache, &key).await, Some(reply(64, "raced")));
    }
}
