//! The port to what is known of tasks.

use async_trait::async_trait;

use crate::{
    HolderId, Placed, Position, Priority, QueueError, Task, TaskId, TaskState, Timestamp,
    UniqueName, UniqueTask,
};

/// Finds tasks.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait TaskRepository: Send + Sync {
    /// The task with this id, whoever's it is.
    ///
    /// # Errors
    /// [`QueueError`].
    async fn find(&self, id: TaskId) -> Result<Option<Task>, QueueError>;

    /// Those of these tasks that are known, in no particular order.
    ///
    /// # Errors
    /// [`QueueError`]; [`QueueError::Corrupt`] where one of them can't be read.
    async fn find_each(&self, ids: &[TaskId]) -> Result<Vec<Task>, QueueError>;

    /// As [`TaskRepository::find_each`], and what can't be read is left out: it is not to hold the others
    /// up.
    ///
    /// # Errors
    /// [`QueueError`].
    async fn find_all(&self, ids: &[TaskId]) -> Result<Vec<Task>, QueueError>;

    /// At most `limit` tasks that are [overdue](Overdue) and may be put on the queue again; earliest
    /// due first. What can't be read is left out.
    ///
    /// # Errors
    /// [`QueueError`].
    async fn overdue(&self, overdue: &Overdue, limit: u32) -> Result<Vec<Task>, QueueError>;

    /// How many tasks nobody has taken although they were due before `before`, or have a lease that
    /// was over before that.
    ///
    /// # Errors
    /// [`QueueError`].
    async fn count_overdue(&self, before: Timestamp) -> Result<u64, QueueError>;

    /// Notes that these tasks were put on the queue again at an instant.
    ///
    /// # Errors
    /// [`QueueError`].
    async fn note_put_back(&self, ids: &[TaskId], at: Timestamp) -> Result<(), QueueError>;

    /// How many tasks of each of these holders wait that are due by then, of these priorities, each counted
    /// up to `most`; in their order.
    ///
    /// # Errors
    /// [`QueueError`].
    async fn count_waiting(
        &self,
        owners: &[HolderId],
        priorities: &[Priority],
        due_by: Timestamp,
        most: u32,
    ) -> Result<Vec<u64>, QueueError>;

    /// The latest task of each of these names, where there is one, in no particular order.
    ///
    /// # Errors
    /// [`QueueError`]; [`QueueError::Corrupt`] where one of them can't be read.
    async fn find_unique(
        &self,
        names: &[UniqueName],
    ) -> Result<Vec<(UniqueName, UniqueTask)>, QueueError>;

    /// A page of tasks, newest first: by the positions of the events that asked for them. One that
    /// no event asked for stands where the log ended when it was recorded. What can't be read is
    /// left out.
    ///
    /// # Errors
    /// [`QueueError`].
    async fn list(&self, page: &TaskPage) -> Result<Vec<Placed<Task>>, QueueError>;

    /// Forgets at most `limit` tasks that were done or discarded before an instant; answers how many.
    /// Dead tasks stay.
    ///
    /// # Errors
    /// [`QueueError`].
    async fn forget_done(&self, before: Timestamp, limit: u32) -> Result<u64, QueueError>;
}

/// Which overdue tasks to look for: nobody has taken them although they were due before an instant,
/// or their lease was over before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// Due, or not leased any more, before this.
    pub before: Timestamp,
    /// Not those that were put on the queue again since this.
    pub put_back_before: Timestamp,
    /// Where it is given, of those that were put on the queue again only those that have now waited
    /// twice as long as they had then.
    pub doubled: Option<Doubled>,
}

/// That a task has waited twice as long as it had when it was put on the queue again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubled {
    /// The present.
    pub now: Timestamp,
    /// What was put on the queue again before this has waited long enough in any case.
    pub longest: Timestamp,
}

/// Which tasks to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskPage {
    /// Only this holder's; everyone's where there is none.
    pub owner: Option<HolderId>,
    /// Only tasks in this state.
    pub state: Option<TaskState>,
    /// Only tasks that come after this one in the list.
    pub after: Option<TaskCursor>,
    /// At most so many.
    pub limit: u32,
    /// No more bytes of payloads and histories: the task that reaches the bound is the last.
    pub bytes: u64,
}

/// A place in a list of tasks. Tasks that no event asked for may share a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskCursor {
    /// Where the task stands in the log.
    pub position: Position,
    /// The task.
    pub id: TaskId,
}
