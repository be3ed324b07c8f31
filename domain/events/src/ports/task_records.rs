//! The port to the record of who has which task, for queues that hand tasks out by other means.

use std::time::Duration;

use async_trait::async_trait;

use crate::{Lease, NewTask, QueueError, TaskQueue, Timestamp};

/// A task that a queue has handed out, and that is to be leased.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The task, as it was handed out.
    pub task: NewTask,
    /// Whether it was handed out before, to someone who has lost it since: a lease from then is
    /// void.
    pub again: bool,
}

/// What became of a claim.
#[derive(Clone, Debug)]
pub enum Claimed {
    /// The task is leased to whoever claimed it.
    Leased(Lease),
    /// Another worker has it.
    Held,
    /// It is not to be done before this instant.
    NotDue(Timestamp),
    /// It is done, dead or discarded.
    Finished,
}

/// The record of who has which task.
///
/// A queue such as a message broker hands tasks out, possibly twice or after they were done. The
/// record knows better: it leases a task to one worker at a time, and settles leases as every
/// [`TaskQueue`] does.
///
/// Promises:
/// - a task that is claimed and not known is recorded first, as by [`TaskQueue::enqueue`];
/// - a claimed task is leased unless another worker holds it, its time has not come, or it is
///   finished;
/// - claiming it *again* voids the lease from before: its holder gets
///   [`LeaseLost`](crate::LeaseLost) and changes nothing;
/// - there is one answer for each claim, in order; a task that is claimed twice in one call is
///   leased once.
#[async_trait]
pub trait TaskRecords: TaskQueue {
    /// Leases these tasks for `term`, where they can be had.
    ///
    /// # Errors
    /// [`QueueError`]: none was leased.
    async fn claim(&self, claims: &[Claim], term: Duration) -> Result<Vec<Claimed>, QueueError>;
}
