//! What stands beside a cached value and says what it is.
//!
//! The value of a key is the plain bytes, so that others can read them. Beside it, in the same slot
//! of a cluster, stands its guard, which ends with the run of the server it was written in:
//!
//! - `v:7:run`: the value is there, and of version 7;
//! - `t:7:run`: there is nothing, as of version 7; no value is there;
//! - `l:123:run`: whoever holds ticket 123 fetches the value; no value is there.
//!
//! Anything else, and a value or a guard alone, is as good as nothing, and is put right by the next
//! who asks. So is what an earlier run of the server left: one that crashed comes back with what it
//! last wrote to its disk, and a replica in its place with what it last heard, where a later write
//! is missing.

use bytes::Bytes;
use daybook_events::{Cached, Lookup, Ticket, Version};

/// The key of the guard of a key. The braces put both into the slot of the key.
pub(crate) fn guard_key(key: &str) -> String {
    format!("{{{key}}}:guard")
}

/// The key that a key of a guard belongs to.
pub(crate) fn guarded_key(guard: &str) -> Option<&str> {
    guard.strip_prefix('{')?.strip_suffix("}:guard")
}

/// The guard of a value, or of the knowledge that there is nothing.
pub(crate) fn of_reply(reply: &Cached, run: &str) -> String {
    let kind = if reply.value.is_some() { 'v' } else { 't' };
    format!("{kind}:{}:{run}", reply.version)
}

/// The guard of a key that is being fetched.
pub(crate) fn of_ticket(ticket: Ticket, run: &str) -> String {
    format!("l:{}:{run}", ticket.0)
}

/// What a value and its guard say together; `None` where they say nothing.
pub(crate) fn read(value: Option<Vec<u8>>, guard: Option<&[u8]>, run: &str) -> Option<Lookup> {
    let guard = guard?.strip_suffix(run.as_bytes())?.strip_suffix(b":")?;
    let (kind, digits) = guard.split_at_checked(2)?;
    let number = number(digits)?;
    match (kind, value) {
        (b"v:", Some(value)) => Some(Lookup::Hit(Cached {
            version: Version::new(number),
            value: Some(Bytes::from(value)),
        })),
        (b"t:", None) => Some(Lookup::Hit(Cached { version: Version::new(number), value: None })),
        (b"l:", None) => Some(Lookup::Pending(Ticket(number))),
        _ => None,
    }
}

/// A number as the scripts write and compare it: at most 19 digits, no zero before them.
fn number(digits: &[u8]) -> Option<u64> {
    let plain = digits == b"0" || digits.first().is_some_and(|first| *first != b'0');
    if !plain || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "a1";

    fn said(value: Option<&str>, guard: &str) -> Option<Lookup> {
        read(value.map(|value| value.as_bytes().to_vec()), Some(guard.as_bytes()), RUN)
    }

    #[test]
    fn what_is_written_is_read() {
        for version in [0, 7, 9_007_199_254_740_993, 9_999_999_999_999_999_999] {
            for value in [None, Some(Bytes::new()), Some(Bytes::from_static(b"x"))] {
                let reply = Cached { version: Version::new(version), value };
                let value = reply.value.as_ref().map(|value| value.to_vec());
                let guard = of_reply(&reply, RUN);
                assert_eq!(read(value, Some(guard.as_bytes()), RUN), Some(Lookup::Hit(reply)));
            }
        }
        let ticket = Ticket(u64::MAX >> 1);
        assert_eq!(said(None, &of_ticket(ticket, RUN)), Some(Lookup::Pending(ticket)));
        assert_eq!(of_ticket(Ticket(12), RUN), "l:12:a1");
    }

    #[test]
    fn anything_else_says_nothing() {
        assert_eq!(read(Some(Vec::new()), None, RUN), None);
        for guard in ["", "v", "v:", "v:01", "v:-1", "v:1 ", "v:x", "v:12345678901234567890", "x:1"]
        {
            assert_eq!(said(Some("x"), &format!("{guard}:{RUN}")), None, "{guard}");
        }
        for guard in ["v:1", "v:1:", "v:1:a", "v:1:ba1", "v:1:a1:", "v:1a1", "a1", "é:a1"] {
            assert_eq!(said(Some("x"), guard), None, "{guard}");
        }
        assert_eq!(said(None, "v:1:a1"), None);
        assert_eq!(said(Some("x"), "t:1:a1"), None);
        assert_eq!(said(Some("x"), "l:1:a1"), None);
    }

    #[test]
    fn a_guard_is_found_by_its_key_and_the_other_way_round() {
        assert_eq!(guard_key("account:1:user:2"), "{account:1:user:2}:guard");
        assert_eq!(guarded_key("{account:1:user:2}:guard"), Some("account:1:user:2"));
        assert_eq!(guarded_key("account:1:user:2"), None);
    }
}
