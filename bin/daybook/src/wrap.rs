//! What may be put around the adapters before the application gets them.

use std::sync::Arc;

use daybook_application::Row;
use daybook_events::{Cache, Clock, Journal, TaskQueue};

/// Puts something around the adapters. Daybook itself puts nothing there; the fault suite plants
/// faults here, to see that its checks find them.
pub trait Wrap: Send + Sync + 'static {
    /// Around the journal.
    fn journal(&self, journal: Arc<dyn Journal<Row>>) -> Arc<dyn Journal<Row>> {
        journal
    }

    /// Around the cache.
    fn cache(&self, cache: Arc<dyn Cache>) -> Arc<dyn Cache> {
        cache
    }

    /// Around the clock.
    fn clock(&self, clock: Arc<dyn Clock>) -> Arc<dyn Clock> {
        clock
    }

    /// Around the queue that a worker works on.
    fn queue(&self, queue: Arc<dyn TaskQueue>) -> Arc<dyn TaskQueue> {
        queue
    }
}

/// Nothing is put around the adapters.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Wrap for Plain {}
