//! The cache and the bus of a process that shares neither with another: the default, where no
//! Redis is configured.
//!
//! [`MemoryCache`] may only serve reads where no other process writes to the database; the
//! composition root sees to that. [`MemoryBus`] reaches the subscribers of this process; those of
//! others are told by their own announcer.
//!
//! It knows the ports of `daybook-events` and nothing else. A port that can be kept in memory gets
//! a file here and a line for its contract suite in `tests/contract.rs`.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may stop at the first surprise"))]

mod bus;
mod cache;

pub use bus::MemoryBus;
pub use cache::MemoryCache;
