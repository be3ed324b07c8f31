//! The port to stored orders.

use async_trait::async_trait;
use daybook_events::{HolderId, Placed, Position};
use thiserror::Error;

use crate::{Order, OrderId, OrderStatus};

/// Finds orders: the read model that is written together with the events.
///
/// Promises: an order is as its last committed event left it, never older. Lists follow the log,
/// whatever the ids and instants are.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait OrderRepository: Send + Sync {
    /// Those of these orders that exist, in no particular order.
    ///
    /// # Errors
    /// [`RepositoryError`].
    async fn find(&self, ids: &[OrderId]) -> Result<Vec<Order>, RepositoryError>;

    /// A page of orders, newest first. What can't be read is left out.
    ///
    /// # Errors
    /// [`RepositoryError`].
    async fn list(&self, page: &OrderPage) -> Result<Vec<Placed<Order>>, RepositoryError>;
}

/// Which orders to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderPage {
    /// Only this holder's; everyone's where there is none.
    pub holder: Option<HolderId>,
    /// Only orders in this status.
    pub status: Option<OrderStatus>,
    /// Only orders whose first event stands before this position.
    pub before: Option<Position>,
    /// At most so many.
    pub limit: u32,
    /// No more bytes of lines: the order that reaches the bound is the last.
    pub bytes: u64,
}

/// Why a repository could not answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RepositoryError {
    /// It can't be reached.
    #[error("the repository is unavailable: {0}")]
    Unavailable(String),
    /// What is stored can't be read.
    #[error("the repository is damaged: {0}")]
    Corrupt(String),
}
