//! The JSON in which accounts and orders are shown, and kept in the cache.

use bytes::Bytes;
use daybook_accounts::{Account, AccountId};
use daybook_events::{Timestamp, Version};
use daybook_money::Currency;
use daybook_orders::{Contents, Order, OrderId, OrderStatus};
use serde::Serialize;
use uuid::Uuid;

/// An account as it is shown.
#[derive(Clone, Debug, Serialize)]
pub struct AccountView {
    /// Names the account.
    pub id: AccountId,
    /// What its holder calls it.
    pub name: String,
    /// Its ISO 4217 currency.
    pub currency_code: Currency,
    /// What was on it when it was opened: a decimal.
    pub initial_balance: String,
    /// When it was opened.
    pub created_at: Timestamp,
    /// The sum of its postings: a decimal.
    pub balance: String,
    /// What can be spent: a decimal.
    pub available: String,
    /// How many events it has.
    pub version: Version,
}

impl From<&Account> for AccountView {
    fn from(account: &Account) -> Self {
        Self {
            id: account.id,
            name: account.name.as_str().to_owned(),
            currency_code: account.currency(),
            initial_balance: account.initial_balance.amount(),
            created_at: account.created_at,
            balance: account.balance.amount(),
            available: account.available().amount(),
            version: account.version,
        }
    }
}

/// An order as it is shown.
#[derive(Clone, Debug, Serialize)]
pub struct OrderView {
    /// Names the order.
    pub id: OrderId,
    /// Where it stands.
    pub status: OrderStatus,
    /// Its ISO 4217 currency; absent for an order without lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency_code: Option<Currency>,
    /// What was ordered.
    pub lines: Vec<OrderLineView>,
    /// What it costs: a decimal; absent for an order without lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<String>,
    /// The account it was paid from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<Uuid>,
    /// When it was made.
    pub created_at: Timestamp,
    /// How many events it has.
    pub version: Version,
}

/// A line of an order as it is shown.
#[derive(Clone, Debug, Serialize)]
pub struct OrderLineView {
    /// What.
    pub name: String,
    /// How many.
    pub quantity: u32,
    /// What one of them costs: a decimal.
    pub unit_price: String,
}

impl From<&Order> for OrderView {
    fn from(order: &Order) -> Self {
        let lines = order.contents.as_ref().map_or(&[][..], Contents::lines);
        Self {
            id: order.id,
            status: order.status,
            currency_code: order.total().map(daybook_money::Money::currency),
            lines: lines
                .iter()
                .map(|line| OrderLineView {
                    name: line.name.as_str().to_owned(),
                    quantity: line.quantity,
                    unit_price: line.unit_price.amount(),
                })
                .collect(),
            total: order.total().map(daybook_money::Money::amount),
            account_id: order.payment.as_ref().and_then(|payment| payment.account_id),
            created_at: order.created_at,
            version: order.version,
        }
    }
}

/// The JSON of a view.
pub(crate) fn encode(view: &impl Serialize) -> Bytes {
    // Views hold no map and no float: they always have a JSON form.
    serde_json::to_vec(view).unwrap_or_default().into()
}
