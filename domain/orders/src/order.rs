//! An order: its state and its rules.

use daybook_events::{Aggregate, HolderId, ImpossibleHistory, Timestamp, Version};
use daybook_money::Money;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use crate::{
    Contents, OrderCanceled, OrderCreated, OrderEvent, OrderId, OrderPaid, Reason, Refund,
};

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum OrderStatus {
    /// Made, and neither paid nor cancelled.
    Pending,
    /// Paid.
    Paid,
    /// Cancelled.
    Canceled,
}

impl OrderStatus {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Paid, Self::Canceled];

    /// The status's name: `PENDING`, `PAID`, `CANCELED`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Paid => "PAID",
            Self::Canceled => "CANCELED",
        }
    }

    /// The status with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// How an order was paid. It stays known after a cancellation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// The account it was paid from; `None` for a payment outside Daybook.
    pub account_id: Option<Uuid>,
    /// How much; `None` for an order without lines.
    pub amount: Option<Money>,
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Names the order.
    pub id: OrderId,
    /// Whose it is.
    pub holder_id: HolderId,
    /// What was ordered; `None` for an order without lines.
    pub contents: Option<Contents>,
    /// Where it stands.
    pub status: OrderStatus,
    /// How it was paid, if it ever was.
    pub payment: Option<Payment>,
    /// When it was made.
    pub created_at: Timestamp,
    /// How many events its stream has.
    pub version: Version,
}

/// What is needed to make an order.
#[derive(Clone, Debug)]
pub struct CreateOrder {
    /// Names the new order.
    pub order_id: OrderId,
    /// Whose it will be.
    pub holder_id: HolderId,
    /// What is ordered.
    pub contents: Option<Contents>,
    /// When.
    pub created_at: Timestamp,
}

/// Why an order refuses.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderRejection {
    /// It is paid.
    #[error("the order is paid already")]
    AlreadyPaid,
    /// It is cancelled.
    #[error("the order is canceled")]
    AlreadyCanceled,
    /// It has no total, so that no account can pay it.
    #[error("the order has no total that an account could pay")]
    NoTotal,
}

impl Order {
    /// Makes an order. What is ordered was checked when its [`Contents`] were made.
    pub fn create(command: CreateOrder) -> OrderEvent {
        let (lines, total) = match command.contents {
            Some(contents) => (contents.lines().to_vec(), Some(contents.total())),
            None => (Vec::new(), None),
        };
        OrderEvent::OrderCreated(OrderCreated {
            order_id: command.order_id,
            holder_id: command.holder_id,
            lines,
            total,
            created_at: command.created_at,
        })
    }

    /// What it costs; `None` for an order without lines.
    pub fn total(&self) -> Option<Money> {
        self.contents.as_ref().map(Contents::total)
    }

    /// Pays it, from an account or outside Daybook.
    ///
    /// # Errors
    /// [`OrderRejection`].
    pub fn pay(&self, account_id: Option<Uuid>) -> Result<OrderEvent, OrderRejection> {
        match self.status {
            OrderStatus::Pending if account_id.is_some() && self.contents.is_none() => {
                Err(OrderRejection::NoTotal)
            }
            OrderStatus::Pending => {
                Ok(OrderEvent::OrderPaid(OrderPaid { account_id, amount: self.total() }))
            }
            OrderStatus::Paid => Err(OrderRejection::AlreadyPaid),
            OrderStatus::Canceled => Err(OrderRejection::AlreadyCanceled),
        }
    }

    /// What a cancellation has to give back: the amount, and the account it was paid from.
    pub fn refundable(&self) -> Option<Refund> {
        let payment = self.payment.as_ref().filter(|_| self.status == OrderStatus::Paid)?;
        let amount = payment.amount.filter(|amount| !amount.is_zero())?;
        Some(Refund { account_id: payment.account_id, amount })
    }

    /// Cancels it. `refund` says what is given back and where; it is [`Order::refundable`], but
    /// for an account that can't take it any more.
    ///
    /// # Errors
    /// [`OrderRejection::AlreadyCanceled`].
    pub fn cancel(
        &self,
        reason: Option<Reason>,
        refund: Option<Refund>,
    ) -> Result<OrderEvent, OrderRejection> {
        match self.status {
            OrderStatus::Pending | OrderStatus::Paid => {
                Ok(OrderEvent::OrderCanceled(OrderCanceled { reason, refund }))
            }
            OrderStatus::Canceled => Err(OrderRejection::AlreadyCanceled),
        }
    }

    fn created(event: &OrderCreated) -> Option<Self> {
        let contents = match event.total {
            Some(total) => Some(Contents::from_lines(event.lines.clone(), total.currency()).ok()?),
            None => None,
        };
        Some(Self {
            id: event.order_id,
            holder_id: event.holder_id,
            contents,
            status: OrderStatus::Pending,
            payment: None,
            created_at: event.created_at,
            version: Version::new(1),
        })
    }
}

impl Aggregate for Order {
    type Event = OrderEvent;

    fn evolve(current: Option<Self>, event: &OrderEvent) -> Result<Self, ImpossibleHistory> {
        let impossible = |reason| ImpossibleHistory::new(event, reason);
        let Some(order) = current else {
            return match event {
                OrderEvent::OrderCreated(created) => Self::created(created)
                    .ok_or_else(|| impossible("its lines don't make an order")),
                _ => Err(impossible("the order was never made")),
            };
        };
        let next = Self { version: order.version.next(), ..order };
        match (next.status, event) {
            (_, OrderEvent::OrderCreated(_)) => Err(impossible("the order was made already")),
            (OrderStatus::Pending, OrderEvent::OrderPaid(paid)) => {
                let payment = Payment { account_id: paid.account_id, amount: paid.amount };
                Ok(Self { status: OrderStatus::Paid, payment: Some(payment), ..next })
            }
            (OrderStatus::Pending | OrderStatus::Paid, OrderEvent::OrderCanceled(_)) => {
                Ok(Self { status: OrderStatus::Canceled, ..next })
            }
            (OrderStatus::Paid, OrderEvent::OrderPaid(_)) => Err(impossible("the order is paid")),
            (OrderStatus::Canceled, _) => Err(impossible("the order is canceled")),
        }
    }
}

#[cfg(test)]
mod tests;
