//! The objects of the API: what requests hold and replies look like.

mod accounts;
mod events;
mod health;
mod holders;
mod orders;
mod tasks;

pub(crate) use accounts::{
    Account, AccountOpened, AccountPatch, MoneyRequest, Moved, NewAccount, StatementLine, Transfer,
    TransferMade, TransferWanted,
};
pub(crate) use events::{Event, NewNotification, Notification};
pub(crate) use health::{Health, Neighbour, Readiness, Reason};
pub(crate) use holders::{Credentials, Me, NewHolder, NewPassword, Token};
pub(crate) use orders::{Cancellation, NewOrder, Order, OrderCreated, OrderStatus, Payment};
pub(crate) use tasks::{NewTask, Task, TaskAccepted, TaskState};

/// A UUID of the examples.
pub(crate) const EXAMPLE_ID: uuid::Uuid = uuid::uuid!("019a2f60-7c1e-7a51-9c6e-0d7e3a5b1c2d");
/// An instant of the examples.
pub(crate) const EXAMPLE_TIME: &str = "2026-11-23T09:30:00.123456Z";

pub(crate) fn decimal(text: &str) -> crate::scalars::Decimal {
    crate::scalars::Decimal(text.to_owned())
}

pub(crate) fn time() -> crate::scalars::DateTime {
    crate::scalars::DateTime(EXAMPLE_TIME.to_owned())
}
