//! What every task queue promises.
//!
//! Time is the queue's own. Where it has a clock of its own, as a broker has, time passes for real:
//! so the times are short. A queue may take a moment to hand out what it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use daybook_events::{
    Clock, Doubled, Lease, LeaseLost, NewTask, Origin, Overdue, Priority, Room, TaskCursor, TaskId,
    TaskKind, TaskPage, TaskQueue, TaskRepository, TaskState, Timestamp,
};
use uuid::Uuid;

use super::sample::holder;

/// The time of a queue that is tested.
#[async_trait]
pub trait TestTime: Send + Sync {
    /// The present instant, as the queue's clock tells it.
    fn now(&self) -> Timestamp;

    /// Lets time pass.
    async fn pass(&self, time: Duration);
}

/// A clock that stands still until it is moved.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

#[async_trait]
impl TestTime for ManualClock {
    fn now(&self) -> Timestamp {
        Clock::now(self)
    }

    async fn pass(&self, time: Duration) {
        self.0.fetch_add(i64::try_from(time.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

/// The time of the world, for a queue that has a clock of its own. It begins at zero.
#[derive(Debug)]
pub struct RealTime(Instant);

impl Default for RealTime {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for RealTime {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(i64::try_from(self.0.elapsed().as_micros()).unwrap())
    }
}

#[async_trait]
impl TestTime for RealTime {
    fn now(&self) -> Timestamp {
        Clock::now(self)
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

pub(super) const TERM: Duration = Duration::from_secs(2);
/// How long a queue may take to hand out what it has.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long it is watched that a queue hands out nothing.
const WHILE: Duration = Duration::from_millis(250);
const NOTHING: [u128; 0] = [];

/// A task, to be done at an instant in microseconds.
pub fn task(n: u128, run_at: i64) -> NewTask {
    NewTask {
        id: TaskId::from_uuid(Uuid::from_u128(n)),
        owner: Some(holder(1)),
        kind: TaskKind::text(),
        payload: serde_json::value::to_raw_value("hello").unwrap(),
        run_at: Timestamp::from_micros(run_at),
        created_at: Timestamp::from_micros(0),
        priority: Priority::Normal,
        unique: None,
        history: Vec::new(),
        origin: Origin::Outside,
    }
}

/// Leases this many tasks, in the order in which they are handed out.
pub(super) async fn lease(queue: &dyn TaskQueue, count: usize) -> Vec<Lease> {
    lease_for(queue, count, TERM).await
}

pub(super) async fn lease_for(queue: &dyn TaskQueue, count: usize, term: Duration) -> Vec<Lease> {
    let (mut leases, began) = (Vec::new(), Instant::now());
    while leases.len() < count {
        let limit = u32::try_from(count - leases.len()).unwrap();
        leases.extend(queue.lease(&Room::of(limit), term).await.unwrap());
        assert!(began.elapsed() < PATIENCE, "only {:?} of {count} were leased", numbers(&leases));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    leases
}

/// The queue hands out nothing, for a while.
pub(super) async fn nothing_is_leased(queue: &dyn TaskQueue) {
    let began = Instant::now();
    while began.elapsed() < WHILE {
        assert_eq!(numbers(&queue.lease(&Room::of(9), TERM).await.unwrap()), NOTHING);
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

fn numbers(leases: &[Lease]) -> Vec<u128> {
    leases.iter().map(|lease| lease.task_id.uuid().as_u128()).collect()
}

/// A task is leased to one worker at a time, not before its time, earliest first.
pub async fn tasks_are_leased_once_and_in_time(queue: &dyn TaskQueue, time: &dyn TestTime) {
    let now = time.now().micros();
    let at = |n, millis: i64| task(n, now + millis * 1_000);
    queue.enqueue(&[at(1, 1_500), at(2, 1_000), at(3, 4_000)]).await.unwrap();
    nothing_is_leased(queue).await;
    time.pass(Duration::from_secs(2)).await;
    let leases = lease_for(queue, 2, TERM * 10).await;
    assert_eq!(numbers(&leases), [2, 1]);
    assert_eq!((leases[0].attempt, leases[0].payload.get()), (1, "\"hello\""));
    assert_eq!(leases[0].kind, TaskKind::text());
    nothing_is_leased(queue).await;
    time.pass(Duration::from_secs(2)).await;
    assert_eq!(numbers(&lease(queue, 1).await), [3]);
}

/// A task that was asked for at no particular time is due at once, also where the clock of whoever
/// asked was ahead.
pub async fn a_task_for_no_particular_time_is_due_whatever_the_clock_says(
    queue: &dyn TaskQueue,
    time: &dyn TestTime,
) {
    let ahead = time.now().plus(Duration::from_hours(1));
    let now = NewTask { created_at: ahead, ..task(1, ahead.micros()) };
    let later = NewTask { created_at: ahead, ..task(2, ahead.micros() + 1) };
    queue.enqueue(&[now, later]).await.unwrap();
    let leases = lease_for(queue, 1, TERM * 10).await;
    assert_eq!(numbers(&leases), [1]);
    nothing_is_leased(queue).await;
    // What failed has its pause, as always.
    let at = time.now().plus(Duration::from_secs(1));
    queue.retry(&leases[0], "not yet", at).await.unwrap().unwrap();
    nothing_is_leased(queue).await;
    time.pass(Duration::from_secs(2)).await;
    assert_eq!(numbers(&lease(queue, 1).await), [1]);
}

/// A task of any kind comes with its payload as it was given.
pub async fn a_task_comes_as_it_was_given(queue: &dyn TaskQueue) {
    let payloads = [
        "{\"to\":\"a@example.com\",\"n\":1.50}",
        "[]",
        "\"\"",
        "\"\\u0000 ü\\n\"",
        "null",
        "12345678901234567890",
    ];
    for (n, payload) in (1..).zip(payloads) {
        for (offset, kind) in [(0, "text"), (100, "send_email"), (200, "a.b_c-9")] {
            let given = NewTask {
                kind: kind.parse().unwrap(),
                payload: serde_json::value::RawValue::from_string(payload.to_owned()).unwrap(),
                ..task(n + offset, 0)
            };
            queue.enqueue(&[given]).await.unwrap();
            let held = lease(queue, 1).await.remove(0);
            assert_eq!((held.kind.as_str(), held.payload.get()), (kind, payload));
            queue.complete(&held).await.unwrap().unwrap();
        }
    }
}

/// No more are leased than are asked for.
pub async fn no_more_are_leased_than_asked_for(queue: &dyn TaskQueue) {
    queue.enqueue(&[task(1, 0), task(2, 0), task(3, 0)]).await.unwrap();
    assert_eq!(lease(queue, 1).await.len(), 1);
    let began = Instant::now();
    let mut left = 2;
    while left > 0 {
        let leases = queue.lease(&Room::of(1), TERM * 10).await.unwrap();
        assert!(leases.len() <= 1);
        left -= leases.len();
        assert!(began.elapsed() < PATIENCE);
    }
}

/// Putting a task on the queue again under the same id changes nothing.
pub async fn enqueueing_again_changes_nothing(queue: &dyn TaskQueue) {
    queue.enqueue(&[task(1, 0)]).await.unwrap();
    let held = lease_for(queue, 1, TERM * 10).await.remove(0);
    queue.enqueue(&[task(1, 0), task(2, 0)]).await.unwrap();
    assert_eq!(numbers(&lease_for(queue, 1, TERM * 10).await), [2]);
    nothing_is_leased(queue).await;
    queue.complete(&held).await.unwrap().unwrap();
    queue.enqueue(&[task(1, 0)]).await.unwrap();
    nothing_is_leased(queue).await;
}

/// A lease that was not extended in time is void: the task is leased again, and the first worker
/// changes nothing any more.
pub async fn a_lease_that_was_not_extended_is_void(
    queue: &dyn TaskQueue,
    tasks: &dyn TaskRepository,
    time: &dyn TestTime,
) {
    queue.enqueue(&[task(1, 0)]).await.unwrap();
    let first = lease(queue, 1).await.remove(0);
    nothing_is_leased(queue).await;
    time.pass(TERM + Duration::from_millis(100)).await;
    let second = lease_for(queue, 1, TERM * 10).await.remove(0);
    assert_eq!(second.attempt, 2);
    assert!(second.token > first.token);
    assert_eq!(queue.extend(&first, TERM).await.unwrap(), Err(LeaseLost));
    assert_eq!(queue.complete(&first).await.unwrap(), Err(LeaseLost));
    assert_eq!(queue.retry(&first, "late", time.now()).await.unwrap(), Err(LeaseLost));
    assert_eq!(queue.bury(&first, "late").await.unwrap(), Err(LeaseLost));
    assert_eq!(queue.release(&first).await.unwrap(), Err(LeaseLost));
    assert_eq!(state(tasks, 1).await, (TaskState::Running, 2, None));
    assert_eq!(queue.complete(&second).await.unwrap(), Ok(()));
    assert_eq!(queue.complete(&second).await.unwrap(), Err(LeaseLost));
    assert_eq!(state(tasks, 1).await, (TaskState::Done, 2, None));
    nothing_is_leased(queue).await;
}

/// A lease that is extended is kept.
pub async fn an_extended_lease_is_kept(queue: &dyn TaskQueue, time: &dyn TestTime) {
    queue.enqueue(&[task(1, 0)]).await.unwrap();
    let held = lease(queue, 1).await.remove(0);
    for _ in 0..3 {
        time.pass(TERM.saturating_sub(Duration::from_secs(1))).await;
        assert_eq!(queue.extend(&held, TERM).await.unwrap(), Ok(()));
        nothing_is_leased(queue).await;
    }
    assert_eq!(queue.complete(&held).await.unwrap(), Ok(()));
}

/// A failed task comes back when it is to, with its reason; a buried one does not.
pub async fn failed_tasks_come_back_and_dead_ones_do_not(
    queue: &dyn TaskQueue,
    tasks: &dyn TaskRepository,
    time: &dyn TestTime,
) {
    queue.enqueue(&[task(1, 0)]).await.unwrap();
    let held = lease(queue, 1).await.remove(0);
    let later = time.now().plus(Duration::from_secs(1));
    queue.retry(&held, "no luck", later).await.unwrap().unwrap();
    assert_eq!(state(tasks, 1).await, (TaskState::Queued, 1, Some("no luck".to_owned())));
    nothing_is_leased(queue).await;
    time.pass(Duration::from_secs(1)).await;
    let held = lease(queue, 1).await.remove(0);
    assert_eq!(held.attempt, 2);
    queue.bury(&held, "hopeless").await.unwrap().unwrap();
    time.pass(TERM + Duration::from_millis(100)).await;
    nothing_is_leased(queue).await;
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
    time: &dyn TestTime,
) {
    queue.enqueue(&[task(1, 0), task(2, 0), NewTask { owner: None, ..task(3, 0) }]).await.unwrap();
    time.pass(Duration::from_millis(10)).await;
    let mut leases = lease_for(queue, 3, TERM * 10).await;
    leases.sort_by_key(|lease| lease.task_id);
    queue.complete(&leases[0]).await.unwrap().unwrap();
    queue.bury(&leases[1], "hopeless").await.unwrap().unwrap();
    let list = |owner, state, limit| async move {
        let page = TaskPage { owner, state, after: None, limit, bytes: u64::MAX };
        let found = tasks.list(&page).await.unwrap();
        found.iter().map(|task| task.thing.id.uuid().as_u128()).collect::<Vec<_>>()
    };
    assert_eq!(list(Some(holder(1)), None, 9).await, [2, 1]);
    assert_eq!(list(None, None, 2).await, [3, 2]);
    assert_eq!(list(None, Some(TaskState::Dead), 9).await, [2]);
    let ids = [1, 3, 9].map(|n| TaskId::from_uuid(Uuid::from_u128(n)));
    let mut found: Vec<_> =
        tasks.find_all(&ids).await.unwrap().iter().map(|task| task.id.uuid().as_u128()).collect();
    found.sort_unstable();
    assert_eq!(found, [1, 3]);
    let mut each: Vec<_> =
        tasks.find_each(&ids).await.unwrap().iter().map(|task| task.id.uuid().as_u128()).collect();
    each.sort_unstable();
    assert_eq!(each, [1, 3]);
    let (before, after) = (Timestamp::from_micros(0), time.now().plus(Duration::from_secs(1)));
    assert_eq!(tasks.forget_done(before, 9).await.unwrap(), 0);
    assert_eq!(tasks.forget_done(after, 9).await.unwrap(), 1);
    assert_eq!(list(None, None, 9).await, [3, 2]);
}

/// A page of tasks has no more bytes of payloads than it may: the task that reaches the bound is its last.
pub async fn pages_of_tasks_are_bounded_in_bytes(
    queue: &dyn TaskQueue,
    tasks: &dyn TaskRepository,
) {
    let payload = serde_json::value::to_raw_value(&"x".repeat(998)).unwrap();
    let large = |n| NewTask { payload: payload.clone(), ..task(n, 0) };
    queue.enqueue(&(1..=40).map(large).collect::<Vec<_>>()).await.unwrap();
    let page_of = |after, limit, bytes| async move {
        let page = TaskPage { owner: None, state: None, after, limit, bytes };
        tasks.list(&page).await.unwrap()
    };
    for (limit, bytes, count) in
        [(40, 10_500, 11), (40, 9_500, 10), (40, 0, 1), (15, 100_000, 15), (2, 1_500, 2)]
    {
        assert_eq!(page_of(None, limit, bytes).await.len(), count, "{limit} of {bytes} bytes");
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = page_of(after, 30, 6_500).await;
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 7);
        after = Some(TaskCursor { position: last.position, id: last.thing.id });
        seen.extend(page.iter().map(|task| task.thing.id.uuid().as_u128()));
    }
    assert_eq!(seen, (1..=40).rev().collect::<Vec<_>>());
}

/// The backlog is what can be leased now: not what waits for its time, is leased or done.
pub async fn the_backlog_is_what_can_be_leased(queue: &dyn TaskQueue, time: &dyn TestTime) {
    let later = time.now().plus(Duration::from_hours(1)).micros();
    queue.enqueue(&[task(1, later)]).await.unwrap();
    assert_eq!(queue.backlog().await.unwrap(), 0);
    // A queue that hands out ahead does so once someone takes from it.
    let tasks: Vec<_> = (2..=4).map(|n| task(n, 0)).collect();
    queue.enqueue(&tasks).await.unwrap();
    assert_eq!(queue.backlog().await.unwrap(), 3);
    for held in lease(queue, 3).await {
        queue.complete(&held).await.unwrap().unwrap();
    }
    assert_eq!(queue.backlog().await.unwrap(), 0);
}

/// What is due and nobody has taken is found, however it became due, and what was taken and given up;
/// what is taken or waits for its time is not.
pub async fn what_is_overdue_is_found(
    queue: &dyn TaskQueue,
    tasks: &dyn TaskRepository,
    time: &dyn TestTime,
) {
    let now = time.now();
    let at_once = task(1, now.micros());
    let waited = task(2, now.plus(Duration::from_secs(1)).micros());
    let waits = task(3, now.plus(Duration::from_hours(1)).micros());
    queue.enqueue(&[at_once, waited, waits]).await.unwrap();
    let overdue = |before| async move {
        let overdue = Overdue { before, put_back_before: before, doubled: None };
        let found = tasks.overdue(&overdue, 9).await.unwrap();
        let count = tasks.count_overdue(before).await.unwrap();
        assert_eq!(count, u64::try_from(found.len()).unwrap());
        found.iter().map(|task| task.id.uuid().as_u128()).collect::<Vec<_>>()
    };
    assert_eq!(overdue(now.minus(Duration::from_micros(1))).await, NOTHING);
    assert_eq!(overdue(now).await, [1]);
    assert_eq!(overdue(now.plus(Duration::from_secs(2))).await, [1, 2]);
    time.pass(Duration::from_secs(2)).await;
    lease(queue, 2).await;
    assert_eq!(overdue(now.plus(Duration::from_secs(2))).await, NOTHING);
    assert_eq!(overdue(time.now().plus(TERM * 2)).await, [1, 2]);
}

/// What was put back is not found again at once and, where that is asked for, not before it has
/// waited twice as long.
pub async fn what_was_put_back_is_left_alone_for_a_while(
    queue: &dyn TaskQueue,
    tasks: &dyn TaskRepository,
) {
    let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
    queue.enqueue(&[task(1, at(100).micros()), task(2, at(200).micros())]).await.unwrap();
    tasks.note_put_back(&[TaskId::from_uuid(Uuid::from_u128(1))], at(160)).await.unwrap();
    let overdue = |now: i64, longest: Option<i64>| async move {
        let doubled = longest.map(|longest| Doubled { now: at(now), longest: at(longest) });
        let overdue = Overdue { before: at(now - 60), put_back_before: at(now - 60), doubled };
        let found = tasks.overdue(&overdue, 9).await.unwrap();
        found.iter().map(|task| task.id.uuid().as_u128()).collect::<Vec<_>>()
    };
    assert_eq!(overdue(220, None).await, NOTHING);
    assert_eq!(overdue(221, None).await, [1]);
    assert_eq!(overdue(300, None).await, [1, 2]);
    // It had waited for 60 s, until 160.
    assert_eq!(overdue(220, Some(0)).await, NOTHING);
    assert_eq!(overdue(221, Some(0)).await, [1]);
    tasks.note_put_back(&[TaskId::from_uuid(Uuid::from_u128(1))], at(221)).await.unwrap();
    assert_eq!(overdue(342, Some(0)).await, [2]);
    assert_eq!(overdue(343, Some(0)).await, [1, 2]);
    // Or for so long that it is enough in any case.
    assert_eq!(overdue(300, Some(222)).await, [1, 2]);
}

/// However many lease at once, each task is leased to one of them.
pub async fn workers_at_once_share_the_tasks(queue: Arc<dyn TaskQueue>) {
    const TASKS: u32 = 60;
    let tasks: Vec<_> = (1..=TASKS).map(|n| task(n.into(), 0)).collect();
    queue.enqueue(&tasks).await.unwrap();
    let (leased, began) = (Arc::new(AtomicI64::new(0)), Instant::now());
    let workers = (0..8).map(|_| {
        let (queue, leased) = (Arc::clone(&queue), Arc::clone(&leased));
        tokio::spawn(async move {
            let mut own = Vec::new();
            while leased.load(Ordering::SeqCst) < TASKS.into() && began.elapsed() < PATIENCE {
                let handed = queue.lease(&Room::of(3), TERM * 10).await.unwrap();
                leased.fetch_add(i64::try_from(handed.len()).unwrap(), Ordering::SeqCst);
                own.extend(numbers(&handed));
                for lease in &handed {
                    queue.complete(lease).await.unwrap().unwrap();
                }
                tokio::task::yield_now().await;
            }
            own
        })
    });
    let mut all = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        all.extend(worker.await.unwrap());
    }
    all.sort_unstable();
    assert_eq!(all, (1..=u128::from(TASKS)).collect::<Vec<_>>());
}

async fn state(tasks: &dyn TaskRepository, n: u128) -> (TaskState, u32, Option<String>) {
    let task = tasks.find(TaskId::from_uuid(Uuid::from_u128(n))).await.unwrap().unwrap();
    (task.state, task.attempts, task.last_error)
}
