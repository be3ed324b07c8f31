//! Tasks: work to be done later, by whoever is free.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::{
    FailedAttempt, HolderId, Priority, StreamId, TaskId, Timestamp, Unique, UniqueKey, Version,
    event_payload,
};

/// What a task is about: 1 to 64 of `a`–`z`, `0`–`9`, `.`, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskKind(Box<str>);

/// The text can't be a kind of task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a kind of task has 1 to 64 lower-case letters, digits, dots, underscores or hyphens")]
pub struct InvalidKind;

impl TaskKind {
    /// A mail to be sent; the payload is an object with `to`, `subject` and `text`.
    pub const SEND_EMAIL: &str = "send_email";
    /// A line of plain text; the payload is a string.
    pub const TEXT: &str = "text";

    /// The kind of a task that is a line of plain text.
    pub fn text() -> Self {
        Self(Self::TEXT.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TaskKind {
    type Err = InvalidKind;

    fn from_str(text: &str) -> Result<Self, InvalidKind> {
        let legal =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(legal);
        if fits { Ok(Self(text.into())) } else { Err(InvalidKind) }
    }
}

impl TryFrom<String> for TaskKind {
    type Error = InvalidKind;

    fn try_from(text: String) -> Result<Self, InvalidKind> {
        text.parse()
    }
}

impl From<TaskKind> for String {
    fn from(kind: TaskKind) -> Self {
        kind.0.into()
    }
}

impl fmt::Display for TaskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// Waiting for its time or for a worker.
    Queued,
    /// In a worker's hands.
    Running,
    /// Finished.
    Done,
    /// Given up, for the reason in its last error.
    Dead,
    /// Taken off the queue by whoever may see it: it is not to be done any more.
    Discarded,
}

impl TaskState {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Queued, Self::Running, Self::Done, Self::Dead, Self::Discarded];

    /// The state's name: `queued`, `running`, `done`, `dead`, `discarded`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Discarded => "discarded",
        }
    }

    /// The state with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// A task to be put on the queue.
#[derive(Clone, Debug)]
pub struct NewTask {
    /// Names the task.
    pub id: TaskId,
    /// Whose it is, where a holder asked for it.
    pub owner: Option<HolderId>,
    /// What it is about.
    pub kind: TaskKind,
    /// What the handler of that kind needs: any JSON.
    pub payload: Box<RawValue>,
    /// Not before.
    pub run_at: Timestamp,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// How urgent it is.
    pub priority: Priority,
    /// By what it is unique, where it is to be.
    pub unique: Option<Unique>,
    /// How earlier attempts failed, oldest first, where it is handed on from queue to queue.
    pub history: Vec<FailedAttempt>,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a task that is handed out by a queue comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was in the record of tasks when it was put on the queue.
    Recorded,
    /// Somebody else has put it on the queue, and the record may not have it yet.
    Outside,
}

impl NewTask {
    /// From when on it is due, as a clock tells it that shows `now`. What is asked for at no
    /// particular time is due at once, also where the clock that told when it was asked for was ahead.
    pub fn due(&self, now: Timestamp) -> Timestamp {
        if self.run_at <= self.created_at { self.run_at.min(now) } else { self.run_at }
    }
}

/// A task as the queue has it.
#[derive(Clone, Debug)]
pub struct Task {
    /// Names the task.
    pub id: TaskId,
    /// Whose it is, where a holder asked for it.
    pub owner: Option<HolderId>,
    /// What it is about.
    pub kind: TaskKind,
    /// What the handler of that kind needs: any JSON.
    pub payload: Box<RawValue>,
    /// Where it stands.
    pub state: TaskState,
    /// How often a worker has begun it.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// The last [`FailedAttempt::KEPT`] attempts that failed, oldest first.
    pub history: Vec<FailedAttempt>,
    /// How urgent it is.
    pub priority: Priority,
    /// By what it is unique among its owner's tasks of its kind, where it is.
    pub unique: Option<UniqueKey>,
    /// Not before.
    pub run_at: Timestamp,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was done, given up or discarded.
    pub finished_at: Option<Timestamp>,
    /// The version of its stream in the log: 0 for a task that did not come through the log.
    pub version: Version,
}

impl TaskId {
    /// The stream of this task's events.
    pub fn stream(self) -> StreamId {
        StreamId::new("task", self)
    }
}

/// A worker's right to a task, until it expires or another worker gets it.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The task.
    pub task_id: TaskId,
    /// What it is about.
    pub kind: TaskKind,
    /// What the handler needs.
    pub payload: Box<RawValue>,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Rises with every lease of the task: an older token has no rights.
    pub token: u64,
    /// The attempts before that failed, oldest first.
    pub history: Vec<FailedAttempt>,
}

impl Lease {
    /// The history of the task once this attempt has failed, at an instant and for a reason.
    pub fn failed(&self, at: Timestamp, reason: &str) -> Vec<FailedAttempt> {
        FailedAttempt::new(self.attempt, at, reason).added_to(&self.history)
    }
}

/// The events of a task. What a worker does with it is not in the log, and nor is the payload,
/// which may name people: the log is kept for ever, a task is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskEvent {
    /// A task was asked for.
    TaskRequested(TaskRequested),
    /// A dead task was put back on the queue.
    TaskRetried(TaskRetried),
    /// A task was taken off the queue.
    TaskDiscarded(TaskDiscarded),
}

/// A task was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRequested {
    /// The task.
    pub task_id: TaskId,
    /// What it is about.
    pub kind: TaskKind,
    /// Not before.
    pub run_at: Timestamp,
}

/// A dead task was put back on the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRetried {
    /// The task.
    pub task_id: TaskId,
}

/// A task was taken off the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDiscarded {
    /// The task.
    pub task_id: TaskId,
}

event_payload!(TaskEvent { TaskRequested, TaskRetried, TaskDiscarded });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_a_plain_lower_case_name() {
        assert!("send_email".parse::<TaskKind>().is_ok());
        for text in ["", "Send", "a b", &"k".repeat(65)] {
            assert_eq!(text.parse::<TaskKind>(), Err(InvalidKind), "{text}");
        }
    }

    #[test]
    fn a_state_has_one_name() {
        for (state, name) in [
            (TaskState::Queued, "queued"),
            (TaskState::Running, "running"),
            (TaskState::Done, "done"),
            (TaskState::Dead, "dead"),
            (TaskState::Discarded, "discarded"),
        ] {
            assert_eq!(state.as_str(), name);
            assert_eq!(TaskState::from_name(state.as_str()), Some(state));
        }
        assert_eq!(TaskState::from_name("lost"), None);
    }
}
