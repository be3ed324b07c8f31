//! The ports to time and ids, as the machine has them.

use std::time::{SystemTime, UNIX_EPOCH};

use daybook_events::{Clock, IdSource, Timestamp};
use uuid::Uuid;

/// The machine's clock.
#[derive(Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// UUIDs of version 7.
#[derive(Debug)]
pub(crate) struct Uuids;

impl IdSource for Uuids {
    fn next(&self) -> Uuid {
        Uuid::now_v7()
    }
}
