//! What stands beside a cached value and says what it is.
//!
//! The value of a key is the plain bytes, so that others can read them. Beside it, in the same slot
//! of a cluster, stands its guard. It ends with a *mark* that names the run of the server it was
//! written in and the installation that wrote it, and with what proves that this installation put
//! exactly this value there:
//!
//! - `v:7:mark:300:proof`: the value is there, of version 7, and has 300 bytes;
//! - `t:7:mark:0:proof`: there is nothing, as of version 7; no value is there;
//! - `l:123:mark`: whoever holds ticket 123 fetches the value; no value is there.
//!
//! The proof is made with the secret of the installation, which is nowhere in Redis. Who can write
//! there may bring back a value and its guard together, and nothing else that is believed.
//!
//! Anything else, and a value or a guard alone, is as good as nothing, and is put right by the next
//! who asks. So is what an earlier run of the server left: one that crashed comes back with what it
//! last wrote to its disk, and a replica in its place with what it last heard, where a later write
//! is missing. And so is what another installation left, be it a copy of this one.

use std::hash::Hasher as _;

use bytes::Bytes;
use daybook_events::{Cached, Identity, InstallationId, Lookup, Ticket, Version};
use siphasher::sip128::{Hasher128 as _, SipHasher24};
use uuid::Uuid;

/// Larger replies are not kept, and larger values not asked for. The scripts know it too.
pub(crate) const LARGEST: usize = 262_144;

/// How many digits name an installation in a mark.
const ID_DIGITS: usize = 32;

/// The key of the guard of a key. The braces put both into the slot of the key.
pub(crate) fn guard_key(key: &str) -> String {
    format!("{{{key}}}:guard")
}

/// The key that a key of a guard belongs to.
pub(crate) fn guarded_key(guard: &str) -> Option<&str> {
    guard.strip_prefix('{')?.strip_suffix("}:guard")
}

/// Who writes, and in which run of the server.
#[derive(Clone)]
pub(crate) struct Writer {
    mark: String,
    identity: Identity,
}

impl Writer {
    pub(crate) fn new(run: &str, identity: Identity) -> Self {
        Self { mark: format!("{run}{}", identity.id.uuid().simple()), identity }
    }

    /// How every guard of this writer is marked.
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    pub(crate) fn id(&self) -> InstallationId {
        self.identity.id
    }

    /// The guard of a value, or of the knowledge that there is nothing.
    pub(crate) fn of_reply(&self, key: &str, reply: &Cached) -> String {
        let Self { mark, .. } = self;
        let value = reply.value.as_deref();
        let (kind, length) = (kind(value), value.map_or(0, <[u8]>::len));
        let proof = self.proof(key, reply.version.get(), value);
        format!("{kind}:{}:{mark}:{length}:{proof:032x}", reply.version)
    }

    /// The guard of a key that is being fetched.
    pub(crate) fn of_ticket(&self, ticket: Ticket) -> String {
        format!("l:{}:{}", ticket.0, self.mark)
    }

    /// What a value and its guard say together; `None` where they say nothing that is believed.
    pub(crate) fn read(
        &self,
        key: &str,
        value: Option<Vec<u8>>,
        guard: Option<&[u8]>,
    ) -> Option<Lookup> {
        let (kind, rest) = guard?.split_at_checked(2)?;
        let mut parts = rest.split(|byte| *byte == b':');
        let number = number(parts.next()?)?;
        if parts.next()? != self.mark.as_bytes() {
            return None;
        }
        let (length, proof) = (parts.next(), parts.next());
        if kind == b"l:" {
            let alone = length.is_none() && value.is_none();
            return alone.then_some(Lookup::Pending(Ticket(number)));
        }
        let value = if kind == b"v:" { Some(value?) } else { value };
        let proven = format!("{:032x}", self.proof(key, number, value.as_deref()));
        let expected: &[u8] = if value.is_some() { b"v:" } else { b"t:" };
        // Nobody is told how much of a proof was right: it is asked of Redis, not of us.
        if kind != expected || proof? != proven.as_bytes() || parts.next().is_some() {
            return None;
        }
        let version = Version::new(number);
        Some(Lookup::Hit(Cached { version, value: value.map(Bytes::from) }))
    }

    /// What only this installation can say of a value.
    fn proof(&self, key: &str, version: u64, value: Option<&[u8]>) -> u128 {
        let mut hasher = SipHasher24::new_with_key(&self.identity.secret);
        for part in [self.mark.as_bytes(), key.as_bytes()] {
            hasher.write(part);
            hasher.write(b"\0");
        }
        hasher.write(&version.to_le_bytes());
        hasher.write(&[u8::from(value.is_some())]);
        hasher.write(value.unwrap_or_default());
        hasher.finish128().as_u128()
    }
}

const fn kind(value: Option<&[u8]>) -> char {
    if value.is_some() { 'v' } else { 't' }
}

/// The installation that a guard names, whoever that is.
pub(crate) fn author(guard: &[u8]) -> Option<InstallationId> {
    let mark = guard.split(|byte| *byte == b':').nth(2)?;
    let digits = mark.split_last_chunk::<ID_DIGITS>()?.1;
    Uuid::try_parse_ascii(digits).ok().map(InstallationId::from_uuid)
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

    const KEY: &str = "account:1:user:2";

    fn writer(number: u128) -> Writer {
        let id = InstallationId::from_uuid(Uuid::from_u128(number));
        Writer::new("a1", Identity { id, secret: number.to_be_bytes() })
    }

    fn reply(version: u64, value: Option<&'static str>) -> Cached {
        Cached { version: Version::new(version), value: value.map(Bytes::from) }
    }

    fn said(value: Option<&str>, guard: &str) -> Option<Lookup> {
        writer(1).read(KEY, value.map(|v| v.as_bytes().to_vec()), Some(guard.as_bytes()))
    }

    #[test]
    fn what_is_written_is_read() {
        for version in [0, 7, 9_007_199_254_740_993, 9_999_999_999_999_999_999] {
            for value in [None, Some(""), Some("x")] {
                let reply = reply(version, value);
                let guard = writer(1).of_reply(KEY, &reply);
                assert_eq!(said(value, &guard), Some(Lookup::Hit(reply)));
                assert_eq!(author(guard.as_bytes()), Some(writer(1).id()));
            }
        }
        let ticket = Ticket(u64::MAX >> 1);
        assert_eq!(said(None, &writer(1).of_ticket(ticket)), Some(Lookup::Pending(ticket)));
    }

    #[test]
    fn a_value_that_this_installation_did_not_put_under_this_key_says_nothing() {
        let guard = writer(1).of_reply(KEY, &reply(7, Some("{\"balance\":1}")));
        for value in [None, Some(""), Some("{\"balance\":2}"), Some("{\"balance\":1} ")] {
            assert_eq!(said(value, &guard), None, "{value:?}");
        }
        for other in [guard.replace("v:7", "v:8"), guard.replace("v:7", "t:7")] {
            assert_eq!(said(Some("{\"balance\":1}"), &other), None, "{other}");
        }
        let value = || Some(b"{\"balance\":1}".to_vec());
        assert_eq!(writer(1).read("account:2:user:2", value(), Some(guard.as_bytes())), None);
        assert_eq!(writer(2).read(KEY, value(), Some(guard.as_bytes())), None);
        // With the name of another, and without its secret.
        let forged = guard.replace(writer(1).mark(), writer(2).mark());
        assert_eq!(writer(2).read(KEY, value(), Some(forged.as_bytes())), None);
    }

    #[test]
    fn anything_else_says_nothing() {
        assert_eq!(writer(1).read(KEY, Some(Vec::new()), None), None);
        let mark = writer(1).mark().to_owned();
        for guard in ["", "v", "v:", "v:01", "v:-1", "v:1 ", "v:x", "v:12345678901234567890", "x:1"]
        {
            assert_eq!(said(Some("x"), &format!("{guard}:{mark}:1:0")), None, "{guard}");
        }
        for guard in ["v:1", "v:1:", "v:1:a", "t:1", "l:1", "a1", "é:a1", "v:1::::"] {
            assert_eq!(said(Some("x"), guard), None, "{guard}");
            assert_eq!(said(None, guard), None, "{guard}");
        }
        assert_eq!(said(Some("x"), &format!("l:1:{mark}")), None);
    }

    #[test]
    fn a_guard_is_found_by_its_key_and_the_other_way_round() {
        assert_eq!(guard_key(KEY), "{account:1:user:2}:guard");
        assert_eq!(guarded_key("{account:1:user:2}:guard"), Some(KEY));
        assert_eq!(guarded_key(KEY), None);
    }
}
