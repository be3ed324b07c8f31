//! The port by which one of several processes takes the lead in something.

use async_trait::async_trait;
use thiserror::Error;

/// Lets one process at a time lead.
///
/// Promises:
/// - a lead that is named is held by one process at a time, however many run on the same database;
/// - a process that ends, however it does, does not keep it;
/// - different names are different leads.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Election: Send + Sync {
    /// Takes the lead in `what`, where nobody has it. It is given up with the value.
    ///
    /// # Errors
    /// [`ElectionError`] where nobody can say who leads.
    async fn try_lead(&self, what: &str) -> Result<Option<Box<dyn Lead>>, ElectionError>;
}

/// The lead, while it is held.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Lead: Send + Sync {
    /// Whether it is still held: a connection may have been lost, and with it the lead.
    async fn is_held(&mut self) -> bool;
}

/// Nobody can say who leads.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("who leads can't be found out: {0}")]
pub struct ElectionError(pub String);
