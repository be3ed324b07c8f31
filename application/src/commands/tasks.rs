//! Tasks: ask for one, put a dead one back on the queue, and discard one.

use daybook_events::{
    EntryId, HolderId, NewTask, Priority, TaskId, TaskKind, TaskState, Timestamp,
};
use serde_json::value::RawValue;

use super::Commands;
use crate::{
    Caller, Change, Command, CommandError, Decision, Key, Outcome, Receipt, Rejection, Request,
    States,
};

/// A task to be done.
#[derive(Clone, Debug)]
pub struct TaskRequest {
    /// What it is about.
    pub kind: TaskKind,
    /// What the handler of that kind needs.
    pub payload: Box<RawValue>,
    /// Not before; at once where there is none.
    pub run_at: Option<Timestamp>,
    /// How urgent it is.
    pub priority: Priority,
}

impl Commands {
    /// Puts a task on the queue.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn request_task(
        &self,
        caller: &Caller,
        task: TaskRequest,
        request: Request,
    ) -> Result<Outcome, CommandError> {
        let now = self.clock.now();
        let task = NewTask {
            id: TaskId::from_uuid(self.ids.next()),
            owner: Some(caller.holder_id),
            kind: task.kind,
            payload: task.payload,
            run_at: task.run_at.unwrap_or(now),
            created_at: now,
            priority: task.priority,
            unique: None,
            history: Vec::new(),
        };
        self.appender.execute(Enqueue { actor: caller.holder_id, task }, request).await
    }

    /// Puts a dead task back on the queue.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn retry_task(
        &self,
        caller: &Caller,
        id: TaskId,
        request: Request,
    ) -> Result<Outcome, CommandError> {
        self.appender.execute(Retry { caller: *caller, id }, request).await
    }

    /// Takes a task that waits or is dead off the queue.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn discard_task(
        &self,
        caller: &Caller,
        id: TaskId,
        request: Request,
    ) -> Result<Outcome, CommandError> {
        self.appender.execute(Discard { caller: *caller, id }, request).await
    }
}

struct Enqueue {
    actor: HolderId,
    task: NewTask,
}

impl Command for Enqueue {
    fn actor(&self) -> Option<HolderId> {
        Some(self.actor)
    }

    fn needs(&self) -> Vec<Key> {
        Vec::new()
    }

    fn decide(&self, _states: &States, _entry: EntryId) -> Result<Decision, Rejection> {
        let receipt = Receipt::TaskAccepted(self.task.id);
        Ok(Decision { changes: vec![Change::Task(Box::new(self.task.clone()))], receipt })
    }
}

struct Retry {
    caller: Caller,
    id: TaskId,
}

impl Command for Retry {
    fn actor(&self) -> Option<HolderId> {
        Some(self.caller.holder_id)
    }

    fn needs(&self) -> Vec<Key> {
        vec![Key::Task(self.id)]
    }

    fn decide(&self, states: &States, _entry: EntryId) -> Result<Decision, Rejection> {
        let task = states
            .task(self.id)
            .filter(|task| self.caller.may_see(task.owner))
            .ok_or(Rejection::TaskNotFound)?;
        match task.state {
            TaskState::Dead => {
                let changes = vec![Change::RetryTask(self.id)];
                Ok(Decision { changes, receipt: Receipt::TaskAccepted(self.id) })
            }
            TaskState::Queued | TaskState::Running | TaskState::Done | TaskState::Discarded => {
                Err(Rejection::TaskNotDead)
            }
        }
    }
}

struct Discard {
    caller: Caller,
    id: TaskId,
}

impl Command for Discard {
    fn actor(&self) -> Option<HolderId> {
        Some(self.caller.holder_id)
    }

    fn needs(&self) -> Vec<Key> {
        vec![Key::Task(self.id)]
    }

    fn decide(&self, states: &States, _entry: EntryId) -> Result<Decision, Rejection> {
        let task = states
            .task(self.id)
            .filter(|task| self.caller.may_see(task.owner))
            .ok_or(Rejection::TaskNotFound)?;
        match task.state {
            TaskState::Queued | TaskState::Dead => {
                let changes = vec![Change::DiscardTask(self.id)];
                Ok(Decision { changes, receipt: Receipt::Done })
            }
            TaskState::Running | TaskState::Done | TaskState::Discarded => {
                Err(Rejection::TaskNotDiscardable)
            }
        }
    }
}
