//! The task queue that the broker and the record make together.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use daybook_events::{
    Claimed, Clock, Lease, LeaseLost, NewTask, Origin, QueueError, Room, TaskQueue, TaskRecords,
    Timestamp,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::consumer::Consumer;
use crate::deliveries::{Delivery, Held, Receipt};
use crate::letter::Letter;
use crate::line::{Broker, Line};
use crate::message;
use crate::moves::{Move, Moves};
use crate::publisher::Publisher;
use crate::settings::{RabbitConfigError, RabbitSettings};
use crate::topology::Topology;

/// How long messages on the move are waited for when the queue is closed.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long what is wrong with tasks of others is not said again.
const SAID_AGAIN: Duration = Duration::from_hours(1);
const UNKNOWN: &str = "it was recorded as a task, and this installation's record does not know it: it \
                       was discarded and forgotten";
const ANOTHER: &str = "another task has its message id";
/// How long a task is put off that there is no room for.
const ASIDE: Duration = Duration::from_secs(1);

/// A task queue on a `RabbitMQ` broker.
///
/// It connects when it is first used, over one connection for sending and, from the first
/// [`lease`](TaskQueue::lease) on, one for receiving: a broker short of memory holds up those who
/// send, and acknowledgements have to get through. A connection that is lost is restored without
/// end. Dropped, it ends its connections in the background; [`close`](Self::close) waits for that.
pub struct RabbitQueue {
    broker: Arc<Broker>,
    topology: Topology,
    publisher: Arc<Publisher>,
    consumer: Arc<Consumer>,
    records: Option<Arc<dyn TaskRecords>>,
    clock: Arc<dyn Clock>,
    start_tries: u32,
    start_pause: Duration,
    refusals: Refusals,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl fmt::Debug for RabbitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitQueue").finish_non_exhaustive()
    }
}

impl Drop for RabbitQueue {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl RabbitQueue {
    /// The queue on this broker. The broker is not asked yet. Without `records` tasks can be put
    /// on the queue and not taken from it. The clock says what is due and which leases have
    /// expired; `new_tasks` is notified when there is something to lease.
    ///
    /// # Errors
    /// [`RabbitConfigError`]: the settings can't be used.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn new(
        settings: &RabbitSettings,
        records: Option<Arc<dyn TaskRecords>>,
        clock: Arc<dyn Clock>,
        new_tasks: Arc<Notify>,
    ) -> Result<Self, RabbitConfigError> {
        if !(1..=200).contains(&settings.queue.len()) || settings.queue.starts_with("amq.") {
            return Err(RabbitConfigError::Queue);
        }
        let broker = Arc::new(Broker::new(settings)?);
        let (topology, stop) = (Topology::new(settings), CancellationToken::new());
        let publisher =
            Publisher::new(settings, Arc::clone(&broker), topology.clone(), stop.clone());
        let publisher = Arc::new(publisher);
        let moves = Moves::new(Arc::clone(&publisher), stop.clone());
        let consumer = Consumer::new(
            settings,
            Arc::clone(&broker),
            topology.clone(),
            Arc::clone(&clock),
            new_tasks,
            moves,
            stop.clone(),
        );
        let tasks = TaskTracker::new();
        tasks.spawn(Arc::clone(&publisher).run());
        tasks.spawn(Arc::clone(&publisher).attend());
        let (start_tries, start_pause) = (settings.start_tries.max(1), settings.start_pause);
        let consumer = Arc::new(consumer);
        Ok(Self {
            broker,
            topology,
            publisher,
            consumer,
            records,
            clock,
            start_tries,
            start_pause,
            refusals: Refusals::default(),
            tasks,
            stop,
        })
    }

    /// Waits for a broker that isn't up yet: so many tries, so far apart, as the settings say,
    /// with a line in the log for each that fails.
    ///
    /// # Errors
    /// [`QueueError::Unavailable`] after the last try, or at once where waiting can't help: the
    /// login or the virtual host is refused, or the queue was declared otherwise. The text is one
    /// line that says what to do.
    pub async fn connect_patiently(&self) -> Result<(), QueueError> {
        let (tries, pause) = (self.start_tries, self.start_pause);
        let mut attempt = 1;
        loop {
            let Err(fault) = self.publisher.ask().await else { return Ok(()) };
            tracing::warn!(attempt, tries, "{fault}");
            if fault.is_permanent() {
                return Err(fault.into());
            }
            if attempt >= tries {
                return Err(QueueError::Unavailable(format!(
                    "{fault}; gave up after {tries} tries"
                )));
            }
            attempt += 1;
            tokio::time::sleep(pause).await;
        }
    }

    /// Ends the connections in good order. Tasks that were fetched ahead go back to the queue at once;
    /// those that are still leased can be had when their leases are over. Nothing can be done with
    /// it afterwards.
    pub async fn close(&self) {
        self.consumer.moves.finish(FAREWELL).await;
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn records(&self) -> Result<&Arc<dyn TaskRecords>, QueueError> {
        self.records.as_ref().ok_or_else(|| {
            QueueError::Unavailable("this process can put tasks on the queue, not take them".into())
        })
    }

    /// What is left to do with a delivery, now that the record has answered; the lease, if it is
    /// one.
    async fn follow(
        &self,
        delivery: Delivery,
        answer: impl FnOnce() -> Option<Claimed>,
        until: Timestamp,
        moves: &mut Vec<Move>,
    ) -> Option<Lease> {
        let Delivery { receipt, task, .. } = delivery;
        let mut task = match task {
            Ok(task) => task,
            Err(letter) => {
                moves.push(Move { letter: *letter, receipt });
                return None;
            }
        };
        let Some(answer) = answer() else {
            receipt.give_back().await;
            return None;
        };
        // Whatever becomes of its message from here on, the record has it.
        if matches!(answer, Claimed::Leased(_) | Claimed::NotBefore(_)) {
            task.origin = Origin::Recorded;
        }
        match answer {
            Claimed::Leased(lease) => {
                let held = Held { receipt, task, token: lease.token, until };
                // The same task by two messages: one is enough.
                if let Some(before) = self.consumer.deliveries.hold(held) {
                    before.acknowledge().await;
                }
                return Some(lease);
            }
            Claimed::Finished => receipt.acknowledge().await,
            Claimed::Unknown => moves.push(self.refuse(&task, UNKNOWN, receipt)),
            Claimed::Another => moves.push(self.refuse(&task, ANOTHER, receipt)),
            // Also where another worker has it: that one may have no message any more.
            Claimed::NotBefore(at) => {
                moves.push(Move { letter: put_off(task, at, self.clock.now()), receipt });
            }
        }
        None
    }

    /// A task that is not done here goes to the dead letters; why is said once in a while.
    fn refuse(&self, task: &NewTask, reason: &'static str, receipt: Receipt) -> Move {
        if self.refusals.is_news(reason) {
            tracing::warn!(task_id = %task.id, reason, "a task goes to the dead letters");
        }
        Move { letter: message::refused(task, reason), receipt }
    }

    /// Tasks of kinds that there is no room for must not keep others from being fetched: those beyond
    /// a few go to the end of the queue, after a moment.
    fn put_off_crowd(&self, moves: &mut Vec<Move>) {
        let now = self.clock.now();
        for delivery in self.consumer.deliveries.crowd(self.consumer.crowd()) {
            let letter = match delivery.task {
                Ok(task) => put_off(task, now.plus(ASIDE), now),
                Err(letter) => *letter,
            };
            moves.push(Move { letter, receipt: delivery.receipt });
        }
    }

    /// Acknowledges what a lease held: it is settled, or somebody else has the task.
    async fn acknowledge(&self, lease: &Lease) {
        if let Some(held) = self.consumer.deliveries.settle(lease) {
            held.receipt.acknowledge().await;
        }
    }

    /// A settled task lives on as another message, in whose favour its own is acknowledged.
    fn replace(&self, lease: &Lease, letter: impl FnOnce(NewTask) -> Letter) {
        if let Some(held) = self.consumer.deliveries.settle(lease) {
            let (letter, receipt) = (letter(held.task), held.receipt);
            self.consumer.moves.begin(vec![Move { letter, receipt }]);
        }
    }
}

/// When each reason for refusing tasks was said last.
#[derive(Default)]
struct Refusals(Mutex<HashMap<&'static str, Instant>>);

impl Refusals {
    /// Whether it was not said within the last hour; then it is noted that it is.
    fn is_news(&self, reason: &'static str) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let news = said.get(reason).is_none_or(|at| at.elapsed() >= SAID_AGAIN);
        if news {
            said.insert(reason, Instant::now());
        }
        news
    }
}

/// The task as a message that waits until then, also where it was asked for by a clock that is ahead.
fn put_off(task: NewTask, at: Timestamp, now: Timestamp) -> Letter {
    let created_at = task.created_at.min(now);
    message::letter(&NewTask { run_at: at, created_at, ..task }, now)
}

#[async_trait]
impl TaskQueue for RabbitQueue {
    async fn enqueue(&self, tasks: &[NewTask]) -> Result<(), QueueError> {
        let now = self.clock.now();
        Ok(self.publisher.send(tasks, |task| message::letter(task, now)).await?)
    }

    async fn lease(&self, room: &Room, term: Duration) -> Result<Vec<Lease>, QueueError> {
        let records = self.records()?;
        if self.consumer.is_withdrawn() {
            return Ok(Vec::new());
        }
        if self.consumer.starts() {
            self.tasks.spawn(Arc::clone(&self.consumer).run());
        }
        if let Some(fault) = self.consumer.link.fault() {
            return Err(fault.into());
        }
        self.consumer.give_back_expired().await;
        let (mut taken, room_left) = self.consumer.deliveries.take(room);
        let tasks = taken.tasks();
        let answers =
            if tasks.is_empty() { Vec::new() } else { records.claim(&tasks, term).await? };
        let (mut answers, until) = (answers.into_iter(), self.clock.now().plus(term));
        let (mut leases, mut moves) = (Vec::new(), Vec::new());
        while let Some(delivery) = taken.next() {
            leases.extend(self.follow(delivery, || answers.next(), until, &mut moves).await);
        }
        if room_left.tasks() > 0 {
            self.put_off_crowd(&mut moves);
        }
        self.consumer.moves.begin(moves);
        Ok(leases)
    }

    async fn extend(
        &self,
        lease: &Lease,
        term: Duration,
    ) -> Result<Result<(), LeaseLost>, QueueError> {
        let extended = self.records()?.extend(lease, term).await?;
        match extended {
            Ok(()) => self.consumer.deliveries.extend(lease, self.clock.now().plus(term)),
            Err(LeaseLost) => self.acknowledge(lease).await,
        }
        Ok(extended)
    }

    async fn complete(&self, lease: &Lease) -> Result<Result<(), LeaseLost>, QueueError> {
        let completed = self.records()?.complete(lease).await?;
        self.acknowledge(lease).await;
        Ok(completed)
    }

    async fn retry(
        &self,
        lease: &Lease,
        reason: &str,
        at: Timestamp,
    ) -> Result<Result<(), LeaseLost>, QueueError> {
        let retried = self.records()?.retry(lease, reason, at).await?;
        match retried {
            Ok(()) => self.replace(lease, |task| {
                let now = self.clock.now();
                let history = lease.failed(now, reason);
                message::letter(&NewTask { run_at: at, history, ..task }, now)
            }),
            Err(LeaseLost) => self.acknowledge(lease).await,
        }
        Ok(retried)
    }

    async fn bury(&self, lease: &Lease, reason: &str) -> Result<Result<(), LeaseLost>, QueueError> {
        let buried = self.records()?.bury(lease, reason).await?;
        match buried {
            Ok(()) => self.replace(lease, |task| {
                let history = lease.failed(self.clock.now(), reason);
                message::buried(&NewTask { history, ..task }, lease, reason)
            }),
            Err(LeaseLost) => self.acknowledge(lease).await,
        }
        Ok(buried)
    }

    async fn release(&self, lease: &Lease) -> Result<Result<(), LeaseLost>, QueueError> {
        let released = self.records()?.release(lease).await?;
        if let Some(held) = self.consumer.deliveries.settle(lease) {
            match released {
                Ok(()) => held.receipt.give_back().await,
                Err(LeaseLost) => held.receipt.acknowledge().await,
            }
        }
        Ok(released)
    }

    async fn withdraw(&self) {
        self.consumer.withdraw(FAREWELL).await;
    }

    async fn backlog(&self) -> Result<u64, QueueError> {
        // On a connection of its own: it is asked seldom, and holds up nothing.
        let line = Line::open(&self.broker).await?;
        let channel = line.channel(None).await?;
        let count = self.topology.backlog(&line, &channel).await;
        line.close().await;
        Ok(count?)
    }

    async fn check(&self) -> Result<(), QueueError> {
        self.publisher.check().await?;
        self.consumer.link.fault().map_or(Ok(()), |fault| Err(fault.into()))
    }
}
