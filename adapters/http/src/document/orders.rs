//! Orders.

use daybook_money::Amount;
use poem_openapi::types::Example;
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{EXAMPLE_ID, decimal, time};
use crate::body::objects;
use crate::scalars::{AmountText, Count, DateTime, Decimal, IdText, Quantity};

/// An order to be made: both fields, or no body at all.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields, example)]
pub(crate) struct NewOrder {
    /// The ISO 4217 currency of the prices.
    #[oai(validator(min_length = 3, max_length = 3))]
    pub currency_code: String,
    /// What is ordered: 1 to 100 lines.
    #[serde(deserialize_with = "objects")]
    #[oai(validator(min_items = 1, max_items = 100))]
    pub lines: Vec<NewOrderLine>,
}

/// A line of an order.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
pub(crate) struct NewOrderLine {
    /// What: one line of text, at most 200 characters.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub name: String,
    /// How many: 1 to 1 000 000.
    pub quantity: Quantity,
    /// What one of them costs; not negative.
    pub unit_price: AmountText,
}

impl Example for NewOrder {
    fn example() -> Self {
        let unit_price = AmountText(Amount::Text("4.20".to_owned()));
        let line = NewOrderLine { name: "Tea".to_owned(), quantity: Quantity(Some(2)), unit_price };
        Self { currency_code: "EUR".to_owned(), lines: vec![line] }
    }
}

/// The order that was made.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
pub(crate) struct OrderCreated {
    /// Names the order.
    pub order_id: Uuid,
}

impl Example for OrderCreated {
    fn example() -> Self {
        Self { order_id: EXAMPLE_ID }
    }
}

/// How an order is paid: from an account, or (without a body) outside Daybook.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields, example)]
pub(crate) struct Payment {
    /// The account to take the total from: a UUID.
    pub account_id: IdText,
}

impl Example for Payment {
    fn example() -> Self {
        Self { account_id: IdText(EXAMPLE_ID.to_string()) }
    }
}

/// Why an order is cancelled.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields, example)]
pub(crate) struct Cancellation {
    /// One line, at most 500 characters.
    #[serde(default)]
    #[oai(skip_serializing_if_is_none)]
    #[oai(validator(min_length = 1, max_length = 500))]
    pub reason: Option<String>,
}

impl Example for Cancellation {
    fn example() -> Self {
        Self { reason: Some("ordered twice".to_owned()) }
    }
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, Serialize, Enum)]
#[serde(rename_all = "UPPERCASE")]
#[oai(rename_all = "UPPERCASE")]
pub(crate) enum OrderStatus {
    /// Neither paid nor cancelled.
    Pending,
    /// Paid.
    Paid,
    /// Cancelled.
    Canceled,
}

/// An order.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
pub(crate) struct Order {
    /// Names the order.
    pub id: Uuid,
    /// Where it stands.
    pub status: OrderStatus,
    /// The ISO 4217 currency of its prices.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(skip_serializing_if_is_none)]
    pub currency_code: Option<String>,
    /// What was ordered.
    pub lines: Vec<OrderLine>,
    /// What it costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(skip_serializing_if_is_none)]
    pub total: Option<Decimal>,
    /// The account it was paid from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(skip_serializing_if_is_none)]
    pub account_id: Option<Uuid>,
    /// When it was made.
    pub created_at: DateTime,
    /// How many events it has.
    pub version: Count,
}

/// A line of an order.
#[derive(Debug, Serialize, Object)]
pub(crate) struct OrderLine {
    /// What.
    pub name: String,
    /// How many.
    #[oai(validator(minimum(value = "1")))]
    pub quantity: u32,
    /// What one of them costs.
    pub unit_price: Decimal,
}

impl Example for Order {
    fn example() -> Self {
        Self {
            id: EXAMPLE_ID,
            status: OrderStatus::Paid,
            currency_code: Some("EUR".to_owned()),
            lines: vec![OrderLine {
                name: "Tea".to_owned(),
                quantity: 2,
                unit_price: decimal("4.20"),
            }],
            total: Some(decimal("8.40")),
            account_id: Some(EXAMPLE_ID),
            created_at: time(),
            version: Count(2),
        }
    }
}
