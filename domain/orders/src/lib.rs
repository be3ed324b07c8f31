//! Orders: what was ordered, whether it is paid, whether it was cancelled.
//!
//! An [`Order`] is the state of one stream; its methods decide and answer the event or an
//! [`OrderRejection`]. Where a payment's money comes from is not decided here: the application
//! asks the account, and appends both events in one entry.
//!
//! Pure: it knows the log's vocabulary and money, and nothing of accounts, storage or transport.
//! To add a rule, add it to the decision in `order.rs` with a given-when-then test beside it.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may stop at the first surprise"))]

mod contents;
mod event;
mod order;
mod ports;

pub use contents::{Contents, InvalidContents, LineName, OrderLine, RequestedLine};
pub use event::{OrderCanceled, OrderCreated, OrderEvent, OrderPaid, Reason, Refund};
pub use order::{CreateOrder, Order, OrderRejection, OrderStatus, Payment};
#[cfg(feature = "mock")]
pub use ports::MockOrderRepository;
pub use ports::{OrderPage, OrderRepository, RepositoryError};

daybook_events::define_id! {
    /// Names an order.
    OrderId
}

impl OrderId {
    /// The stream of this order's events.
    pub fn stream(self) -> daybook_events::StreamId {
        daybook_events::StreamId::new("order", self)
    }
}
