//! Accounts.

use daybook_money::Amount;
use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{EXAMPLE_ID, decimal, time};
use crate::body::present;
use crate::scalars::{AmountText, Count, DateTime, Decimal, IdText};

/// An account to be opened.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields, example)]
pub(crate) struct NewAccount {
    /// What the holder calls it: one line, at most 100 characters.
    #[oai(validator(min_length = 1, max_length = 100))]
    pub name: String,
    /// An ISO 4217 code, upper case. It never changes.
    #[oai(validator(min_length = 3, max_length = 3))]
    pub currency_code: String,
    /// What is on it at once; nothing where it isn't given. It never changes.
    #[serde(default)]
    #[oai(skip_serializing_if_is_none)]
    pub initial_balance: Option<AmountText>,
}

fn amount(text: &str) -> AmountText {
    AmountText(Amount::Text(text.to_owned()))
}

impl Example for NewAccount {
    fn example() -> Self {
        Self {
            name: "Everyday".to_owned(),
            currency_code: "EUR".to_owned(),
            initial_balance: Some(amount("100.00")),
        }
    }
}

/// What is to change of an account.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields, example)]
pub(crate) struct AccountPatch {
    /// Another name: one line, at most 100 characters.
    #[serde(default, deserialize_with = "present")]
    #[oai(skip_serializing_if_is_none)]
    #[oai(validator(min_length = 1, max_length = 100))]
    pub name: Option<String>,
}

impl Example for AccountPatch {
    fn example() -> Self {
        Self { name: Some("Savings".to_owned()) }
    }
}

/// The account that was opened.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
pub(crate) struct AccountOpened {
    /// Names the account.
    pub account_id: Uuid,
}

impl Example for AccountOpened {
    fn example() -> Self {
        Self { account_id: EXAMPLE_ID }
    }
}

/// An account.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
pub(crate) struct Account {
    /// Names the account.
    pub id: Uuid,
    /// What its holder calls it.
    pub name: String,
    /// Its ISO 4217 currency.
    pub currency_code: String,
    /// What was on it when it was opened.
    pub initial_balance: Decimal,
    /// When it was opened.
    pub created_at: DateTime,
    /// The sum of everything that went on and off it.
    pub balance: Decimal,
    /// What can be spent.
    pub available: Decimal,
    /// How many events it has.
    pub version: Count,
}

impl Example for Account {
    fn example() -> Self {
        Self {
            id: EXAMPLE_ID,
            name: "Everyday".to_owned(),
            currency_code: "EUR".to_owned(),
            initial_balance: decimal("100.00"),
            created_at: time(),
            balance: decimal("112.50"),
            available: decimal("112.50"),
            version: Count(2),
        }
    }
}

/// Money to come in from outside or to go there.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields, example)]
pub(crate) struct MoneyRequest {
    /// How much: more than zero, in the account's currency.
    pub amount: AmountText,
    /// A note: one line, at most 200 characters.
    #[serde(default)]
    #[oai(skip_serializing_if_is_none)]
    #[oai(validator(min_length = 1, max_length = 200))]
    pub reference: Option<String>,
}

impl Example for MoneyRequest {
    fn example() -> Self {
        Self { amount: amount("12.50"), reference: Some("wages".to_owned()) }
    }
}

/// What is on an account after money came in or went out.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
pub(crate) struct Moved {
    /// Names the entry of the journal; it is in the statement.
    pub entry_id: Uuid,
    /// The balance after it.
    pub balance: Decimal,
    /// What can be spent after it.
    pub available: Decimal,
}

impl Example for Moved {
    fn example() -> Self {
        Self { entry_id: EXAMPLE_ID, balance: decimal("112.50"), available: decimal("112.50") }
    }
}

/// Money to go from one of the caller's accounts to another.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields, example)]
pub(crate) struct TransferWanted {
    /// Where the money comes from: a UUID.
    pub from_account_id: IdText,
    /// Where it goes: a UUID.
    pub to_account_id: IdText,
    /// How much: more than zero, in the currency of both.
    pub amount: AmountText,
    /// A note: one line, at most 200 characters.
    #[serde(default)]
    #[oai(skip_serializing_if_is_none)]
    #[oai(validator(min_length = 1, max_length = 200))]
    pub reference: Option<String>,
}

impl Example for TransferWanted {
    fn example() -> Self {
        Self {
            from_account_id: IdText(EXAMPLE_ID.to_string()),
            to_account_id: IdText("019a2f60-9d02-7b3c-8f11-5e6d7c8b9a00".to_owned()),
            amount: amount("40.00"),
            reference: None,
        }
    }
}

/// The transfer that was made.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
pub(crate) struct TransferMade {
    /// Names the transfer; it is in the events of both accounts.
    pub transfer_id: Uuid,
}

impl Example for TransferMade {
    fn example() -> Self {
        Self { transfer_id: EXAMPLE_ID }
    }
}

/// A transfer.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
#[expect(clippy::struct_field_names, reason = "the names on the wire are given")]
pub(crate) struct Transfer {
    /// Names the transfer.
    pub transfer_id: Uuid,
    /// Where the money came from.
    pub from_account_id: Uuid,
    /// Where it went.
    pub to_account_id: Uuid,
    /// How much.
    pub amount: Decimal,
    /// The currency of both accounts.
    pub currency_code: String,
    /// When.
    pub timestamp: DateTime,
    /// The note it was made with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(skip_serializing_if_is_none)]
    pub reference: Option<String>,
    /// Names the entry of the journal.
    pub entry_id: Uuid,
    /// Where in the log the first of its events stands.
    pub position: Count,
}

impl Example for Transfer {
    fn example() -> Self {
        Self {
            transfer_id: EXAMPLE_ID,
            from_account_id: EXAMPLE_ID,
            to_account_id: Uuid::from_u128(0x019a_2f60_9d02_7b3c_8f11_5e6d_7c8b_9a00),
            amount: decimal("40.00"),
            currency_code: "EUR".to_owned(),
            timestamp: time(),
            reference: Some("rent".to_owned()),
            entry_id: EXAMPLE_ID,
            position: Count(7),
        }
    }
}

/// A line of a statement.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
pub(crate) struct StatementLine {
    /// Names the entry of the journal.
    pub entry_id: Uuid,
    /// Where in the log its event stands.
    pub position: Count,
    /// The type of its event.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub kind: String,
    /// By how much the balance changed.
    pub amount: Decimal,
    /// The balance after it.
    pub balance: Decimal,
    /// When.
    pub timestamp: DateTime,
    /// The note it was made with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(skip_serializing_if_is_none)]
    pub reference: Option<String>,
    /// The order it was for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(skip_serializing_if_is_none)]
    pub order_id: Option<Uuid>,
    /// The transfer it is one side of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(skip_serializing_if_is_none)]
    pub transfer_id: Option<Uuid>,
    /// The account on the other side of the transfer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(skip_serializing_if_is_none)]
    pub counter_account_id: Option<Uuid>,
}

impl Example for StatementLine {
    fn example() -> Self {
        Self {
            entry_id: EXAMPLE_ID,
            position: Count(7),
            kind: "MoneyDeposited".to_owned(),
            amount: decimal("12.50"),
            balance: decimal("112.50"),
            timestamp: time(),
            reference: Some("wages".to_owned()),
            order_id: None,
            transfer_id: None,
            counter_account_id: None,
        }
    }
}
