//! The cache of a process that shares none with another: the default, where no Redis is configured.
//!
//! [`MemoryCache`] may only serve reads where no other process writes to the database; the
//! composition root sees to that. Within a process nobody needs a bus: its subscribers follow what its
//! announcer tells of.
//!
//! It knows the ports of `daybook-events` and nothing else. A port that can be kept in memory gets
//! a file here and a line for its contract suite in `tests/contract.rs`.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may stop at the first surprise"))]

mod cache;

pub use cache::MemoryCache;
