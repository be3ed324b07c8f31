//! The port to the queue that workers take tasks from.

use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;

use crate::{Lease, NewTask, Room, Timestamp};

/// The queue of tasks.
///
/// Promises:
/// - a task that was put on the queue is leased until it is completed or buried: at least once,
///   whatever crashes;
/// - a task is leased to one worker at a time, not before its time, earliest first among those of
///   one priority;
/// - urgent tasks go first, by [turns](crate::Priority::turn): no priority waits for ever;
/// - no more tasks are leased than there is [`Room`] for, in all and of a kind; what there is no
///   room for holds up nothing else for long;
/// - after [`withdraw`](Self::withdraw) nothing is leased here any more, and what waited here is
///   there for others at once;
/// - a task has its [history](Lease::history): the last attempts that failed, with their reasons;
/// - a lease that was not extended in time is void, and its task is leased again;
/// - a worker whose lease is void gets [`LeaseLost`] and changes nothing;
/// - putting a task on the queue again under the same id changes nothing: it is not done again.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait TaskQueue: Send + Sync {
    /// Puts tasks on the queue.
    ///
    /// # Errors
    /// [`QueueError::Unavailable`]: none was put.
    async fn enqueue(&self, tasks: &[NewTask]) -> Result<(), QueueError>;

    /// Leases tasks that are due, as many as there is room for at most, each for `term`.
    ///
    /// # Errors
    /// [`QueueError::Unavailable`].
    async fn lease(&self, room: &Room, term: Duration) -> Result<Vec<Lease>, QueueError>;

    /// Keeps a lease for another `term` from now.
    ///
    /// # Errors
    /// [`QueueError::Unavailable`]; [`LeaseLost`] inside.
    async fn extend(
        &self,
        lease: &Lease,
        term: Duration,
    ) -> Result<Result<(), LeaseLost>, QueueError>;

    /// The task is done.
    ///
    /// # Errors
    /// [`QueueError::Unavailable`]; [`LeaseLost`] inside.
    async fn complete(&self, lease: &Lease) -> Result<Result<(), LeaseLost>, QueueError>;

    /// The attempt failed; the task is to be tried again, not before `at`.
    ///
    /// # Errors
    /// [`QueueError::Unavailable`]; [`LeaseLost`] inside.
    async fn retry(
        &self,
        lease: &Lease,
        reason: &str,
        at: Timestamp,
    ) -> Result<Result<(), LeaseLost>, QueueError>;

    /// The task is given up, for `reason`.
    ///
    /// # Errors
    /// [`QueueError::Unavailable`]; [`LeaseLost`] inside.
    async fn bury(&self, lease: &Lease, reason: &str) -> Result<Result<(), LeaseLost>, QueueError>;

    /// The worker has to stop: the task goes back as if this attempt had not been made.
    ///
    /// # Errors
    /// [`QueueError::Unavailable`]; [`LeaseLost`] inside.
    async fn release(&self, lease: &Lease) -> Result<Result<(), LeaseLost>, QueueError>;

    /// The worker has to stop: this process is handed no more tasks, and those that it was handed
    /// ahead and has not leased go back at once. What is leased stays so.
    async fn withdraw(&self);

    /// How many tasks are there to be leased now.
    ///
    /// # Errors
    /// [`QueueError`].
    async fn backlog(&self) -> Result<u64, QueueError>;

    /// Whether the queue can be used now.
    ///
    /// # Errors
    /// [`QueueError`] where it can't.
    async fn check(&self) -> Result<(), QueueError>;
}

/// The lease expired, or another worker has the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the lease is no longer held")]
pub struct LeaseLost;

/// Why the queue could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QueueError {
    /// It can't be reached.
    #[error("the task queue is unavailable: {0}")]
    Unavailable(String),
    /// What is stored can't be read.
    #[error("the task queue is damaged: {0}")]
    Corrupt(String),
}
