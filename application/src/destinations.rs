//! Where relays hand events on to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use daybook_events::{
    Clock, EventBus, EventPayload, NewTask, QueueError, RecordedEvent, Task, TaskEvent, TaskId,
    TaskQueue, TaskRepository, TaskState, Version,
};
use futures_util::future::try_join_all;
use tokio::time::Instant;

use crate::Reads;
use crate::relay::{BATCH, Destination};

/// The bus that other processes hear.
pub struct SharedBus(Arc<dyn EventBus>);

impl std::fmt::Debug for SharedBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedBus(…)")
    }
}

impl SharedBus {
    /// Tells this bus.
    pub fn new(bus: Arc<dyn EventBus>) -> Self {
        Self(bus)
    }
}

#[async_trait]
impl Destination for SharedBus {
    async fn take(&self, events: &[Arc<RecordedEvent>]) -> Result<(), String> {
        self.0.publish(events.into()).await.map_err(|error| error.to_string())
    }
}

/// How long a writer is left to tell the cache by itself: it has the new value, and here is only
/// known that the old one is outdated.
const WRITERS_TIME: Duration = Duration::from_millis(100);

/// The cache that the instances share: put right where a writer could not reach it.
#[derive(Debug)]
pub struct CacheRepair(Reads);

impl CacheRepair {
    /// Puts the cache behind these reads right.
    pub const fn new(reads: Reads) -> Self {
        Self(reads)
    }
}

#[async_trait]
impl Destination for CacheRepair {
    async fn take(&self, events: &[Arc<RecordedEvent>]) -> Result<(), String> {
        // Of a backlog everyone has had their time.
        if events.len() < BATCH {
            tokio::time::sleep(WRITERS_TIME).await;
        }
        // What has just begun was not asked for before: nobody knew its id.
        let changed = events.iter().filter(|event| event.version > Version::new(1));
        let told = try_join_all(changed.map(|event| self.0.catch_up(event))).await;
        told.map(drop).map_err(|error| error.to_string())
    }
}

/// When a task that waited is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// How often.
    pub every: Duration,
    /// How long it must be overdue.
    pub overdue: Duration,
}

impl Default for Search {
    fn default() -> Self {
        Self { every: Duration::from_secs(30), overdue: Duration::from_mins(1) }
    }
}

/// How many tasks that were lost are put back at a time.
const AT_ONCE: u32 = 500;

/// A queue outside of the database, which gets the tasks that are asked for in the log.
///
/// A broker may lose what waits for its time when it dies. So where tasks are overdue although
/// nothing is left on the queue, they are put on it again; what is there twice is done once.
pub struct TaskDispatch {
    tasks: Arc<dyn TaskRepository>,
    queue: Arc<dyn TaskQueue>,
    clock: Arc<dyn Clock>,
    search: Search,
    searched: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for TaskDispatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskDispatch").finish_non_exhaustive()
    }
}

impl TaskDispatch {
    /// Puts these tasks on this queue.
    pub fn new(
        tasks: Arc<dyn TaskRepository>,
        queue: Arc<dyn TaskQueue>,
        clock: Arc<dyn Clock>,
        search: Search,
    ) -> Self {
        Self { tasks, queue, clock, search, searched: Mutex::default() }
    }

    /// Whether it is time to search; then it is noted that it was done.
    fn has_to_search(&self) -> bool {
        let mut searched = self.searched.lock().unwrap_or_else(PoisonError::into_inner);
        let due = searched.is_none_or(|at| at.elapsed() >= self.search.every);
        if due {
            *searched = Some(Instant::now());
        }
        due
    }

    async fn put_back_what_was_lost(&self) -> Result<(), QueueError> {
        let before = self.clock.now().minus(self.search.overdue);
        let overdue = self.tasks.overdue(before, AT_ONCE).await?;
        // Where others wait before them they are late, and not lost.
        if overdue.is_empty() || self.queue.backlog().await? > 0 {
            return Ok(());
        }
        tracing::warn!(
            tasks = overdue.len(),
            "tasks that waited are overdue; they are put on the queue again"
        );
        self.queue.enqueue(&overdue.into_iter().map(queued).collect::<Vec<_>>()).await
    }
}

/// A task as it is put on a queue.
fn queued(task: Task) -> NewTask {
    NewTask {
        id: task.id,
        owner: task.owner,
        kind: task.kind,
        payload: task.payload,
        run_at: task.run_at,
        created_at: task.created_at,
        priority: task.priority,
        unique: None,
        history: task.history,
    }
}

#[async_trait]
impl Destination for TaskDispatch {
    async fn take(&self, events: &[Arc<RecordedEvent>]) -> Result<(), String> {
        let asked: Vec<TaskId> = events.iter().filter_map(|event| task_of(event)).collect();
        if asked.is_empty() {
            return Ok(());
        }
        // The log has no payloads: they are where they can be forgotten.
        let found = self.tasks.find_all(&asked).await.map_err(|error| error.to_string())?;
        // In the order of the log, and only what nobody has taken yet.
        let mut found: HashMap<_, _> = found.into_iter().map(|task| (task.id, task)).collect();
        let tasks: Vec<NewTask> = asked
            .iter()
            .filter_map(|id| found.remove(id))
            .filter(|task| task.state == TaskState::Queued)
            .map(queued)
            .collect();
        if tasks.is_empty() {
            return Ok(());
        }
        self.queue.enqueue(&tasks).await.map_err(|error| error.to_string())
    }

    async fn idle(&self) -> Result<(), String> {
        if !self.has_to_search() {
            return Ok(());
        }
        self.put_back_what_was_lost().await.map_err(|error| error.to_string())
    }
}

/// The task that an event asks for.
fn task_of(event: &RecordedEvent) -> Option<TaskId> {
    if !event.stream.as_str().starts_with("task-") {
        return None;
    }
    match TaskEvent::from_stored(&event.event_type, &event.data) {
        Ok(TaskEvent::TaskRequested(requested)) => Some(requested.task_id),
        Ok(TaskEvent::TaskRetried(retried)) => Some(retried.task_id),
        // Its message is dropped when it is handed out: the record has it as finished.
        Ok(TaskEvent::TaskDiscarded(_)) | Err(_) => None,
    }
}

/// Nowhere: there is nobody outside. The relay keeps its checkpoint all the same, so that an engine
/// that is configured later is not told of everything that ever happened.
#[derive(Clone, Copy, Debug)]
pub struct Nowhere;

#[async_trait]
impl Destination for Nowhere {
    async fn take(&self, _: &[Arc<RecordedEvent>]) -> Result<(), String> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
