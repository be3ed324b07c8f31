//! Receiving: from the queue of tasks into what waits to be leased, and from the queue of those
//! that are due to where they belong.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use amqprs::channel::{BasicCancelArguments, Channel, ConsumerMessage};
use daybook_events::{Clock, NewTask, Priority};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::deliveries::{Deliveries, Delivery, Receipt};
use crate::fault::Fault;
use crate::inlet::{Inlet, Work, inlet};
use crate::letter::Letter;
use crate::line::{Broker, Line};
use crate::link::{Link, Pauses};
use crate::mark::Marks;
use crate::message::{self, Owners};
use crate::moves::{Move, Moves};
use crate::settings::RabbitSettings;
use crate::topology::Topology;

/// How many tasks that are due are fetched ahead.
const DUE: u16 = 256;
/// How often it is looked for leases that were not extended.
const LOOK: Duration = Duration::from_millis(500);
/// How long it is waited for the last messages of a queue that nothing is taken from any more.
const LAST: Duration = Duration::from_secs(1);

/// It may be put on the queue again by who asked for it, and is not done here.
const OF_ANOTHER: &str = "it is a task of another installation, which uses this queue too";

/// Receives messages, once it was started.
pub(crate) struct Consumer {
    broker: Arc<Broker>,
    topology: Topology,
    prefetch: u16,
    owners: Owners,
    marks: Marks,
    clock: Arc<dyn Clock>,
    new_tasks: Arc<Notify>,
    stop: CancellationToken,
    started: AtomicBool,
    /// Nothing is to be taken from the queues of tasks any more.
    leave: CancellationToken,
    /// Nothing is taken from them any more, and what waited was given back.
    left: CancellationToken,
    pub(crate) link: Link,
    pub(crate) deliveries: Deliveries,
    pub(crate) moves: Moves,
}

/// A connection that messages are received on.
struct Session {
    line: Line,
    generation: u64,
    work: Work,
    due: Inlet,
}

/// What came over a connection is void when it is left, in whatever way.
struct Voided<'a>(&'a Deliveries);

impl Drop for Voided<'_> {
    fn drop(&mut self) {
        self.0.next_generation();
    }
}

impl Consumer {
    pub(crate) fn new(
        settings: &RabbitSettings,
        broker: Arc<Broker>,
        topology: Topology,
        clock: Arc<dyn Clock>,
        new_tasks: Arc<Notify>,
        moves: Moves,
        stop: CancellationToken,
    ) -> Self {
        Self {
            broker,
            topology,
            // None would mean without bound.
            prefetch: settings.prefetch.max(1),
            owners: if settings.believe_owners { Owners::Believed } else { Owners::Ignored },
            marks: Marks(settings.identity.clone()),
            clock,
            new_tasks,
            stop,
            started: AtomicBool::new(false),
            leave: CancellationToken::new(),
            left: CancellationToken::new(),
            link: Link::new("receiving"),
            deliveries: Deliveries::default(),
            moves,
        }
    }

    /// Whether this is the first call: then it has to [`run`](Self::run).
    pub(crate) fn starts(&self) -> bool {
        !self.started.swap(true, Ordering::Relaxed)
    }

    /// Connects, receives, and connects again, until it has to stop.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut pauses = Pauses::new();
        loop {
            let connected = tokio::select! {
                () = self.stop.cancelled() => return,
                connected = self.connect() => connected,
            };
            let pause = match connected {
                Ok(session) => {
                    self.link.up();
                    let began = Instant::now();
                    let fault = self.serve(session).await;
                    // Without a connection there is nothing to be given back.
                    if self.stop.is_cancelled() || self.leave.is_cancelled() {
                        return;
                    }
                    self.link.lost(&fault);
                    pauses.after(began.elapsed())
                }
                Err(fault) => {
                    self.link.failed(&fault);
                    pauses.next()
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn connect(&self) -> Result<Session, Fault> {
        let line = Line::open(&self.broker).await?;
        let channel = line.channel(None).await?;
        self.topology.declare(&line, &channel).await?;
        let generation = self.deliveries.next_generation();
        let normal = self.work_inlet(&line, channel, Priority::Normal).await?;
        let high = self.work_inlet(&line, line.channel(None).await?, Priority::High).await?;
        let low = self.work_inlet(&line, line.channel(None).await?, Priority::Low).await?;
        let work = Work { high, normal, low };
        let channel = line.channel(None).await?;
        let due = inlet(&line, channel, &self.topology.due(), DUE).await?;
        Ok(Session { line, generation, work, due })
    }

    async fn work_inlet(
        &self,
        line: &Line,
        channel: Channel,
        priority: Priority,
    ) -> Result<Inlet, Fault> {
        inlet(line, channel, &self.topology.work(priority), self.prefetch).await
    }

    /// Takes nothing more from the queues of tasks, and waits until what was fetched from them and
    /// is not leased is on its way back.
    pub(crate) async fn withdraw(&self, patience: Duration) {
        self.leave.cancel();
        if self.started.load(Ordering::Relaxed)
            && self.link.fault().is_none()
            && tokio::time::timeout(patience, self.left.cancelled()).await.is_err()
        {
            tracing::debug!("tasks that were fetched ahead go back with the connection");
        }
    }

    /// Whether nothing is to be taken any more.
    pub(crate) fn is_withdrawn(&self) -> bool {
        self.leave.is_cancelled()
    }

    /// How many messages may wait that there is no room for.
    pub(crate) fn crowd(&self) -> usize {
        usize::from(self.prefetch / 2)
    }

    async fn leave(&self, generation: u64, work: &mut Work) {
        for (priority, inlet) in work.each() {
            let arguments = BasicCancelArguments::new(&inlet.consumer);
            let canceled = inlet.channel.basic_cancel(arguments);
            if !matches!(tokio::time::timeout(LAST, canceled).await, Ok(Ok(_))) {
                continue;
            }
            // What was under way still comes; then the inlet ends.
            while let Ok(Some(message)) = tokio::time::timeout(LAST, inlet.messages.recv()).await {
                self.arrived(generation, priority, &inlet.channel, message);
            }
        }
        for delivery in self.deliveries.take_all() {
            delivery.receipt.give_back().await;
        }
        self.left.cancel();
    }

    /// Receives until the connection ends or it has to stop; answers why.
    async fn serve(&self, session: Session) -> Fault {
        let Session { line, generation, mut work, mut due } = session;
        let voided = Voided(&self.deliveries);
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::new();
        let fault = loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break Fault::Closed,
                () = line.ended() => break line.fault(None),
                () = self.leave.cancelled(), if !self.left.is_cancelled() => {
                    self.leave(generation, &mut work).await;
                }
                _ = looks.tick() => self.give_back_expired().await,
                next = work.next(), if !self.left.is_cancelled() => {
                    let Some((priority, channel, message)) = next else { break line.fault(None) };
                    self.arrived(generation, priority, &channel, message);
                }
                count = due.messages.recv_many(&mut batch, DUE.into()) => {
                    if count == 0 {
                        break line.fault(None);
                    }
                    let moved = batch.drain(..).filter_map(|message| {
                        self.moved(generation, &due.channel, message)
                    });
                    self.moves.begin(moved.collect());
                }
            }
        };
        drop(voided);
        line.close().await;
        fault
    }

    /// Leases that were not extended in time go back to the queue.
    pub(crate) async fn give_back_expired(&self) {
        for receipt in self.deliveries.expired(self.clock.now()) {
            receipt.give_back().await;
        }
    }

    fn arrived(
        &self,
        generation: u64,
        priority: Priority,
        channel: &Channel,
        message: ConsumerMessage,
    ) {
        if let Some((receipt, task)) = self.read(generation, channel, message, priority) {
            self.deliveries.arrived(Delivery { receipt, priority, task });
            self.new_tasks.notify_one();
        }
    }

    /// Where a task goes whose wait has ended.
    fn moved(&self, generation: u64, channel: &Channel, message: ConsumerMessage) -> Option<Move> {
        let (receipt, task) = self.read(generation, channel, message, Priority::Normal)?;
        let letter = match task {
            Ok(task) => message::letter(&task, self.clock.now()),
            Err(letter) => *letter,
        };
        Some(Move { letter, receipt })
    }

    fn read(
        &self,
        generation: u64,
        channel: &Channel,
        message: ConsumerMessage,
        priority: Priority,
    ) -> Option<(Receipt, Result<NewTask, Box<Letter>>)> {
        let (deliver, properties) = (message.deliver?, message.basic_properties?);
        let body = message.content?;
        let receipt = Receipt::new(generation, channel.clone(), deliver.delivery_tag());
        if self.marks.is_of_another(&properties) {
            let letter = message::unreadable(&properties, body, OF_ANOTHER);
            return Some((receipt, Err(Box::new(letter))));
        }
        let task = message::task(&properties, &body, self.clock.now(), priority, self.owners);
        let task = task.map_err(|reason| {
            tracing::warn!(reason, "a message is no task; it goes to the dead letters");
            Box::new(message::unreadable(&properties, body, reason))
        });
        Some((receipt, task))
    }
}
