//! What every task queue promises where a worker dies: at whatever step, the outcome of a task is
//! recorded once.
//!
//! A worker that dies is one that does nothing any more: it renews no lease and settles nothing. One
//! that was only thought dead comes late, and is refused.

use std::time::Duration;

use daybook_events::{Lease, LeaseLost, QueueError, TaskId, TaskQueue, TaskRepository, TaskState};
use uuid::Uuid;

use super::task_queue::{TERM, TestTime, lease, lease_for, nothing_is_leased, task};

/// How often the outcome of the task was recorded.
#[derive(Default)]
struct Recorded(u32);

impl Recorded {
    /// Settles the task as done; notes whether that counted.
    async fn settle(&mut self, queue: &dyn TaskQueue, lease: &Lease) -> Result<(), LeaseLost> {
        let settled: Result<_, QueueError> = queue.complete(lease).await;
        let settled = settled.unwrap();
        self.0 += u32::from(settled.is_ok());
        settled
    }
}

async fn outcome(tasks: &dyn TaskRepository) -> (TaskState, u32) {
    let task = tasks.find(TaskId::from_uuid(Uuid::from_u128(1))).await.unwrap().unwrap();
    (task.state, task.attempts)
}

/// A worker that dies with a task leased, before or in the middle of the work: another does it, and
/// the first one's result does not count, should it come after all.
pub async fn killed_with_a_task_in_hand_another_does_it_once(
    queue: &dyn TaskQueue,
    other: &dyn TaskQueue,
    tasks: &dyn TaskRepository,
    time: &dyn TestTime,
) {
    let mut recorded = Recorded::default();
    queue.enqueue(&[task(1, 0)]).await.unwrap();
    let first = lease(queue, 1).await.remove(0);
    nothing_is_leased(other).await;
    time.pass(TERM + Duration::from_millis(100)).await;
    queue.withdraw().await;
    let second = lease_for(other, 1, TERM * 10).await.remove(0);
    assert_eq!(recorded.settle(other, &second).await, Ok(()));
    assert_eq!(recorded.settle(queue, &first).await, Err(LeaseLost));
    nothing_is_leased(other).await;
    assert_eq!((recorded.0, outcome(tasks).await), (1, (TaskState::Done, 2)));
}

/// A worker that dies with the work done, before that is recorded: the work is done again, since
/// nobody can know; the outcome is recorded once.
pub async fn killed_before_the_outcome_is_recorded_it_is_recorded_by_another(
    queue: &dyn TaskQueue,
    other: &dyn TaskQueue,
    tasks: &dyn TaskRepository,
    time: &dyn TestTime,
) {
    let mut recorded = Recorded::default();
    queue.enqueue(&[task(1, 0)]).await.unwrap();
    let first = lease(queue, 1).await.remove(0);
    queue.withdraw().await;
    time.pass(TERM + Duration::from_millis(100)).await;
    let second = lease_for(other, 1, TERM * 10).await.remove(0);
    assert!(second.token > first.token);
    // The first comes late, while the second is at work.
    assert_eq!(recorded.settle(queue, &first).await, Err(LeaseLost));
    assert_eq!(outcome(tasks).await, (TaskState::Running, 2));
    assert_eq!(recorded.settle(other, &second).await, Ok(()));
    assert_eq!((recorded.0, outcome(tasks).await), (1, (TaskState::Done, 2)));
    nothing_is_leased(other).await;
}

/// A worker that dies once the outcome is recorded: nobody does the task again.
pub async fn killed_after_the_outcome_is_recorded_nobody_does_it_again(
    queue: &dyn TaskQueue,
    other: &dyn TaskQueue,
    tasks: &dyn TaskRepository,
    time: &dyn TestTime,
) {
    let mut recorded = Recorded::default();
    queue.enqueue(&[task(1, 0)]).await.unwrap();
    let first = lease(queue, 1).await.remove(0);
    assert_eq!(recorded.settle(queue, &first).await, Ok(()));
    queue.withdraw().await;
    time.pass(TERM + Duration::from_millis(100)).await;
    nothing_is_leased(other).await;
    assert_eq!((recorded.0, outcome(tasks).await), (1, (TaskState::Done, 1)));
}
