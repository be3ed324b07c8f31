//! What every task queue promises. Time is the queue's own, so the suite sets it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use daybook_events::{
    Clock, Lease, LeaseLost, NewTask, TaskId, TaskKind, TaskPage, TaskQueue, TaskRepository,
    TaskState, Timestamp,
};
use uuid::Uuid;

use super::sample::holder;

/// A clock that stands still until it is moved.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Lets time pass.
    pub fn pass(&self, time: Duration) {
        self.0.fetch_add(i64::try_from(time.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

const TERM: Duration = Duration::from_secs(30);
const NOTHING: [u128; 0] = [];

fn task(n: u128, run_at: i64) -> NewTask {
    NewTask {
        id: TaskId::from_uuid(Uuid::from_u128(n)),
        owner: Some(holder(1)),
        kind: TaskKind::text(),
        payload: serde_json::value::to_raw_value("hello").unwrap(),
        run_at: Timestamp::from_micros(run_at),
        created_at: Timestamp::from_micros(0),
    }
}

async fn lease(queue: &dyn TaskQueue, limit: u32) -> Vec<Lease> {
    queue.lease(limit, TERM).await.unwrap()
}

fn numbers(leases: &[Lease]) -> Vec<u128> {
    leases.iter().map(|lease| lease.task_id.uuid().as_u128()).collect()
}

/// A task is leased to one worker at a time, not before its time, earliest first.
pub async fn tasks_are_leased_once_and_in_time(queue: &dyn TaskQueue, clock: &ManualClock) {
    queue.enqueue(&[task(1, 2_000_000), task(2, 1_000_000), task(3, 3_000_000)]).await.unwrap();
    assert_eq!(numbers(&lease(queue, 9).await), NOTHING);
    clock.pass(Duration::from_secs(2));
    let leases = lease(queue, 9).await;
    assert_eq!(numbers(&leases), [2, 1]);
    assert_eq!((leases[0].attempt, leases[0].payload.get()), (1, "\"hello\""));
    assert_eq!(numbers(&lease(queue, 9).await), NOTHING);
    clock.pass(Duration::from_secs(1));
    assert_eq!(numbers(&lease(queue, 9).await), [3]);
}

/// No more are leased than are asked for.
pub async fn no_more_are_leased_than_asked_for(queue: &dyn TaskQueue) {
    queue.enqueue(&[task(1, 0), task(2, 0), task(3, 0)]).await.unwrap();
    assert_eq!(lease(queue, 2).await.len(), 2);
    assert_eq!(lease(queue, 2).await.len(), 1);
}

/// Putting a task on the queue again under the same id changes nothing.
pub async fn enqueueing_again_changes_nothing(queue: &dyn TaskQueue) {
    queue.enqueue(&[task(1, 0)]).await.unwrap();
    let held = lease(queue, 1).await.remove(0);
    queue.enqueue(&[task(1, 0), task(2, 0)]).await.unwrap();
    assert_eq!(numbers(&lease(queue, 9).await), [2]);
    queue.complete(&held).await.unwrap().unwrap();
    queue.enqueue(&[task(1, 0)]).await.unwrap();
    assert_eq!(numbers(&lease(queue, 9).await), NOTHING);
}

/// A lease that was not extended in time is void: the task is leased again, and the first worker
/// changes nothing any more.
pub async fn a_lease_that_was_not_extended_is_void(
    queue: &dyn TaskQueue,
    tasks: &dyn TaskRepository,
    clock: &ManualClock,
) {
    queue.enqueue(&[task(1, 0)]).await.unwrap();
    let first = lease(queue, 1).await.remove(0);
    clock.pass(TERM + Duration::from_secs(1));
    let second = lease(queue, 1).await.remove(0);
    assert_eq!(second.attempt, 2);
    assert!(second.token > first.token);
    assert_eq!(queue.extend(&first, TERM).await.unwrap(), Err(LeaseLost));
    assert_eq!(queue.complete(&first).await.unwrap(), Err(LeaseLost));
    assert_eq!(queue.retry(&first, "late", clock.now()).await.unwrap(), Err(LeaseLost));
    assert_eq!(queue.bury(&first, "late").await.unwrap(), Err(LeaseLost));
    assert_eq!(queue.release(&first).await.unwrap(), Err(LeaseLost));
    assert_eq!(state(tasks, 1).await, (TaskState::Running, 2, None));
    assert_eq!(queue.complete(&second).await.unwrap(), Ok(()));
    assert_eq!(queue.complete(&second).await.unwrap(), Err(LeaseLost));
    assert_eq!(state(tasks, 1).await, (TaskState::Done, 2, None));
}

/// A lease that is extended is kept.
pub async fn an_extended_lease_is_kept(queue: &dyn TaskQueue, clock: &ManualClock) {
    queue.enqueue(&[task(1, 0)]).await.unwrap();
    let held = lease(queue, 1).await.remove(0);
    for _ in 0..3 {
        clock.pass(TERM.saturating_sub(Duration::from_secs(1)));
        assert_eq!(queue.extend(&held, TERM).await.unwrap(), Ok(()));
        assert_eq!(numbers(&lease(queue, 1).await), NOTHING);
    }
    assert_eq!(queue.complete(&held).await.unwrap(), Ok(()));
}

/// A failed task comes back when it is to, with its reason; a buried one does not.
pub async fn failed_tasks_come_back_and_dead_ones_do_not(
    queue: &dyn TaskQueue,
    tasks: &dyn TaskRepository,
    clock: &ManualClock,
) {
    queue.enqueue(&[task(1, 0)]).await.unwrap();
    let held = lease(queue, 1).await.remove(0);
    let later = clock.now().plus(Duration::from_secs(5));
    queue.retry(&held, "no luck", later).await.unwrap().unwrap();
    assert_eq!(state(tasks, 1).await, (TaskState::Queued, 1, Some("no luck".to_owned())));
    assert_eq!(numbers(&lease(queue, 1).await), NOTHING);
    clock.pass(Duration::from_secs(5));
    let held = lease(queue, 1).await.remove(0);
    assert_eq!(held.attempt, 2);
    queue.bury(&held, "hopeless").await.unwrap().unwrap();
    clock.pass(TERM * 10);
    assert_eq!(numbers(&lease(queue, 1).await), NOTHING);
    assert_eq!(state(tasks, 1).await, (TaskState::Dead, 2, Some("hopeless".to_owned())));
}

/// A released task is there at once, as if the attempt had not been made.
pub async fn a_released_task_is_there_at_once(queue: &dyn TaskQueue) {
    queue.enqueue(&[task(1, 0)]).await.unwrap();
    let held = lease(queue, 1).await.remove(0);
    queue.release(&held).await.unwrap().unwrap();
    assert_eq!(lease(queue, 1).await[0].attempt, 1);
}

/// Tasks are listed newest first, by owner and state; done ones are forgotten in time, dead ones never.
pub async fn tasks_are_listed_and_done_ones_forgotten(
    queue: &dyn TaskQueue,
    tasks: &dyn TaskRepository,
    clock: &ManualClock,
) {
    queue
        .enqueue(&[task(1, 0), task(2, 1), task(3, 2), NewTask { owner: None, ..task(4, 3) }])
        .await
        .unwrap();
    clock.pass(Duration::from_secs(1));
    let leases = lease(queue, 2).await;
    queue.complete(&leases[0]).await.unwrap().unwrap();
    queue.bury(&leases[1], "hopeless").await.unwrap().unwrap();
    let list = |owner, state, limit| async move {
        let page = TaskPage { owner, state, after: None, limit };
        let found = tasks.list(&page).await.unwrap();
        found.iter().map(|task| task.id.uuid().as_u128()).collect::<Vec<_>>()
    };
    assert_eq!(list(Some(holder(1)), None, 9).await, [3, 2, 1]);
    assert_eq!(list(None, None, 2).await, [4, 3]);
    assert_eq!(list(None, Some(TaskState::Dead), 9).await, [2]);
    let (before, after) = (clock.now(), clock.now().plus(Duration::from_secs(1)));
    assert_eq!(tasks.forget_done(before, 9).await.unwrap(), 0);
    assert_eq!(tasks.forget_done(after, 9).await.unwrap(), 1);
    assert_eq!(list(None, None, 9).await, [4, 3, 2]);
}

async fn state(tasks: &dyn TaskRepository, n: u128) -> (TaskState, u32, Option<String>) {
    let task = tasks.find(TaskId::from_uuid(Uuid::from_u128(n))).await.unwrap().unwrap();
    (task.state, task.attempts, task.last_error)
}
