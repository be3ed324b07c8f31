//! The bus within this process.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use daybook_events::{BusError, EventBus, EventSignals, RecordedEvent, Signal};
use futures_util::{StreamExt, stream};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

type Batch = Arc<[Arc<RecordedEvent>]>;

/// A bus within this process, until it is closed.
pub struct MemoryBus {
    /// `None` once the bus is closed.
    batches: RwLock<Option<broadcast::Sender<Batch>>>,
}

impl fmt::Debug for MemoryBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBus").finish_non_exhaustive()
    }
}

impl MemoryBus {
    /// A bus that keeps this many batches for subscribers that have not listened yet; rounded up
    /// to a power of two.
    pub fn new(capacity: NonZeroUsize) -> Self {
        Self { batches: RwLock::new(Some(broadcast::Sender::new(capacity.get()))) }
    }

    /// Ends every subscription once it has heard what was published. From then on nobody is told
    /// anything: publishing does nothing, and a new subscription ends at once.
    pub fn close(&self) {
        self.batches.write().unwrap_or_else(PoisonError::into_inner).take();
    }
}

#[async_trait]
impl EventBus for MemoryBus {
    async fn publish(&self, events: Batch) -> Result<(), BusError> {
        if let Some(batches) = &*self.batches.read().unwrap_or_else(PoisonError::into_inner) {
            // Fails where nobody listens, which is nobody's trouble.
            let _ = batches.send(events);
        }
        Ok(())
    }

    async fn subscribe(&self) -> Result<EventSignals, BusError> {
        let batches = self.batches.read().unwrap_or_else(PoisonError::into_inner);
        Ok(match &*batches {
            Some(batches) => Box::pin(BroadcastStream::new(batches.subscribe()).map(|heard| {
                // The one error is that batches were dropped before they were heard.
                heard.map_or(Signal::Missed, Signal::Events)
            })),
            None => Box::pin(stream::empty()),
        })
    }

    async fn check(&self) -> Result<(), BusError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> Batch {
        Arc::new([])
    }

    #[tokio::test]
    async fn a_closed_bus_ends_its_subscriptions_after_what_they_were_told() {
        let bus = MemoryBus::new(NonZeroUsize::new(4).unwrap());
        let mut early = bus.subscribe().await.unwrap();
        bus.publish(nothing()).await.unwrap();
        bus.close();
        assert!(matches!(early.next().await, Some(Signal::Events(_))));
        assert!(early.next().await.is_none());
    }

    #[tokio::test]
    async fn a_closed_bus_takes_everything_and_tells_nobody() {
        let bus = MemoryBus::new(NonZeroUsize::MIN);
        bus.close();
        bus.close();
        assert_eq!(bus.publish(nothing()).await, Ok(()));
        assert!(bus.subscribe().await.unwrap().next().await.is_none());
    }
}
