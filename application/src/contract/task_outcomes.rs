//! What every task queue promises of attempts that come to nothing, and of a worker that stops.

use std::time::{Duration, Instant};

use daybook_events::{
    FailedAttempt, LeaseLost, Room, Task, TaskId, TaskQueue, TaskRepository, TaskState,
};
use uuid::Uuid;

use super::task_queue::{PATIENCE, TERM, TestTime, lease, lease_for, nothing_is_leased, task};

async fn stored(tasks: &dyn TaskRepository, n: u128) -> Task {
    tasks.find(TaskId::from_uuid(Uuid::from_u128(n))).await.unwrap().unwrap()
}

/// The last attempts that failed are kept with their number, time and reason, while the task is
/// tried again and when it is dead.
pub async fn the_last_failed_attempts_are_kept(
    queue: &dyn TaskQueue,
    tasks: &dyn TaskRepository,
    time: &dyn TestTime,
) {
    let last = u32::try_from(FailedAttempt::KEPT).unwrap() + 2;
    queue.enqueue(&[task(1, 0)]).await.unwrap();
    for attempt in 1..=last {
        let held = lease(queue, 1).await.remove(0);
        assert_eq!(held.attempt, attempt);
        let before = usize::try_from(attempt - 1).unwrap().min(FailedAttempt::KEPT);
        assert_eq!(held.history.len(), before);
        let reason = format!("no luck at {attempt}");
        if attempt == last {
            queue.bury(&held, &reason).await.unwrap().unwrap();
        } else {
            queue.retry(&held, &reason, time.now()).await.unwrap().unwrap();
        }
    }
    let dead = stored(tasks, 1).await;
    assert_eq!(dead.state, TaskState::Dead);
    let attempts: Vec<_> = dead.history.iter().map(|failed| failed.attempt).collect();
    assert_eq!(attempts, (3..=last).collect::<Vec<_>>());
    let end = dead.history.last().unwrap();
    assert_eq!(end.reason, format!("no luck at {last}"));
    assert!(end.at <= time.now());
}

/// An attempt whose worker died is in the history as well.
pub async fn an_attempt_that_nobody_ended_is_kept(
    queue: &dyn TaskQueue,
    tasks: &dyn TaskRepository,
    time: &dyn TestTime,
) {
    queue.enqueue(&[task(1, 0)]).await.unwrap();
    assert!(lease(queue, 1).await[0].history.is_empty());
    time.pass(TERM + Duration::from_millis(100)).await;
    let second = lease_for(queue, 1, TERM * 10).await.remove(0);
    assert_eq!((second.attempt, second.history.len()), (2, 1));
    assert_eq!(second.history[0].attempt, 1);
    queue.complete(&second).await.unwrap().unwrap();
    assert_eq!(stored(tasks, 1).await.history, second.history);
}

/// A worker that withdraws is handed nothing more, and what waited with it is there for others at
/// once; what it has leased is still its own.
pub async fn what_a_worker_withdraws_from_is_there_for_others(
    queue: &dyn TaskQueue,
    other: &dyn TaskQueue,
) {
    let all: Vec<_> = (1..=9).map(|n| task(n, 0)).collect();
    queue.enqueue(&all).await.unwrap();
    let held = lease_for(queue, 1, TERM * 10).await.remove(0);
    queue.withdraw().await;
    assert!(queue.lease(&Room::of(9), TERM).await.unwrap().is_empty());
    let others = lease_for(other, 8, TERM * 10).await;
    assert!(others.iter().all(|lease| lease.attempt == 1));
    assert_eq!(queue.extend(&held, TERM * 10).await.unwrap(), Ok(()));
    assert_eq!(queue.complete(&held).await.unwrap(), Ok(()));
    let began = Instant::now();
    while began.elapsed() < PATIENCE / 20 {
        assert!(queue.lease(&Room::of(9), TERM).await.unwrap().is_empty());
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    nothing_is_leased(other).await;
}

/// What a worker that stops gives back is there for others at once, as if it had not begun.
pub async fn what_a_worker_gives_back_is_there_for_others(
    queue: &dyn TaskQueue,
    other: &dyn TaskQueue,
    tasks: &dyn TaskRepository,
) {
    queue.enqueue(&[task(1, 0)]).await.unwrap();
    let held = lease_for(queue, 1, TERM * 10).await.remove(0);
    queue.withdraw().await;
    queue.release(&held).await.unwrap().unwrap();
    let taken = lease_for(other, 1, TERM * 10).await.remove(0);
    assert_eq!((taken.attempt, taken.history.len()), (1, 0));
    assert_eq!(queue.complete(&held).await.unwrap(), Err(LeaseLost));
    assert_eq!(other.complete(&taken).await.unwrap(), Ok(()));
    let done = stored(tasks, 1).await;
    assert_eq!((done.state, done.attempts), (TaskState::Done, 1));
}
