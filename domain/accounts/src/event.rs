//! What can happen to an account.

use daybook_events::{HolderId, Line, Timestamp, TransferId, event_payload};
use daybook_money::Money;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{AccountId, AccountName};

/// What the caller noted on a change of money: one line, at most 200 characters.
pub type Reference = Line<200>;

/// The events of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountEvent {
    /// The account was opened.
    AccountOpened(AccountOpened),
    /// It got another name.
    AccountRenamed(AccountRenamed),
    /// Money came in from outside.
    MoneyDeposited(MoneyDeposited),
    /// Money went outside.
    MoneyWithdrawn(MoneyWithdrawn),
    /// Money went to another account.
    TransferSent(TransferSent),
    /// Money came from another account.
    TransferReceived(TransferReceived),
    /// An order was paid from the account.
    OrderPaymentDebited(OrderPaymentDebited),
    /// A paid order was cancelled and its money came back.
    OrderRefundCredited(OrderRefundCredited),
    /// The account was closed.
    AccountClosed(AccountClosed),
}

event_payload!(AccountEvent {
    AccountOpened,
    AccountRenamed,
    MoneyDeposited,
    MoneyWithdrawn,
    TransferSent,
    TransferReceived,
    OrderPaymentDebited,
    OrderRefundCredited,
    AccountClosed,
});

/// The account was opened. The opening balance comes from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountOpened {
    /// The account.
    pub account_id: AccountId,
    /// Whose it is.
    pub holder_id: HolderId,
    /// Its name.
    pub name: AccountName,
    /// What was on it at once; also says its currency.
    pub initial_balance: Money,
    /// When.
    pub opened_at: Timestamp,
}

/// The account got another name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRenamed {
    /// The new name.
    pub name: AccountName,
}

/// Money came in from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoneyDeposited {
    /// How much; positive.
    pub amount: Money,
    /// What the caller noted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reference: Option<Reference>,
}

/// Money went outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoneyWithdrawn {
    /// How much; positive.
    pub amount: Money,
    /// What the caller noted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reference: Option<Reference>,
}

/// Money went to another account. Appended together with its [`TransferReceived`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferSent {
    /// The transfer.
    pub transfer_id: TransferId,
    /// Where the money went.
    pub to_account_id: AccountId,
    /// How much; positive.
    pub amount: Money,
    /// What the caller noted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reference: Option<Reference>,
}

/// Money came from another account. Appended together with its [`TransferSent`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferReceived {
    /// The transfer.
    pub transfer_id: TransferId,
    /// Where the money came from.
    pub from_account_id: AccountId,
    /// How much; positive.
    pub amount: Money,
    /// What the caller noted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reference: Option<Reference>,
}

/// An order was paid from the account. Appended together with the order's own event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPaymentDebited {
    /// The order.
    pub order_id: Uuid,
    /// Its total; positive.
    pub amount: Money,
}

/// A paid order was cancelled and its money came back. Appended together with the order's own event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRefundCredited {
    /// The order.
    pub order_id: Uuid,
    /// Its total; positive.
    pub amount: Money,
}

/// The account was closed. What was left on it went outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountClosed {
    /// What was left on it.
    pub paid_out: Money,
}
