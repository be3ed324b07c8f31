//! What every [`Cache`] promises.
//!
//! A cache may lose a value at any time; to be tested it is given so much room that it does not.
//! `prefix` sets the keys of one test apart from those of others in the same cache.

use std::time::Duration;

use bytes::Bytes;
use daybook_events::{Cache, Cached, Version};
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

async fn put(cache: &dyn Cache, key: &str, value: &Cached, ttl: Duration) {
    cache.put(key, value.clone(), ttl).await.unwrap();
}

async fn found(cache: &dyn Cache, key: &str) -> Option<Cached> {
    cache.get(key).await.unwrap()
}

async fn gone(cache: &dyn Cache, key: &str) {
    soon("a value past its time to live is gone", async {
        while found(cache, key).await.is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// A key that was never put has no value.
pub async fn what_was_never_put_is_not_found(cache: &dyn Cache, prefix: &str) {
    assert_eq!(found(cache, &format!("{prefix}:never")).await, None);
}

/// A value comes back as it was put, with its version: text, no byte at all, or any bytes.
pub async fn a_value_is_found_as_it_was_put(cache: &dyn Cache, prefix: &str) {
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    for (n, bytes) in [&br#"{"name":"Savings"}"#[..], b"", &every_byte].into_iter().enumerate() {
        let key = format!("{prefix}:{n}");
        let value = Cached { version: Version::new(7), value: Some(Bytes::copy_from_slice(bytes)) };
        put(cache, &key, &value, LONG).await;
        assert_eq!(found(cache, &key).await, Some(value));
    }
}

/// That there is nothing is kept like a value, and is not the same as an empty one.
pub async fn that_there_is_nothing_is_found_too(cache: &dyn Cache, prefix: &str) {
    let key = format!("{prefix}:absent");
    put(cache, &key, &nothing(0), LONG).await;
    assert_eq!(found(cache, &key).await, Some(nothing(0)));
}

/// What is put under one key is not found under another.
pub async fn keys_do_not_touch_each_other(cache: &dyn Cache, prefix: &str) {
    let (a, b) = (format!("{prefix}:k"), format!("{prefix}:k2"));
    put(cache, &a, &reply(5, "a"), LONG).await;
    assert_eq!(found(cache, &b).await, None);
    put(cache, &b, &reply(1, "b"), LONG).await;
    assert_eq!(found(cache, &a).await, Some(reply(5, "a")));
    assert_eq!(found(cache, &b).await, Some(reply(1, "b")));
}

/// A higher version replaces a lower one, and its time to live counts.
pub async fn a_higher_version_replaces_a_lower(cache: &dyn Cache, prefix: &str) {
    let key = format!("{prefix}:up");
    // Versions are numbers: 10 is higher than 9.
    for version in [0, 1, 9, 10, 1_000_000_007] {
        put(cache, &key, &reply(version, "new"), LONG).await;
        assert_eq!(found(cache, &key).await, Some(reply(version, "new")));
    }
    put(cache, &key, &reply(1_000_000_008, "newest"), SHORT).await;
    gone(cache, &key).await;
}

/// Whoever is slow never puts an old value back.
pub async fn a_lower_version_never_replaces_a_higher(cache: &dyn Cache, prefix: &str) {
    let key = format!("{prefix}:down");
    put(cache, &key, &reply(10, "new"), LONG).await;
    for old in [reply(9, "old"), reply(1, "old"), nothing(9), nothing(0)] {
        put(cache, &key, &old, LONG).await;
        assert_eq!(found(cache, &key).await, Some(reply(10, "new")));
    }
}

/// A reply never takes the place of the knowledge, from a later version, that there is nothing.
pub async fn what_is_no_more_is_not_brought_back(cache: &dyn Cache, prefix: &str) {
    let key = format!("{prefix}:closed");
    put(cache, &key, &reply(3, "open"), LONG).await;
    put(cache, &key, &nothing(4), LONG).await;
    put(cache, &key, &reply(3, "open"), LONG).await;
    assert_eq!(found(cache, &key).await, Some(nothing(4)));
}

/// The version that is there already changes nothing: neither the value nor how long it stays.
pub async fn the_same_version_changes_nothing(cache: &dyn Cache, prefix: &str) {
    let key = format!("{prefix}:same");
    put(cache, &key, &reply(2, "first"), LONG).await;
    put(cache, &key, &reply(2, "second"), SHORT).await;
    assert_eq!(found(cache, &key).await, Some(reply(2, "first")));

    let key = format!("{prefix}:same-for-short");
    put(cache, &key, &reply(2, "first"), SHORT).await;
    put(cache, &key, &reply(2, "second"), LONG).await;
    // Had it outlived its time, the first would still be here, or the second in its place.
    if found(cache, &key).await == Some(reply(2, "first")) {
        gone(cache, &key).await;
    }
}

/// A value is found for as long as it was put for and not any longer.
pub async fn a_value_is_gone_after_its_time_to_live(cache: &dyn Cache, prefix: &str) {
    let (brief, lasting) = (format!("{prefix}:brief"), format!("{prefix}:lasting"));
    put(cache, &brief, &reply(1, "brief"), SHORT).await;
    put(cache, &lasting, &reply(1, "lasting"), LONG).await;
    gone(cache, &brief).await;
    assert_eq!(found(cache, &lasting).await, Some(reply(1, "lasting")));
}

/// A value past its time keeps nothing out, whatever its version was.
pub async fn a_value_past_its_time_keeps_nothing_out(cache: &dyn Cache, prefix: &str) {
    let key = format!("{prefix}:again");
    put(cache, &key, &reply(9, "before"), SHORT).await;
    gone(cache, &key).await;
    put(cache, &key, &reply(1, "after"), LONG).await;
    assert_eq!(found(cache, &key).await, Some(reply(1, "after")));
}

/// However many write to a key at once, and in whatever order, the highest version remains.
pub async fn of_writers_at_once_the_highest_version_remains(cache: &dyn Cache, prefix: &str) {
    for round in 0..20 {
        let key = format!("{prefix}:race:{round}");
        // Odd ones first, then even ones downwards: neither the first nor the last is the highest.
        let versions = (1..=63).step_by(2).chain((1..=64).rev().step_by(2));
        let values: Vec<_> = versions.map(|version| reply(version, "raced")).collect();
        join_all(values.iter().map(|value| put(cache, &key, value, LONG))).await;
        assert_eq!(found(cache, &key).await, Some(reply(64, "raced")));
    }
}
