//! Redis: the cache and the bus that the instances of one installation share.
//!
//! [`Redis`] is one connection that is kept up in the background; [`RedisCache`] and [`RedisBus`]
//! are the ports on it. It knows the ports of `daybook-events` and the `redis` crate, whose types
//! stay in here. Redis is never needed: where it can't be reached a call fails at once, and says
//! why without naming a secret.
//!
//! What others may rely on in Redis itself:
//!
//! | what | how |
//! | --- | --- |
//! | a cached reply | a string under the key the cache was given, with a time to live |
//! | what guards it | a string under `{key}:guard`: see `guard.rs` |
//! | how far the log had come | a string under `daybook:witness:` and the id of the installation |
//! | new events | `CloudEvents` 1.0 as a JSON array, published on `daybook:events` |
//! | a notification | its text, published on `notifications`, or `notifications:topic` |
//!
//! A further port gets a file, a handle to [`Redis`], and its contract suite in `tests/contract.rs`.
//! What it does with the connection goes through `Redis::call`, which bounds it.
#![cfg_attr(
    test,
    expect(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test may stop at the first surprise"
    )
)]

mod address;
mod bus;
mod cache;
mod channels;
mod client;
mod cloud_event;
mod guard;
mod link;
mod listen;
mod near;
mod scripts;
mod settings;
mod supervisor;
mod trouble;
mod witness;

pub use bus::RedisBus;
pub use cache::RedisCache;
pub use client::Redis;
pub use listen::{Heard, Messages};
pub use settings::{RedisConfigError, RedisSettings};
pub use trouble::RedisTrouble;
pub use witness::RedisWitness;
