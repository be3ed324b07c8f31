//! What can happen to an order.

use daybook_events::{HolderId, Line, Timestamp, event_payload};
use daybook_money::Money;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{OrderId, OrderLine};

/// Why an order was cancelled: one line, at most 500 characters.
pub type Reason = Line<500>;

/// The events of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderEvent {
    /// The order was made.
    OrderCreated(OrderCreated),
    /// It was paid.
    OrderPaid(OrderPaid),
    /// It was cancelled.
    OrderCanceled(OrderCanceled),
}

event_payload!(OrderEvent { OrderCreated, OrderPaid, OrderCanceled });

/// An order was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCreated {
    /// The order.
    pub order_id: OrderId,
    /// Whose it is.
    pub holder_id: HolderId,
    /// What was ordered; empty for an order without lines.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub lines: Vec<OrderLine>,
    /// What it costs; absent for an order without lines.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub total: Option<Money>,
    /// When.
    pub created_at: Timestamp,
}

/// An order was paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPaid {
    /// The account it was paid from; absent for a payment outside Daybook.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub account_id: Option<Uuid>,
    /// How much; absent for an order without lines.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub amount: Option<Money>,
}

/// An order was cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCanceled {
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<Reason>,
    /// What was given back, where the order was paid.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub refund: Option<Refund>,
}

/// Money given back for a cancelled order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// The account it went to; absent where it went outside Daybook.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub account_id: Option<Uuid>,
    /// How much.
    pub amount: Money,
}
