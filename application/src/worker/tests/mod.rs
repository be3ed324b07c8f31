//! What a worker does with tasks, with time passing as fast as nothing happens.

mod leases;
mod mails;
mod stopping;

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use daybook_events::{NewTask, TaskId, TaskKind, Timestamp};
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::*;
use crate::fakes::{FakeClock, soon};
use crate::{Mail, MailError, Mailer};

const SECOND: Duration = Duration::from_secs(1);
const NOW: Timestamp = Timestamp::from_micros(1_795_392_000_000_000);

const SETTINGS: WorkerSettings = WorkerSettings {
    concurrency: 2,
    kinds: Vec::new(),
    lease: Duration::from_secs(30),
    poll: Duration::from_secs(5),
    grace: Duration::from_secs(20),
    retry: RetryPolicy {
        attempts: 3,
        first_pause: Duration::from_secs(8),
        longest_pause: Duration::from_mins(1),
    },
};

/// How a task was settled.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Settled {
    Completed(TaskId),
    Retried(TaskId, String, Timestamp),
    Buried(TaskId, String),
    Released(TaskId),
}

/// A queue that hands out what the test puts in, and remembers what becomes of it.
struct FakeQueue {
    due: Mutex<VecDeque<Lease>>,
    settled: watch::Sender<Vec<Settled>>,
    /// How often something was to be settled, with or without success.
    asked: AtomicUsize,
    extended: Mutex<Vec<Instant>>,
    /// Others have the leases now.
    lost: AtomicBool,
    down: AtomicBool,
    withdrawn: AtomicUsize,
    /// Leases are handed out once it says so; at once where there is none.
    taken: Option<CancellationToken>,
}

impl FakeQueue {
    fn put(&self, lease: Lease) {
        self.due.lock().unwrap().push_back(lease);
    }

    fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
    }

    fn up(&self) -> Result<(), QueueError> {
        let down = self.down.load(Ordering::Relaxed);
        if down { Err(QueueError::Unavailable("unplugged".to_owned())) } else { Ok(()) }
    }

    /// Takes what there is room for.
    fn fitting(&self, room: &Room) -> Vec<Lease> {
        let (mut due, mut room) = (self.due.lock().unwrap(), room.clone());
        let (fitting, left): (VecDeque<_>, _) =
            due.drain(..).partition(|lease| room.take(&lease.kind));
        *due = left;
        fitting.into()
    }

    fn held(&self) -> Result<Result<(), LeaseLost>, QueueError> {
        self.up()?;
        Ok(if self.lost.load(Ordering::Relaxed) { Err(LeaseLost) } else { Ok(()) })
    }

    fn settle(&self, settled: Settled) -> Result<Result<(), LeaseLost>, QueueError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let held = self.held()?;
        if held.is_ok() {
            self.settled.send_modify(|all| all.push(settled));
        }
        Ok(held)
    }

    fn settled_so_far(&self) -> Vec<Settled> {
        self.settled.borrow().clone()
    }

    /// What was settled, once it is so many.
    async fn settled(&self, count: usize) -> Vec<Settled> {
        let mut settled = self.settled.subscribe();
        soon(settled.wait_for(|all| all.len() >= count)).await.unwrap().clone()
    }
}

#[async_trait]
impl TaskQueue for FakeQueue {
    async fn enqueue(&self, _: &[NewTask]) -> Result<(), QueueError> {
        self.up()
    }

    async fn lease(&self, room: &Room, _: Duration) -> Result<Vec<Lease>, QueueError> {
        self.up()?;
        let fitting = self.fitting(room);
        // A queue takes a moment, in which the worker may have to stop.
        if let Some(taken) = &self.taken {
            taken.cancelled().await;
        }
        Ok(fitting)
    }

    async fn extend(&self, _: &Lease, _: Duration) -> Result<Result<(), LeaseLost>, QueueError> {
        self.extended.lock().unwrap().push(Instant::now());
        self.held()
    }

    async fn complete(&self, lease: &Lease) -> Result<Result<(), LeaseLost>, QueueError> {
        self.settle(Settled::Completed(lease.task_id))
    }

    async fn retry(
        &self,
        lease: &Lease,
        reason: &str,
        at: Timestamp,
    ) -> Result<Result<(), LeaseLost>, QueueError> {
        self.settle(Settled::Retried(lease.task_id, reason.to_owned(), at))
    }

    async fn bury(&self, lease: &Lease, reason: &str) -> Result<Result<(), LeaseLost>, QueueError> {
        self.settle(Settled::Buried(lease.task_id, reason.to_owned()))
    }

    async fn release(&self, lease: &Lease) -> Result<Result<(), LeaseLost>, QueueError> {
        self.settle(Settled::Released(lease.task_id))
    }

    async fn withdraw(&self) {
        self.withdrawn.fetch_add(1, Ordering::Relaxed);
    }

    async fn backlog(&self) -> Result<u64, QueueError> {
        Ok(self.due.lock().unwrap().len().try_into().unwrap())
    }

    async fn check(&self) -> Result<(), QueueError> {
        self.up()
    }
}

/// Takes its time, and ends as the test wants it.
struct Work {
    takes: Duration,
    result: Result<(), TaskFailure>,
    begun: AtomicUsize,
    ended: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl Work {
    fn new(takes: Duration, result: Result<(), TaskFailure>) -> Arc<Self> {
        let (begun, ended, most_at_once) =
            (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { takes, result, begun, ended, most_at_once })
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }

    fn ended(&self) -> usize {
        self.ended.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl TaskHandler for Work {
    async fn handle(&self, _: &Lease) -> Result<(), TaskFailure> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.most_at_once.fetch_max(self.begun() - self.ended(), Ordering::Relaxed);
        sleep(self.takes).await;
        self.ended.fetch_add(1, Ordering::Relaxed);
        self.result.clone()
    }
}

/// Panics.
struct Broken;

#[async_trait]
impl TaskHandler for Broken {
    async fn handle(&self, _: &Lease) -> Result<(), TaskFailure> {
        panic!("the handler panicked, as the test wants it");
    }
}

fn task(number: u128) -> TaskId {
    TaskId::from_uuid(Uuid::from_u128(number))
}

fn lease(number: u128, kind: &str, attempt: u32) -> Lease {
    Lease {
        task_id: task(number),
        kind: kind.parse().unwrap(),
        payload: RawValue::NULL.to_owned(),
        attempt,
        token: 1,
        history: Vec::new(),
    }
}

/// A worker at work.
struct Setting {
    queue: Arc<FakeQueue>,
    new_tasks: Arc<Notify>,
    stop: CancellationToken,
    worker: JoinHandle<()>,
}

impl Setting {
    /// A worker that does tasks of the kind `work`, and breaks on those of the kind `broken`.
    fn new(work: &Arc<Work>, leases: impl IntoIterator<Item = Lease>) -> Self {
        Self::with(work, leases, SETTINGS, None)
    }

    fn with(
        work: &Arc<Work>,
        leases: impl IntoIterator<Item = Lease>,
        settings: WorkerSettings,
        taken: Option<CancellationToken>,
    ) -> Self {
        let queue = Arc::new(FakeQueue {
            due: Mutex::new(leases.into_iter().collect()),
            settled: watch::Sender::default(),
            asked: AtomicUsize::new(0),
            extended: Mutex::default(),
            lost: AtomicBool::new(false),
            down: AtomicBool::new(false),
            withdrawn: AtomicUsize::new(0),
            taken,
        });
        let handlers: HashMap<&'static str, Arc<dyn TaskHandler>> = HashMap::from([
            ("work", Arc::clone(work) as _),
            ("other", Arc::clone(work) as _),
            ("broken", Arc::new(Broken) as _),
        ]);
        let (new_tasks, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let worker = Worker::new(
            Arc::clone(&queue) as _,
            Arc::new(FakeClock::at(NOW)),
            handlers,
            settings,
            Arc::clone(&new_tasks),
        );
        let worker = tokio::spawn(worker.run(stop.clone()));
        Self { queue, new_tasks, stop, worker }
    }

    /// Stops the worker; answers how long that took.
    async fn stop(self) -> Duration {
        let asked = Instant::now();
        self.stop.cancel();
        soon(self.worker).await.unwrap();
        asked.elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_is_completed_after_the_work() {
    let work = Work::new(10 * SECOND, Ok(()));
    let setting = Setting::new(&work, [lease(1, "work", 1)]);
    sleep(9 * SECOND).await;
    assert_eq!((work.begun(), setting.queue.settled_so_far()), (1, vec![]));
    assert_eq!(setting.queue.settled(1).await, [Settled::Completed(task(1))]);
    assert_eq!(work.ended(), 1);
    assert_eq!(setting.stop().await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_is_made_again_later_each_time_after_a_longer_pause() {
    for (attempt, longest) in [(1, 8), (2, 16)] {
        let work = Work::new(SECOND, Err(TaskFailure::Retry("too busy".to_owned())));
        let setting = Setting::new(&work, [lease(1, "work", attempt)]);
        let settled = setting.queue.settled(1).await;
        let [Settled::Retried(id, reason, at)] = settled.as_slice() else {
            panic!("{settled:?}");
        };
        assert_eq!((*id, reason.as_str()), (task(1), "too busy"));
        let pause = at.since(NOW);
        let longest = Duration::from_secs(longest);
        assert!(pause >= longest / 2 && pause <= longest, "{pause:?}");
        setting.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_failed_at_its_last_attempt_is_dead_with_the_reason() {
    let work = Work::new(SECOND, Err(TaskFailure::Retry("too busy".to_owned())));
    let setting = Setting::new(&work, [lease(1, "work", SETTINGS.retry.attempts)]);
    let dead = Settled::Buried(task(1), "too busy".to_owned());
    assert_eq!(setting.queue.settled(1).await, [dead]);
    setting.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_workers_all_died_is_dead_and_not_begun_again() {
    let work = Work::new(SECOND, Ok(()));
    let setting = Setting::new(&work, [lease(1, "work", SETTINGS.retry.attempts + 1)]);
    let settled = setting.queue.settled(1).await;
    assert!(matches!(settled.as_slice(), [Settled::Buried(..)]), "{settled:?}");
    assert_eq!(work.begun(), 0);
    setting.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_hopeless_task_is_dead_at_once() {
    let work = Work::new(SECOND, Err(TaskFailure::Hopeless("no such address".to_owned())));
    let setting = Setting::new(&work, [lease(1, "work", 1)]);
    let dead = Settled::Buried(task(1), "no such address".to_owned());
    assert_eq!(setting.queue.settled(1).await, [dead]);
    setting.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_task_of_an_unknown_kind_is_dead_with_the_kind_as_the_reason() {
    let work = Work::new(SECOND, Ok(()));
    let setting = Setting::new(&work, [lease(1, "send_fax", 1)]);
    let settled = setting.queue.settled(1).await;
    let [Settled::Buried(id, reason)] = settled.as_slice() else { panic!("{settled:?}") };
    assert_eq!(*id, task(1));
    assert!(reason.contains("send_fax"), "{reason}");
    setting.stop().await;
}

#[tokio::test(start_paused = true)]
async fn tasks_are_done_side_by_side_up_to_a_limit() {
    let work = Work::new(10 * SECOND, Ok(()));
    let setting = Setting::new(&work, (1..=6).map(|number| lease(number, "work", 1)));
    let began = Instant::now();
    assert_eq!(setting.queue.settled(6).await.len(), 6);
    assert_eq!(began.elapsed(), 30 * SECOND);
    assert_eq!(work.most_at_once.load(Ordering::Relaxed), 2);
    setting.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_wakes_the_worker_and_without_one_it_looks_now_and_then() {
    let work = Work::new(Duration::ZERO, Ok(()));
    let setting = Setting::new(&work, []);
    sleep(SECOND / 2).await;
    setting.queue.put(lease(1, "work", 1));
    let put = Instant::now();
    setting.new_tasks.notify_one();
    setting.queue.settled(1).await;
    assert_eq!(put.elapsed(), Duration::ZERO);
    sleep(SECOND / 2).await;
    setting.queue.put(lease(2, "work", 1));
    setting.queue.settled(2).await;
    assert!(put.elapsed() <= SETTINGS.poll + SECOND, "{:?}", put.elapsed());
    setting.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_takes_nothing_with_it() {
    let work = Work::new(SECOND, Ok(()));
    let leases = [lease(1, "broken", 1), lease(2, "broken", 1), lease(3, "work", 1)];
    let setting = Setting::new(&work, leases);
    assert_eq!(setting.queue.settled(1).await, [Settled::Completed(task(3))]);
    assert_eq!(setting.stop().await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn of_a_kind_with_a_limit_no_more_are_done_at_a_time() {
    let work = Work::new(10 * SECOND, Ok(()));
    let kinds = vec![("work".parse().unwrap(), 1)];
    let settings = WorkerSettings { concurrency: 3, kinds, ..SETTINGS };
    let leases = (1..=3).map(|n| lease(n, "work", 1)).chain([lease(4, "other", 1)]);
    let setting = Setting::with(&work, leases, settings, None);
    sleep(SECOND).await;
    // One of the kind, and the other beside it.
    assert_eq!(work.begun(), 2);
    let began = Instant::now();
    setting.queue.settled(4).await;
    assert_eq!(began.elapsed(), 29 * SECOND);
    assert_eq!(work.most_at_once.load(Ordering::Relaxed), 2);
    setting.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_frees_its_place_among_its_kind() {
    let work = Work::new(SECOND, Ok(()));
    let kinds = vec![("broken".parse().unwrap(), 1)];
    let settings = WorkerSettings { kinds, ..SETTINGS };
    let leases = (1..=3).map(|n| lease(n, "broken", 1)).chain([lease(4, "work", 1)]);
    let setting = Setting::with(&work, leases, settings, None);
    setting.queue.settled(1).await;
    sleep(SETTINGS.poll * 3).await;
    assert!(setting.queue.due.lock().unwrap().is_empty());
    setting.stop().await;
}
