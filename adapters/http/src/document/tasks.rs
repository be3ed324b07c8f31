//! Tasks.

use daybook_events::Task as StoredTask;
use poem_openapi::types::Example;
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{EXAMPLE_ID, time};
use crate::scalars::{Any, Count, DateTime};

/// A task to be done.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields, example)]
pub(crate) struct NewTask {
    /// What it is about: `send_email`, `text`, or a kind that a worker of yours knows.
    #[oai(validator(min_length = 1, max_length = 64))]
    pub kind: String,
    /// What the handler needs: an object with `to`, `subject` and `text` for `send_email`, a
    /// string for `text`. At most 65 536 bytes of JSON.
    pub payload: Any,
    /// Not before; at once where it isn't given.
    #[serde(default)]
    #[oai(skip_serializing_if_is_none)]
    pub run_at: Option<DateTime>,
    /// How urgent it is; `normal` where it isn't given.
    #[serde(default)]
    #[oai(skip_serializing_if_is_none)]
    pub priority: Option<TaskPriority>,
    /// Makes the task unique among your tasks of its kind: while an equal one is unfinished, you are
    /// told of that one instead. 1 to 200 visible ASCII characters.
    #[serde(default)]
    #[oai(skip_serializing_if_is_none, validator(min_length = 1, max_length = 200))]
    pub unique_key: Option<String>,
    /// For how long it stays unique from now on even when it is finished, as in `10m` or `1h 30m`;
    /// at most 366 days.
    #[serde(default)]
    #[oai(skip_serializing_if_is_none, validator(min_length = 1, max_length = 64))]
    pub unique_for: Option<String>,
}

/// How urgent a task is: of ten tasks a worker looks for eight among the urgent first, for one among
/// the normal and for one among the low.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, Enum)]
#[serde(rename_all = "lowercase", try_from = "String")]
#[oai(rename_all = "lowercase")]
pub(crate) enum TaskPriority {
    /// Before all others.
    High,
    /// As most tasks are.
    Normal,
    /// When there is nothing else to do.
    Low,
}

impl From<daybook_events::Priority> for TaskPriority {
    fn from(priority: daybook_events::Priority) -> Self {
        match priority {
            daybook_events::Priority::High => Self::High,
            daybook_events::Priority::Normal => Self::Normal,
            daybook_events::Priority::Low => Self::Low,
        }
    }
}

/// From its name alone: a derived reader would take an object with that name as well.
impl TryFrom<String> for TaskPriority {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        daybook_events::Priority::from_name(&name)
            .map(Into::into)
            .ok_or("must be high, normal or low")
    }
}

impl From<TaskPriority> for daybook_events::Priority {
    fn from(priority: TaskPriority) -> Self {
        match priority {
            TaskPriority::High => Self::High,
            TaskPriority::Normal => Self::Normal,
            TaskPriority::Low => Self::Low,
        }
    }
}

fn payload() -> Any {
    let json = r#"{"to":"ada@example.com","subject":"Your order","text":"It is on its way."}"#;
    Any(RawValue::from_string(json.to_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned()))
}

impl Example for NewTask {
    fn example() -> Self {
        Self {
            kind: "send_email".to_owned(),
            payload: payload(),
            run_at: None,
            priority: None,
            unique_key: None,
            unique_for: None,
        }
    }
}

/// The task that is on the queue.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
pub(crate) struct TaskAccepted {
    /// Names the task.
    pub task_id: Uuid,
    /// `true` where an equal task was there already: it is the one that is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(skip_serializing_if_is_none)]
    pub duplicate: Option<bool>,
}

impl Example for TaskAccepted {
    fn example() -> Self {
        Self { task_id: EXAMPLE_ID, duplicate: None }
    }
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, Serialize, Enum)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub(crate) enum TaskState {
    /// Waiting for its time or for a worker.
    Queued,
    /// In a worker's hands.
    Running,
    /// Finished.
    Done,
    /// Given up, for the reason in `last_error`.
    Dead,
    /// Taken off the queue.
    Discarded,
}

impl From<daybook_events::TaskState> for TaskState {
    fn from(state: daybook_events::TaskState) -> Self {
        match state {
            daybook_events::TaskState::Queued => Self::Queued,
            daybook_events::TaskState::Running => Self::Running,
            daybook_events::TaskState::Done => Self::Done,
            daybook_events::TaskState::Dead => Self::Dead,
            daybook_events::TaskState::Discarded => Self::Discarded,
        }
    }
}

impl From<TaskState> for daybook_events::TaskState {
    fn from(state: TaskState) -> Self {
        match state {
            TaskState::Queued => Self::Queued,
            TaskState::Running => Self::Running,
            TaskState::Done => Self::Done,
            TaskState::Dead => Self::Dead,
            TaskState::Discarded => Self::Discarded,
        }
    }
}

/// An attempt at a task that failed.
#[derive(Debug, Serialize, Object)]
pub(crate) struct FailedAttempt {
    /// Which attempt it was; after a retry by hand they are counted from 1 again.
    pub attempt: Count,
    /// When it ended.
    pub at: DateTime,
    /// Why, shortened to 500 bytes.
    pub reason: String,
}

impl FailedAttempt {
    fn of(failed: daybook_events::FailedAttempt) -> Self {
        Self {
            attempt: Count(failed.attempt.into()),
            at: DateTime(failed.at.to_string()),
            reason: failed.reason,
        }
    }
}

/// A task.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
pub(crate) struct Task {
    /// Names the task.
    pub id: Uuid,
    /// What it is about.
    pub kind: String,
    /// What the handler needs.
    pub payload: Any,
    /// Where it stands.
    pub state: TaskState,
    /// How often a worker has begun it.
    pub attempts: Count,
    /// How urgent it is.
    pub priority: TaskPriority,
    /// The last 20 attempts that failed, oldest first.
    pub history: Vec<FailedAttempt>,
    /// Why the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(skip_serializing_if_is_none)]
    pub last_error: Option<String>,
    /// Not before.
    pub run_at: DateTime,
    /// When it was asked for.
    pub created_at: DateTime,
    /// When it was done, given up or discarded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(skip_serializing_if_is_none)]
    pub finished_at: Option<DateTime>,
}

impl Task {
    pub(crate) fn of(task: StoredTask) -> Self {
        let instant = |at: daybook_events::Timestamp| DateTime(at.to_string());
        Self {
            id: task.id.uuid(),
            kind: task.kind.to_string(),
            payload: Any(task.payload),
            state: task.state.into(),
            attempts: Count(task.attempts.into()),
            priority: task.priority.into(),
            history: task.history.into_iter().map(FailedAttempt::of).collect(),
            last_error: task.last_error,
            run_at: instant(task.run_at),
            created_at: instant(task.created_at),
            finished_at: task.finished_at.map(instant),
        }
    }
}

impl Example for Task {
    fn example() -> Self {
        Self {
            id: EXAMPLE_ID,
            kind: "send_email".to_owned(),
            payload: payload(),
            state: TaskState::Done,
            attempts: Count(1),
            priority: TaskPriority::Normal,
            history: Vec::new(),
            last_error: None,
            run_at: time(),
            created_at: time(),
            finished_at: Some(time()),
        }
    }
}
