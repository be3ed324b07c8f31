//! Entries: what one command appends, all of it or nothing.

use std::fmt;

use thiserror::Error;

use crate::{EntryId, HolderId, Metadata, NewEvent, Position, StreamId, Timestamp, Version};

/// What one command wants to append.
///
/// `R` is a change to a read model that is to be written with the events; the application defines
/// it. A refusal is an entry without events: it is checked against the versions it was decided on
/// like any other, and its outcome is remembered under its idempotency key.
#[derive(Clone, Debug)]
pub struct Entry<R> {
    /// Names the entry.
    pub id: EntryId,
    /// Every stream the decision depends on, with the version it was decided on.
    pub expected: Vec<(StreamId, Version)>,
    /// The events, in order.
    pub events: Vec<NewEvent>,
    /// Changes to the read models.
    pub rows: Vec<R>,
    /// The outcome to remember, where the caller gave an idempotency key.
    pub idempotency: Option<IdempotencyRecord>,
    /// When it was decided.
    pub timestamp: Timestamp,
    /// Who caused it.
    pub metadata: Metadata,
}

/// What became of one entry of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryOutcome {
    /// It is in the log. `position` is that of its last event; for an entry without events, that
    /// of the last event before it.
    Committed {
        /// The position.
        position: Position,
    },
    /// It was decided on something that has changed since; nothing of it was written.
    Conflict,
    /// Its idempotency key has an outcome already; nothing of it was written.
    Replayed(StoredOutcome),
    /// It can't be written, for the reason given, and could not be if it came again; nothing of it
    /// was written, nor is remembered.
    Refused(String),
}

/// The outcome of a command, remembered under its idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyRecord {
    /// Whose key it is, or of which address for someone who registers; `None` for nobody's.
    pub scope: Option<HolderId>,
    /// The key.
    pub key: IdempotencyKey,
    /// What the key was used for.
    pub fingerprint: Fingerprint,
    /// The outcome, as text the application can read.
    pub outcome: String,
}

/// A remembered outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredOutcome {
    /// What the key was used for.
    pub fingerprint: Fingerprint,
    /// The outcome.
    pub outcome: String,
    /// The position the outcome was given with.
    pub position: Position,
}

/// A digest of what was asked for under a key, however it was spelt.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint with these bytes.
    pub const fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// Its bytes.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A caller's name for one attempt at something: 1 to 255 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Box<str>);

/// The text can't be an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an idempotency key has 1 to 255 visible ASCII characters")]
pub struct InvalidKey;

impl IdempotencyKey {
    /// Takes a caller's text.
    ///
    /// # Errors
    /// [`InvalidKey`].
    pub fn new(text: &str) -> Result<Self, InvalidKey> {
        let fits = (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if fits { Ok(Self(text.into())) } else { Err(InvalidKey) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_short_and_visible() {
        assert!(IdempotencyKey::new("8e03978e-40d5-43dd-bc93-6894a57f9324").is_ok());
        assert!(IdempotencyKey::new(&"k".repeat(255)).is_ok());
        for text in ["", "with space", "tab\t", "é", &"k".repeat(256)] {
            assert_eq!(IdempotencyKey::new(text), Err(InvalidKey), "{text}");
        }
    }
}
