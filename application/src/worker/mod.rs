//! Workers: take tasks from the queue and do them.
//!
//! A task is acknowledged after the work. Its lease is renewed while the work goes on; a failed
//! attempt is made again later, each time after a longer pause, and a task that keeps failing is
//! dead, with the reason.

mod handlers;
mod retry;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use daybook_events::{Clock, Lease, LeaseLost, QueueError, Room, TaskKind, TaskQueue, Timestamp};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use handlers::{EmailHandler, TextHandler};
pub use retry::RetryPolicy;

use crate::TroubleLog;

/// How soon it is tried again to note how a task ended; each time twice as long after.
const NOTE_AGAIN_AFTER: Duration = Duration::from_millis(100);
const NOTE_AGAIN_EVERY: Duration = Duration::from_secs(1);

/// Does the tasks of one kind. It may see a task more than once.
#[async_trait]
pub trait TaskHandler: Send + Sync {
    /// Does the task.
    ///
    /// # Errors
    /// [`TaskFailure`].
    async fn handle(&self, lease: &Lease) -> Result<(), TaskFailure>;
}

/// Why an attempt failed. The text is shown to the task's owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskFailure {
    /// It may work later.
    Retry(String),
    /// It never will.
    Hopeless(String),
}

/// Bounds of a worker.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// How many tasks are done at a time.
    pub concurrency: u32,
    /// How many of one kind are done at a time, for kinds with a limit of their own.
    pub kinds: Vec<(TaskKind, u32)>,
    /// How long a lease lasts without being renewed.
    pub lease: Duration,
    /// How long the queue is left alone when it was empty and nobody called.
    pub poll: Duration,
    /// How long tasks in hand may go on when the worker has to stop.
    pub grace: Duration,
    /// When a failed task is tried again, and how often.
    pub retry: RetryPolicy,
}

/// Does the tasks of one queue.
pub struct Worker {
    shared: Arc<Shared>,
    new_tasks: Arc<Notify>,
    trouble: Mutex<TroubleLog>,
}

struct Shared {
    queue: Arc<dyn TaskQueue>,
    clock: Arc<dyn Clock>,
    handlers: HashMap<&'static str, Arc<dyn TaskHandler>>,
    settings: WorkerSettings,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

impl Worker {
    /// A worker on this queue, with a handler for each kind of task. `new_tasks` calls it when
    /// there is something.
    pub fn new(
        queue: Arc<dyn TaskQueue>,
        clock: Arc<dyn Clock>,
        handlers: HashMap<&'static str, Arc<dyn TaskHandler>>,
        settings: WorkerSettings,
        new_tasks: Arc<Notify>,
    ) -> Self {
        let shared = Arc::new(Shared { queue, clock, handlers, settings });
        Self { shared, new_tasks, trouble: Mutex::new(TroubleLog::new("the worker")) }
    }

    /// Runs until `stop`. What is not begun then goes back at once; tasks in hand are finished, or
    /// given back where they take too long.
    pub async fn run(self, stop: CancellationToken) {
        let settings = &self.shared.settings;
        let limits = Limits::new(&settings.kinds);
        let give_back = CancellationToken::new();
        let mut in_hand = JoinSet::new();
        while !stop.is_cancelled() {
            while in_hand.try_join_next().is_some() {}
            let busy = u32::try_from(in_hand.len()).unwrap_or(u32::MAX);
            let free = settings.concurrency.saturating_sub(busy);
            let leases = if free == 0 { Vec::new() } else { self.lease(limits.room(free)).await };
            let idle = leases.is_empty();
            for lease in leases {
                let (shared, place) = (Arc::clone(&self.shared), limits.place(&lease.kind));
                // What is not begun yet is not begun any more.
                let begins = !stop.is_cancelled();
                let give_back = give_back.clone();
                in_hand.spawn(async move {
                    if begins {
                        shared.work(lease, give_back).await;
                    } else {
                        shared.settle(&lease, Ended::GivenBack, &give_back).await;
                    }
                    drop(place);
                });
            }
            if idle {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = self.new_tasks.notified(), if free > 0 => {}
                    Some(_) = in_hand.join_next() => {}
                    () = tokio::time::sleep(settings.poll) => {}
                }
            }
        }
        let finish = async {
            self.shared.queue.withdraw().await;
            while in_hand.join_next().await.is_some() {}
        };
        if tokio::time::timeout(settings.grace, finish).await.is_err() {
            tracing::warn!("tasks are still in hand; they go back to the queue");
            give_back.cancel();
            while in_hand.join_next().await.is_some() {}
        }
    }

    async fn lease(&self, room: Room) -> Vec<Lease> {
        let leased = self.shared.queue.lease(&room, self.shared.settings.lease).await;
        let trouble = leased.as_ref().err().map(|error| format!("no tasks can be leased: {error}"));
        let mut log = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        log.look(trouble.as_ref().map(|trouble| trouble as _));
        leased.unwrap_or_default()
    }
}

/// The limits of single kinds.
struct Limits(HashMap<TaskKind, Arc<Semaphore>>);

impl Limits {
    fn new(kinds: &[(TaskKind, u32)]) -> Self {
        let limit = |(kind, most): &(TaskKind, u32)| {
            let places = usize::try_from(*most).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
            (kind.clone(), Arc::new(Semaphore::new(places)))
        };
        Self(kinds.iter().map(limit).collect())
    }

    /// Room for so many tasks, within the limits.
    fn room(&self, tasks: u32) -> Room {
        self.0.iter().fold(Room::of(tasks), |room, (kind, places)| {
            let free = u32::try_from(places.available_permits()).unwrap_or(u32::MAX);
            room.with_at_most(free, kind.clone())
        })
    }

    /// The place of a task among those of its kind, for as long as it is kept.
    fn place(&self, kind: &TaskKind) -> Option<OwnedSemaphorePermit> {
        Arc::clone(self.0.get(kind)?).try_acquire_owned().ok()
    }
}

/// How the work on a task ended.
enum Ended {
    Worked(Result<(), TaskFailure>),
    LeaseLost,
    GivenBack,
}

/// What is to become of a task.
enum Settlement {
    Completed,
    /// It is due again then.
    Retried(String, Timestamp),
    Buried(String),
    Released,
    /// Somebody else sees to that.
    Lost,
}

impl Shared {
    async fn work(&self, lease: Lease, give_back: CancellationToken) {
        let ended = tokio::select! {
            result = self.handle(&lease) => Ended::Worked(result),
            () = self.keep(&lease) => Ended::LeaseLost,
            () = give_back.cancelled() => Ended::GivenBack,
        };
        self.settle(&lease, ended, &give_back).await;
    }

    /// Has it noted how the work ended: what is done and not noted is done again. Where that can't be
    /// noted now, it is tried again for as long as a lease lasts.
    async fn settle(&self, lease: &Lease, ended: Ended, give_back: &CancellationToken) {
        let settlement = self.settlement(lease, ended);
        let (since, mut pause) = (Instant::now(), NOTE_AGAIN_AFTER);
        loop {
            let error = match self.note(lease, &settlement).await {
                Ok(Ok(())) => return,
                Ok(Err(LeaseLost)) => {
                    tracing::warn!(task_id = %lease.task_id, "the lease was lost; another worker has the task");
                    return;
                }
                Err(error) => error,
            };
            if since.elapsed() >= self.settings.lease || give_back.is_cancelled() {
                tracing::warn!(task_id = %lease.task_id, %error, "a task could not be settled; its lease will expire");
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = give_back.cancelled() => {}
            }
            pause = (pause * 2).min(NOTE_AGAIN_EVERY);
        }
    }

    /// What is to be noted of the end of the work.
    fn settlement(&self, lease: &Lease, ended: Ended) -> Settlement {
        let (reason, pause) = match ended {
            Ended::Worked(Ok(())) => return Settlement::Completed,
            Ended::GivenBack => return Settlement::Released,
            Ended::LeaseLost => return Settlement::Lost,
            Ended::Worked(Err(TaskFailure::Hopeless(reason))) => (reason, None),
            Ended::Worked(Err(TaskFailure::Retry(reason))) => {
                (reason, self.settings.retry.pause(lease.attempt))
            }
        };
        let (task_id, attempt) = (lease.task_id, lease.attempt);
        let Some(pause) = pause else {
            tracing::warn!(%task_id, attempt, reason, "a task is dead");
            return Settlement::Buried(reason);
        };
        tracing::info!(%task_id, attempt, reason, "a task failed and is tried again");
        Settlement::Retried(reason, self.clock.now().plus(pause))
    }

    async fn note(
        &self,
        lease: &Lease,
        settlement: &Settlement,
    ) -> Result<Result<(), LeaseLost>, QueueError> {
        match settlement {
            Settlement::Completed => self.queue.complete(lease).await,
            Settlement::Retried(reason, at) => self.queue.retry(lease, reason, *at).await,
            Settlement::Buried(reason) => self.queue.bury(lease, reason).await,
            Settlement::Released => self.queue.release(lease).await,
            Settlement::Lost => Ok(Err(LeaseLost)),
        }
    }

    async fn handle(&self, lease: &Lease) -> Result<(), TaskFailure> {
        // A worker that died with the task in hand never said why.
        if lease.attempt > self.settings.retry.attempts {
            return Err(TaskFailure::Hopeless("every attempt ended without an answer".to_owned()));
        }
        match self.handlers.get(lease.kind.as_str()) {
            Some(handler) => handler.handle(lease).await,
            None => {
                Err(TaskFailure::Hopeless(format!("no handler for tasks of kind {}", lease.kind)))
            }
        }
    }

    /// Renews the lease for as long as it is held; ends when it is lost.
    async fn keep(&self, lease: &Lease) {
        let term = self.settings.lease;
        loop {
            tokio::time::sleep(term / 3).await;
            match self.queue.extend(lease, term).await {
                Ok(Ok(())) => {}
                Ok(Err(LeaseLost)) => return,
                Err(error) => {
                    tracing::warn!(task_id = %lease.task_id, %error, "a lease was not renewed");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
