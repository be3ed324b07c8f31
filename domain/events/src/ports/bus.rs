//! The port to the bus that tells other parts, and other instances, of new events.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::Stream;
use thiserror::Error;

use crate::RecordedEvent;

/// What a subscriber hears.
#[derive(Clone, Debug)]
pub enum Signal {
    /// These events are in the log; consecutive, in order.
    Events(Arc<[Arc<RecordedEvent>]>),
    /// Something was missed: look into the log.
    Missed,
}

/// What a subscriber hears, until the bus goes away.
pub type EventSignals = Pin<Box<dyn Stream<Item = Signal> + Send>>;

/// Tells of new events at once, without remembering them: whoever missed something reads the log.
///
/// Promises:
/// - a subscriber hears every batch published after it subscribed, in order, or a
///   [`Signal::Missed`] in its place, never a silent gap;
/// - a subscriber that does not listen holds up nobody: the bus keeps a bounded number of batches;
/// - where the bus can't be reached a subscription stays, hears a [`Signal::Missed`] once it can be
///   reached again, and what is published from then on.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait EventBus: Send + Sync {
    /// Tells every subscriber of events that are in the log.
    ///
    /// # Errors
    /// [`BusError`] where the bus can't be reached.
    async fn publish(&self, events: Arc<[Arc<RecordedEvent>]>) -> Result<(), BusError>;

    /// Listens from now on.
    ///
    /// # Errors
    /// [`BusError`] where the bus can't be reached.
    async fn subscribe(&self) -> Result<EventSignals, BusError>;

    /// Whether the bus can be used now.
    ///
    /// # Errors
    /// [`BusError`] where it can't.
    async fn check(&self) -> Result<(), BusError>;
}

/// The bus could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the bus is unavailable: {0}")]
pub struct BusError(pub String);
