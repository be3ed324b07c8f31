//! The port to the record of who has which task, for queues that hand tasks out by other means.

use std::time::Duration;

use async_trait::async_trait;

use crate::{Lease, NewTask, QueueError, TaskQueue, Timestamp};

/// What became of a claim.
#[derive(Clone, Debug)]
pub enum Claimed {
    /// The task is leased to whoever claimed it.
    Leased(Lease),
    /// It can't be had before this instant: its time has not come, or another worker has it until
    /// then, unless that one renews its lease.
    NotBefore(Timestamp),
    /// It is done, dead or discarded.
    Finished,
    /// It says that it was recorded, and is not: it was forgotten, or is another installation's.
    Unknown,
    /// The record has another task under its id: of another kind, or with another payload.
    Another,
}

/// The record of who has which task.
///
/// A queue such as a message broker hands tasks out, possibly twice or after they were done. The
/// record knows better: it leases a task to one worker at a time, and settles leases as every
/// [`TaskQueue`] does.
///
/// Promises:
/// - a task [from outside](crate::Origin::Outside) that is claimed and not known is recorded first,
///   as by [`TaskQueue::enqueue`]; one that says it was recorded and is not known is not done;
/// - of two tasks from outside with one id that are not the same, the second is told apart;
/// - a claimed task is leased unless another worker holds it, its time has not come, or it is
///   finished. However often it is handed out, and whatever became of whoever had it: a lease is
///   void only when it is over;
/// - there is one answer for each claim, in order; a task that is claimed twice in one call is
///   leased once.
#[async_trait]
pub trait TaskRecords: TaskQueue {
    /// Leases these tasks for `term`, where they can be had.
    ///
    /// # Errors
    /// [`QueueError`]: none was leased.
    async fn claim(&self, tasks: &[NewTask], term: Duration) -> Result<Vec<Claimed>, QueueError>;
}
