//! Where relays hand events on to.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use daybook_events::{
    EventBus, EventPayload, NewTask, RecordedEvent, TaskEvent, TaskId, TaskQueue, TaskRepository,
    TaskState, Version,
};
use futures_util::future::try_join_all;

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

/// A queue outside of the database, which gets the tasks that are asked for in the log.
pub struct TaskDispatch {
    tasks: Arc<dyn TaskRepository>,
    queue: Arc<dyn TaskQueue>,
}

impl std::fmt::Debug for TaskDispatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskDispatch").finish_non_exhaustive()
    }
}

impl TaskDispatch {
    /// Puts these tasks on this queue.
    pub fn new(tasks: Arc<dyn TaskRepository>, queue: Arc<dyn TaskQueue>) -> Self {
        Self { tasks, queue }
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
        let queued: Vec<NewTask> = asked
            .iter()
            .filter_map(|id| found.remove(id))
            .filter(|task| task.state == TaskState::Queued)
            .map(|task| NewTask {
                id: task.id,
                owner: task.owner,
                kind: task.kind,
                payload: task.payload,
                run_at: task.run_at,
                created_at: task.created_at,
            })
            .collect();
        if queued.is_empty() {
            return Ok(());
        }
        self.queue.enqueue(&queued).await.map_err(|error| error.to_string())
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
        Err(_) => None,
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
