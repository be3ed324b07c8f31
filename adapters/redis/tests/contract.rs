//! The adapters of this crate keep the promises of their ports: on one server, with replies kept
//! near, and on a cluster.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::num::NonZeroUsize;
use std::sync::LazyLock;
use std::time::Duration;

use daybook_application::PresentIdentity;
use daybook_events::{Identity, InstallationId};
use daybook_redis::{Redis, RedisSettings};
use uuid::Uuid;

/// The settings of one test. Its server is busy with the others too: no call is cut short.
fn settings(url: String) -> RedisSettings {
    RedisSettings {
        command_timeout: Duration::from_secs(5),
        events_channel: format!("contract:{}", Uuid::now_v7()),
        ..RedisSettings::new(url)
    }
}

/// The installation of a test.
fn identity() -> PresentIdentity {
    let id = InstallationId::from_uuid(Uuid::from_u128(1));
    PresentIdentity::new(Identity { id, secret: [7; 16] })
}

fn prefix() -> String {
    format!("contract:{}", Uuid::now_v7())
}

fn one() -> Redis {
    let url = daybook_services::test_redis_url().unwrap();
    Redis::new(settings(url)).unwrap()
}

fn near() -> Redis {
    let url = daybook_services::test_redis_url().unwrap();
    let near_cache = NonZeroUsize::new(1_000);
    Redis::new(RedisSettings { near_cache, ..settings(url) }).unwrap()
}

fn cluster() -> Redis {
    // One for all tests: a cluster takes two seconds to start.
    static SERVER: LazyLock<daybook_services::Redis> =
        LazyLock::new(|| daybook_services::Redis::start_cluster().unwrap());
    let url = SERVER.url().replace("redis://", "redis+cluster://");
    Redis::new(settings(url)).unwrap()
}

macro_rules! cache_contract {
    ($name:ident, $on:ident) => {
        cache_contract! { $name, $on:
            of_those_who_miss_one_gets_a_ticket
            every_ticket_is_another
            a_value_is_found_as_it_was_filled_in
            that_there_is_nothing_is_found_too
            keys_do_not_touch_each_other
            a_ticket_is_used_up
            a_write_voids_the_ticket
            a_write_alone_leaves_no_value
            a_higher_version_replaces_a_lower
            a_lower_version_never_replaces_a_higher
            what_is_no_more_is_not_brought_back
            the_same_version_changes_nothing
            what_is_outdated_is_dropped
            a_value_is_gone_after_its_time_to_live
            a_value_past_its_time_keeps_nothing_out
            of_writers_at_once_the_highest_version_remains
        }
    };
    ($name:ident, $on:ident: $($promise:ident)+) => {
        mod $name {
            use daybook_application::contract::cache;
            use daybook_redis::RedisCache;

            $(#[tokio::test]
            async fn $promise() {
                let redis = super::$on();
                cache::$promise(&RedisCache::new(redis, super::identity()), &super::prefix()).await;
            })+
        }
    };
}

cache_contract! { cache, one }
cache_contract! { near_cache, near }
cache_contract! { cache_of_a_cluster, cluster }

macro_rules! bus_contract {
    ($name:ident, $on:ident) => {
        bus_contract! { $name, $on:
            a_subscriber_hears_every_batch_in_order
            an_event_is_heard_as_it_was_published
            every_subscriber_hears_every_batch
            a_subscriber_hears_nothing_from_before
            nobody_has_to_listen
            a_subscriber_that_does_not_listen_holds_up_nobody
            there_is_never_a_silent_gap
        }
    };
    ($name:ident, $on:ident: $($promise:ident)+) => {
        mod $name {
            use daybook_application::contract::bus;
            use daybook_redis::RedisBus;

            $(#[tokio::test]
            async fn $promise() {
                let redis = super::$on();
                bus::$promise(&RedisBus::new(redis, super::identity())).await;
            })+
        }
    };
}

bus_contract! { bus, one }
bus_contract! { bus_of_a_cluster, cluster }

macro_rules! witness_contract {
    ($name:ident, $on:ident) => {
        witness_contract! { $name, $on:
            nothing_is_seen_at_first
            what_was_told_last_is_seen
        }
    };
    ($name:ident, $on:ident: $($promise:ident)+) => {
        mod $name {
            use std::sync::Arc;

            use daybook_application::PresentIdentity;
            use daybook_application::contract::witness;
            use daybook_events::{Identity, InstallationId};
            use daybook_redis::RedisWitness;
            use uuid::Uuid;

            $(#[tokio::test]
            async fn $promise() {
                let id = InstallationId::from_uuid(Uuid::now_v7());
                let identity = PresentIdentity::new(Identity { id, secret: [7; 16] });
                witness::$promise(|| {
                    Arc::new(RedisWitness::new(super::$on(), identity.clone()))
                })
                .await;
            })+
        }
    };
}

witness_contract! { witness, one }
witness_contract! { witness_on_a_cluster, cluster }
