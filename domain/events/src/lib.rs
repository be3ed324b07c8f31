//! The vocabulary of the log: what an event is, how entries are appended, and the ports behind
//! which the log, the bus, the queue, the clock and the source of ids stand.
//!
//! Pure: no I/O, no runtime, no SQL, no HTTP. It knows nothing of accounts or orders; those crates
//! use its vocabulary.
//!
//! To add a kind of event, define its data next to the aggregate it belongs to and list it in that
//! crate's [`event_payload!`] invocation. To add a port, give it a file under `ports/`, state its
//! promises there, and write the suite that holds an adapter to them.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may stop at the first surprise"))]

mod aggregate;
mod entry;
mod event;
mod id;
mod notification;
mod payload;
mod placed;
mod ports;
mod priority;
mod room;
mod stream;
mod task;
mod task_attempt;
mod text;
mod timestamp;
mod unique;

pub use aggregate::{Aggregate, ImpossibleHistory};
pub use entry::{
    Entry, EntryOutcome, Fingerprint, IdempotencyKey, IdempotencyRecord, InvalidKey, StoredOutcome,
};
pub use event::{EventData, Metadata, NewEvent, RecordedEvent};
pub use id::{EntryId, EventId, HolderId, InstallationId, TaskId, TransferId};
pub use notification::{InvalidTopic, Message, NotificationEvent, NotificationPublished, Topic};
pub use payload::{EventPayload, UnknownEvent};
pub use placed::Placed;
pub use ports::*;
pub use priority::Priority;
pub use room::Room;
pub use stream::{Position, StreamId, Version};
pub use task::{
    InvalidKind, Lease, NewTask, Origin, Task, TaskDiscarded, TaskEvent, TaskKind, TaskRequested,
    TaskRetried, TaskState,
};
pub use task_attempt::FailedAttempt;
pub use text::{InvalidLine, Line, check_line, is_control, is_ignorable, turns_direction};
pub use timestamp::{InvalidTimestamp, Timestamp};
pub use unique::{InvalidUniqueKey, Unique, UniqueKey, UniqueName, UniqueTask};

#[doc(hidden)]
pub use serde_json;
#[doc(hidden)]
pub use uuid;
