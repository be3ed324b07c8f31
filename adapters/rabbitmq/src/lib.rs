//! The RabbitMQ adapter: a task queue that a broker hands out and that a record keeps the books of.
//!
//! The broker decides who is offered a task and keeps it until somebody acknowledges it. The
//! record, behind the port [`TaskRecords`](daybook_events::TaskRecords), knows who has which
//! task, fences whoever comes late and keeps states and attempts. [`RabbitQueue`] is the
//! [`TaskQueue`](daybook_events::TaskQueue) that both make together. A process that only puts
//! tasks on the queue needs no record.
//!
//! # What lies on the broker
//!
//! - `tasks`, as the known programs declare it: durable, no arguments. A task is a persistent
//!   message on it (see `message.rs`), and a line of text is a message of just that text, whoever
//!   sent it.
//! - `tasks.high` and `tasks.low`, beside it and alike, for tasks of those priorities.
//! - `tasks.wait.64`, `.128`, … up to 2²⁶: tasks whose time has not come, each queue with one fixed
//!   time to live in milliseconds. A task goes to the longest that is not longer than what is left
//!   of its wait, falls out of it into `tasks.due`, and from there goes to `tasks` or to the next.
//!   One queue with a time to live on each message would not do: only the message at its head
//!   expires, so that a long wait holds up the short ones behind it.
//! - `tasks.due`: read by every process that takes tasks.
//! - `tasks.dead`: copies of buried tasks, and messages that nobody can read, with the reason in
//!   the header `x-daybook-reason` and the attempts that failed in `x-daybook-history`. It holds 100 000 messages and 1 GiB; the oldest go first.
//!
//! # Why each order of steps is safe
//!
//! A message is acknowledged last, after the record and after whatever takes its place is
//! confirmed by the broker. Killed earlier, the broker hands it out again, and the record's answer
//! to the new claim sets right what is left to do:
//!
//! - killed between *done* in the record and the acknowledgement: the claim is answered
//!   `Finished`, the message is dropped;
//! - between *to be tried again at* and the delayed copy, or between the copy and the
//!   acknowledgement: the claim is answered `NotBefore`, the message is put off (again);
//! - between *dead* and the copy in `tasks.dead`: dropped as finished; the copy, which is for
//!   people to look at, is missing, and the record still has the reason;
//! - while a task is leased: the claim is answered `NotBefore`, the message is put off until the
//!   lease is over. Whoever takes the task then fences whoever had it.
//!
//! That a message is handed out again says nothing of who has the task: there may be two copies of
//! it, or its connection was lost, and whoever works on it is well and ends it. So the record alone
//! decides, and a copy of a task that is held is never dropped: it may be the last.
//!
//! Where the record can't be asked, messages stay with this process and are claimed at the next
//! call.
//!
//! # Limits
//!
//! - A message of another program without an id is given one when it is taken. Killed between
//!   taking and acknowledging it, it is done again under another id: nothing ties the two together.
//! - A classic queue forgets a message whose wait ends before the next queue has stored it: a broker
//!   that is killed in the middle of that loses tasks that waited. The record still has them, and
//!   whoever dispatches tasks puts them on the queue again once they are overdue. Quorum queues
//!   ([`RabbitSettings::quorum`]) don't lose them; but one that is killed within seconds after it
//!   was first declared may be without a leader for good, as seen on 3.10: then it has to be deleted.
//!   A classic queue seemed to be gone with its messages, twice, where the broker was killed right after
//!   it was first declared, on a busy disk.
//! - [`QueueError::Unavailable`](daybook_events::QueueError) after sending means *not known to be
//!   stored*: it may be. Sending it again under the same id is harmless.
//! - Properties that are not UTF-8 end the connection in the client library.
//!
//! It knows the ports of `daybook-events` and the AMQP client; neither the client's types nor its
//! error texts leave the crate, and nor do the credentials in the URL. A new property of a message
//! goes into `message.rs`, a new queue into `topology.rs`.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may stop at the first surprise"))]

mod address;
mod confirms;
mod consumer;
mod deliveries;
mod fault;
mod inlet;
mod letter;
mod line;
mod link;
mod login;
mod mark;
mod message;
mod moves;
mod publisher;
mod queue;
mod settings;
mod tls;
mod topology;

pub use queue::RabbitQueue;
pub use settings::{RabbitConfigError, RabbitSettings};
