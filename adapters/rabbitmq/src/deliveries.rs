//! What the broker has handed to this process and this process has not acknowledged.
//!
//! A delivery belongs to the connection it came over, its *generation*: over another it can't be
//! acknowledged, and the broker has given its message to whoever is there.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use amqprs::channel::{BasicAckArguments, BasicNackArguments, Channel};
use daybook_events::{Lease, NewTask, Priority, Room, TaskId, Timestamp};

use crate::letter::Letter;

/// A message that was handed out.
pub(crate) struct Delivery {
    pub receipt: Receipt,
    /// That of the queue it came from.
    pub priority: Priority,
    /// The task, or the letter to the dead letters where nobody can read it.
    pub task: Result<NewTask, Box<Letter>>,
}

impl Delivery {
    fn run_at(&self) -> Option<Timestamp> {
        self.task.as_ref().ok().map(|task| task.run_at)
    }

    /// Takes the room for it; answers whether there was any. What nobody can read needs none.
    fn fits(&self, room: &mut Room) -> bool {
        self.task.as_ref().map_or(true, |task| room.take(&task.kind))
    }
}

/// What a delivery is acknowledged by. Not `Clone`: it is acknowledged once.
pub(crate) struct Receipt {
    generation: u64,
    channel: Channel,
    tag: u64,
}

impl Receipt {
    pub(crate) fn new(generation: u64, channel: Channel, tag: u64) -> Self {
        Self { generation, channel, tag }
    }

    /// Whether it came over a connection that is still there.
    pub(crate) fn is_valid(&self) -> bool {
        self.channel.is_open() && self.channel.is_connection_open()
    }

    /// The message is settled. A connection that is gone acknowledges nothing, and need not: the
    /// record answers for the message when it comes again.
    pub(crate) async fn acknowledge(self) {
        if self.is_valid() {
            let ack = BasicAckArguments::new(self.tag, false);
            if self.channel.basic_ack(ack).await.is_err() {
                tracing::debug!("a message was not acknowledged; it comes again");
            }
        }
    }

    /// The message goes back to the queue.
    pub(crate) async fn give_back(self) {
        if self.is_valid() {
            let nack = BasicNackArguments::new(self.tag, false, true);
            if self.channel.basic_nack(nack).await.is_err() {
                tracing::debug!("a message was not given back; it comes again");
            }
        }
    }
}

/// A task that is leased from here, and its message.
pub(crate) struct Held {
    pub receipt: Receipt,
    pub task: NewTask,
    pub token: u64,
    pub until: Timestamp,
}

/// What the broker has handed to this process and this process has not acknowledged. There is no
/// more of it than is fetched ahead.
#[derive(Default)]
pub(crate) struct Deliveries(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    generation: u64,
    waiting: Waiting,
    /// How many were taken so far: it says whose turn is next.
    turn: u64,
    held: HashMap<TaskId, Held>,
}

/// What waits to be leased, by priority.
#[derive(Default)]
struct Waiting {
    high: VecDeque<Delivery>,
    normal: VecDeque<Delivery>,
    low: VecDeque<Delivery>,
}

impl Waiting {
    const fn of(&mut self, priority: Priority) -> &mut VecDeque<Delivery> {
        match priority {
            Priority::High => &mut self.high,
            Priority::Normal => &mut self.normal,
            Priority::Low => &mut self.low,
        }
    }

    /// The next that there is room for, where it is the turn with this number.
    fn next(&mut self, turn: u64, room: &mut Room) -> Option<Delivery> {
        Priority::turn(turn).into_iter().find_map(|priority| {
            let queue = self.of(priority);
            let first = queue.iter().position(|delivery| delivery.fits(room))?;
            queue.remove(first)
        })
    }
}

impl Deliveries {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another connection; what came over the last is void.
    pub(crate) fn next_generation(&self) -> u64 {
        let mut inner = self.lock();
        inner.generation += 1;
        inner.waiting = Waiting::default();
        inner.held.clear();
        inner.generation
    }

    /// A message was handed out.
    pub(crate) fn arrived(&self, delivery: Delivery) {
        let mut inner = self.lock();
        if delivery.receipt.generation == inner.generation {
            inner.waiting.of(delivery.priority).push_back(delivery);
        }
    }

    /// As many messages that wait to be leased as there is room for, by turns of the priorities;
    /// those of one priority earliest first. Answers what room is left as well.
    pub(crate) fn take(&self, room: &Room) -> (Taken<'_>, Room) {
        let (mut inner, mut room) = (self.lock(), room.clone());
        let mut deliveries = VecDeque::new();
        while room.tasks() > 0
            && let turn = inner.turn
            && let Some(delivery) = inner.waiting.next(turn, &mut room)
        {
            inner.turn = turn.wrapping_add(1);
            deliveries.push_back(delivery);
        }
        let rank = |delivery: &Delivery| {
            Priority::ALL.iter().position(|priority| *priority == delivery.priority)
        };
        deliveries.make_contiguous().sort_by_key(|delivery| (rank(delivery), delivery.run_at()));
        (Taken { from: self, deliveries }, room)
    }

    /// Where more than so many of one priority wait that there is no room for, those beyond it: they
    /// would keep others from being fetched.
    pub(crate) fn crowd(&self, most: usize) -> Vec<Delivery> {
        let mut inner = self.lock();
        let mut crowd = Vec::new();
        for priority in Priority::ALL {
            let queue = inner.waiting.of(priority);
            crowd.extend(queue.drain(most.min(queue.len())..));
        }
        crowd
    }

    /// All that waits to be leased.
    pub(crate) fn take_all(&self) -> Vec<Delivery> {
        self.crowd(0)
    }

    /// A task is leased from here; answers the receipt for what it was leased by before. Where the
    /// connection is another by now, the broker has given the message to someone else, who waits
    /// until the lease is over.
    pub(crate) fn hold(&self, held: Held) -> Option<Receipt> {
        let mut inner = self.lock();
        if held.receipt.generation != inner.generation {
            return None;
        }
        inner.held.insert(held.task.id, held).map(|before| before.receipt)
    }

    /// A lease lasts until then.
    pub(crate) fn extend(&self, lease: &Lease, until: Timestamp) {
        let mut inner = self.lock();
        if let Some(held) = inner.held.get_mut(&lease.task_id)
            && held.token == lease.token
        {
            held.until = until;
        }
    }

    /// What this lease holds, to be settled.
    pub(crate) fn settle(&self, lease: &Lease) -> Option<Held> {
        let mut inner = self.lock();
        let held = inner.held.get(&lease.task_id)?;
        if held.token == lease.token { inner.held.remove(&lease.task_id) } else { None }
    }

    /// The leases that were not extended in time.
    pub(crate) fn expired(&self, now: Timestamp) -> Vec<Receipt> {
        let mut inner = self.lock();
        inner.held.extract_if(|_, held| held.until < now).map(|(_, held)| held.receipt).collect()
    }
}

/// Messages that are being leased. Those that are left over when it is dropped wait again.
pub(crate) struct Taken<'a> {
    from: &'a Deliveries,
    deliveries: VecDeque<Delivery>,
}

impl Taken<'_> {
    /// Those of them that are tasks.
    pub(crate) fn tasks(&self) -> Vec<NewTask> {
        let tasks = self.deliveries.iter().filter_map(|delivery| delivery.task.as_ref().ok());
        tasks.cloned().collect()
    }

    pub(crate) fn next(&mut self) -> Option<Delivery> {
        self.deliveries.pop_front()
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut inner = self.from.lock();
        for delivery in self.deliveries.drain(..).rev() {
            if delivery.receipt.generation == inner.generation {
                inner.waiting.of(delivery.priority).push_front(delivery);
            }
        }
    }
}
