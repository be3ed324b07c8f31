//! Tasks that are there once.

use thiserror::Error;

use crate::{HolderId, TaskId, TaskKind, TaskState, Timestamp, Version};

/// What makes a task unique among its owner's tasks of a kind: 1 to 200 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UniqueKey(Box<str>);

/// The text can't be a unique key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a unique key has 1 to 200 visible ASCII characters")]
pub struct InvalidUniqueKey;

impl UniqueKey {
    /// Takes a caller's text.
    ///
    /// # Errors
    /// [`InvalidUniqueKey`].
    pub fn new(text: &str) -> Result<Self, InvalidUniqueKey> {
        let fits = (1..=200).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if fits { Ok(Self(text.into())) } else { Err(InvalidUniqueKey) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// By what a task is unique.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unique {
    /// The key.
    pub key: UniqueKey,
    /// Which of the tasks with this key it is, counted from 1: no two have the same number.
    pub number: u64,
    /// Until then, there is no other, even if this one is finished before.
    pub until: Timestamp,
}

/// What a unique key is unique among: its holder's tasks of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UniqueName {
    /// Whose tasks.
    pub owner: HolderId,
    /// Of which kind.
    pub kind: TaskKind,
    /// The key.
    pub key: UniqueKey,
}

/// The latest task with a unique key, as far as it says whether there may be another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UniqueTask {
    /// The task.
    pub id: TaskId,
    /// The version of its stream.
    pub version: Version,
    /// Where it stands.
    pub state: TaskState,
    /// Its number among the tasks with this key.
    pub number: u64,
    /// Until then, there is no other.
    pub until: Timestamp,
}

impl UniqueTask {
    /// Whether an equal task would be a duplicate of this one: it is unfinished, or its time is not
    /// over. One that was discarded is as if it had never been.
    pub fn rules_out_another(&self, now: Timestamp) -> bool {
        match self.state {
            TaskState::Queued | TaskState::Running => true,
            TaskState::Done | TaskState::Dead => now < self.until,
            TaskState::Discarded => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_key_is_short_and_visible() {
        assert!(UniqueKey::new("digest:2026-11").is_ok());
        for text in ["", "with space", "é", &"k".repeat(201)] {
            assert_eq!(UniqueKey::new(text), Err(InvalidUniqueKey), "{text}");
        }
    }

    #[test]
    fn a_task_rules_out_another_while_it_is_unfinished_or_within_its_time() {
        let at = Timestamp::from_micros;
        let task = |state| UniqueTask {
            id: TaskId::from_uuid(Uuid::from_u128(1)),
            version: Version::new(1),
            state,
            number: 1,
            until: at(10),
        };
        for (state, within, after) in [
            (TaskState::Queued, true, true),
            (TaskState::Running, true, true),
            (TaskState::Done, true, false),
            (TaskState::Dead, true, false),
            (TaskState::Discarded, false, false),
        ] {
            assert_eq!(task(state).rules_out_another(at(9)), within, "{state:?}");
            assert_eq!(task(state).rules_out_another(at(10)), after, "{state:?}");
        }
    }
}
