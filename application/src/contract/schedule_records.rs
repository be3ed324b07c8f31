//! What whoever remembers schedules promises.

use std::time::Duration;

use daybook_events::{ScheduleRecords, Timestamp};

/// A pattern is known since it was first told of under its name, however often and by whomever it is
/// told of again; another one, or one that comes back, is new.
pub async fn a_pattern_is_known_since_it_was_first_told_of(records: &dyn ScheduleRecords) {
    let at = |minute: u64| Timestamp::from_micros(0).plus(Duration::from_mins(minute));
    for (name, pattern, now, since) in [
        ("nightly", "30 3 * * *", 1, 1),
        ("nightly", "30 3 * * *", 2, 1),
        ("renamed", "30 3 * * *", 3, 3),
        ("nightly", "30 4 * * *", 4, 4),
        ("nightly", "30 4 * * *", 5, 4),
        ("nightly", "30 3 * * *", 6, 6),
    ] {
        let known = records.known_since(name, pattern, at(now)).await.unwrap();
        assert_eq!(known, at(since), "{name}, {pattern}");
    }
}
