//! Where relays hand events on to.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use daybook_events::{
    Clock, Doubled, EventBus, EventPayload, HolderId, NewTask, Origin, Overdue, Priority,
    QueueError, RecordedEvent, Task, TaskEvent, TaskId, TaskQueue, TaskRepository, TaskState,
    Version,
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

/// How long a task has been due when it is taken for late, and its message perhaps for lost.
pub(crate) const OVERDUE: Duration = Duration::from_mins(1);

/// When tasks whose messages may be lost are looked for.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// How often.
    pub every: Duration,
    /// How long it must be overdue.
    pub overdue: Duration,
}

impl Default for Search {
    fn default() -> Self {
        Self { every: Duration::from_secs(30), overdue: OVERDUE }
    }
}

/// How many tasks of one holder wait on the queue among those of their priority.
const SHARE: u32 = 32;
/// How many tasks that were lost are put back at a time.
const AT_ONCE: u32 = 500;
/// What was put back and still waits is put back again after this long at the latest.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// A queue outside of the database, which gets the tasks that are asked for in the log.
///
/// A broker may lose what it has: it dies, its queue is purged or deleted, a policy drops what is too
/// old or too much. So tasks that are overdue are put on it again, whatever became of their messages;
/// what is there twice is done once. As many of them as there are more overdue tasks than messages
/// on the queue are put there at once. Of the others, which may only be late, a bounded number is at a
/// time, and each again only after it has waited twice as long.
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

    /// The tasks as they are put on the queue, which hands out in the order in which it gets them: of each
    /// holder so many that wait are among those of their priority; what is beyond is among the least
    /// urgent, so that it does not stand before all that others ask for.
    async fn in_their_lanes(&self, mut tasks: Vec<NewTask>) -> Result<Vec<NewTask>, QueueError> {
        let mut new: BTreeMap<HolderId, u64> = BTreeMap::new();
        let is_due = |task: &&NewTask| task.run_at <= self.clock.now();
        for owner in tasks.iter().filter(is_due).filter_map(|task| task.owner) {
            *new.entry(owner).or_default() += 1;
        }
        if new.is_empty() {
            return Ok(tasks);
        }
        let owners: Vec<HolderId> = new.keys().copied().collect();
        let most = u32::try_from(tasks.len()).unwrap_or(u32::MAX).saturating_add(SHARE);
        // What is for later is in nobody's way.
        let now = self.clock.now();
        let waiting = self.tasks.count_waiting(&owners, &Priority::ALL, now, most).await?;
        // Those that wait have these among them, which come last.
        let mut before: BTreeMap<HolderId, u64> = owners
            .into_iter()
            .zip(waiting)
            .map(|(owner, waiting)| {
                let new = new.get(&owner).copied().unwrap_or_default();
                (owner, waiting.saturating_sub(new))
            })
            .collect();
        for task in &mut tasks {
            let owner = task.owner.filter(|_| task.run_at <= now);
            let Some(before) = owner.and_then(|owner| before.get_mut(&owner)) else {
                continue;
            };
            if *before >= u64::from(SHARE) {
                task.priority = Priority::Low;
            }
            *before += 1;
        }
        Ok(tasks)
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

    async fn search(&self) -> Result<(), String> {
        if !self.has_to_search() {
            return Ok(());
        }
        self.put_back_what_was_lost().await.map_err(|error| error.to_string())
    }

    async fn put_back_what_was_lost(&self) -> Result<(), QueueError> {
        let now = self.clock.now();
        let before = now.minus(self.search.overdue);
        let overdue = self.tasks.count_overdue(before).await?;
        if overdue == 0 {
            return Ok(());
        }
        let backlog = self.queue.backlog().await?;
        // Where nothing waits before them they are not late, but lost.
        let doubled = Doubled { now, longest: now.minus(LONGEST_PAUSE) };
        let search =
            Overdue { before, put_back_before: before, doubled: (backlog > 0).then_some(doubled) };
        let mut left = overdue.saturating_sub(backlog).max(AT_ONCE.into());
        let mut put_back = 0;
        while left > 0 {
            let limit = AT_ONCE.min(left.try_into().unwrap_or(AT_ONCE));
            let tasks = self.tasks.overdue(&search, limit).await?;
            if tasks.is_empty() {
                break;
            }
            let more = u32::try_from(tasks.len()).is_ok_and(|count| count >= limit);
            let ids: Vec<_> = tasks.iter().map(|task| task.id).collect();
            let tasks = self.in_their_lanes(tasks.into_iter().map(queued).collect()).await?;
            self.queue.enqueue(&tasks).await?;
            self.tasks.note_put_back(&ids, now).await?;
            put_back += ids.len();
            if !more {
                break;
            }
            left = left.saturating_sub(ids.len().try_into().unwrap_or(u64::MAX));
        }
        if put_back > 0 {
            tracing::warn!(overdue, put_back, "tasks are overdue; they are put on the queue again");
        }
        Ok(())
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
        origin: Origin::Recorded,
    }
}

#[async_trait]
impl Destination for TaskDispatch {
    async fn take(&self, events: &[Arc<RecordedEvent>]) -> Result<(), String> {
        let asked: Vec<TaskId> = events.iter().filter_map(|event| task_of(event)).collect();
        // Under steady load it is never idle. What waits in the log is not lost.
        if events.len() < BATCH {
            self.search().await?;
        }
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
        let tasks = self.in_their_lanes(tasks).await.map_err(|error| error.to_string())?;
        self.queue.enqueue(&tasks).await.map_err(|error| error.to_string())
    }

    async fn idle(&self) -> Result<(), String> {
        self.search().await
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
