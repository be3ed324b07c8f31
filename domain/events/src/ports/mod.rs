//! The ports: what the application asks of the outside, each with the promises an adapter keeps.

mod bus;
mod cache;
mod clock;
mod election;
mod ids;
mod installation;
mod journal;
mod schedule_records;
mod task_queue;
mod task_records;
mod task_repository;
mod witness;

pub use bus::{BusError, EventBus, EventSignals, Signal};
pub use cache::{Cache, CacheError, Cached, Lookup, TICKET_PATIENCE, Ticket};
pub use clock::Clock;
pub use election::{Election, ElectionError, Lead};
pub use ids::IdSource;
pub use installation::{Identity, Installation, InstallationError};
pub use journal::{EventFilter, Journal, JournalError};
pub use schedule_records::ScheduleRecords;
pub use task_queue::{LeaseLost, QueueError, TaskQueue};
pub use task_records::{Claimed, TaskRecords};
pub use task_repository::{Doubled, Overdue, TaskCursor, TaskPage, TaskRepository};
pub use witness::{Head, Witness, WitnessError};

#[cfg(feature = "mock")]
pub use bus::MockEventBus;
#[cfg(feature = "mock")]
pub use cache::MockCache;
#[cfg(feature = "mock")]
pub use clock::MockClock;
#[cfg(feature = "mock")]
pub use election::{MockElection, MockLead};
#[cfg(feature = "mock")]
pub use ids::MockIdSource;
#[cfg(feature = "mock")]
pub use installation::MockInstallation;
#[cfg(feature = "mock")]
pub use journal::MockJournal;
#[cfg(feature = "mock")]
pub use task_queue::MockTaskQueue;
#[cfg(feature = "mock")]
pub use task_repository::MockTaskRepository;
#[cfg(feature = "mock")]
pub use witness::MockWitness;
