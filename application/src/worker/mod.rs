//! Workers: take tasks from the queue and do them.
//!
//! A task is acknowledged after the work. Its lease is renewed while the work goes on; a failed
//! attempt is made again later, each time after a longer pause, and a task that keeps failing is
//! dead, with the reason.

mod handlers;
mod retry;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use daybook_events::{Clock, Lease, LeaseLost, QueueError, TaskQueue};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use handlers::{EmailHandler, TextHandler};
pub use retry::RetryPolicy;

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
#[derive(Clone, Copy, Debug)]
pub struct WorkerSettings {
    /// How many tasks are done at a time.
    pub concurrency: u32,
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
        Self { shared: Arc::new(Shared { queue, clock, handlers, settings }), new_tasks }
    }

    /// Runs until `stop`. Tasks in hand are then finished, or given back where they take too long.
    pub async fn run(self, stop: CancellationToken) {
        let settings = self.shared.settings;
        let give_back = CancellationToken::new();
        let mut in_hand = JoinSet::new();
        while !stop.is_cancelled() {
            while in_hand.try_join_next().is_some() {}
            let busy = u32::try_from(in_hand.len()).unwrap_or(u32::MAX);
            let free = settings.concurrency.saturating_sub(busy);
            let leases = if free == 0 { Vec::new() } else { self.lease(free).await };
            let idle = leases.is_empty();
            for lease in leases {
                let (shared, give_back) = (Arc::clone(&self.shared), give_back.clone());
                in_hand.spawn(async move { shared.work(lease, give_back).await });
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
        let finish = async { while in_hand.join_next().await.is_some() {} };
        if tokio::time::timeout(settings.grace, finish).await.is_err() {
            tracing::warn!("tasks are still in hand; they go back to the queue");
            give_back.cancel();
            while in_hand.join_next().await.is_some() {}
        }
    }

    async fn lease(&self, limit: u32) -> Vec<Lease> {
        match self.shared.queue.lease(limit, self.shared.settings.lease).await {
            Ok(leases) => leases,
            Err(error) => {
                tracing::warn!(%error, "no tasks could be leased; it is tried again");
                Vec::new()
            }
        }
    }
}

/// How the work on a task ended.
enum Ended {
    Worked(Result<(), TaskFailure>),
    LeaseLost,
    GivenBack,
}

impl Shared {
    async fn work(&self, lease: Lease, give_back: CancellationToken) {
        let ended = tokio::select! {
            result = self.handle(&lease) => Ended::Worked(result),
            () = self.keep(&lease) => Ended::LeaseLost,
            () = give_back.cancelled() => Ended::GivenBack,
        };
        let settled = match ended {
            Ended::Worked(Ok(())) => self.queue.complete(&lease).await,
            Ended::Worked(Err(TaskFailure::Hopeless(reason))) => self.bury(&lease, &reason).await,
            Ended::Worked(Err(TaskFailure::Retry(reason))) => self.try_again(&lease, &reason).await,
            Ended::GivenBack => self.queue.release(&lease).await,
            Ended::LeaseLost => Ok(Err(LeaseLost)),
        };
        match settled {
            Ok(Ok(())) => {}
            Ok(Err(LeaseLost)) => {
                tracing::warn!(task_id = %lease.task_id, "the lease was lost; another worker has the task");
            }
            Err(error) => {
                tracing::warn!(task_id = %lease.task_id, %error, "a task could not be settled; its lease will expire");
            }
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

    async fn try_again(
        &self,
        lease: &Lease,
        reason: &str,
    ) -> Result<Result<(), LeaseLost>, QueueError> {
        match self.settings.retry.pause(lease.attempt) {
            Some(pause) => {
                tracing::info!(task_id = %lease.task_id, attempt = lease.attempt, reason, "a task failed and is tried again");
                self.queue.retry(lease, reason, self.clock.now().plus(pause)).await
            }
            None => self.bury(lease, reason).await,
        }
    }

    async fn bury(&self, lease: &Lease, reason: &str) -> Result<Result<(), LeaseLost>, QueueError> {
        tracing::warn!(task_id = %lease.task_id, attempt = lease.attempt, reason, "a task is dead");
        self.queue.bury(lease, reason).await
    }
}

#[cfg(test)]
mod tests;
