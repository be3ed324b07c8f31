//! Exact money: an amount in integer minor units together with its ISO 4217 currency.
//!
//! This crate is shared by accounts and orders and knows nothing else. There is no floating
//! point anywhere in it: an amount comes in as the text of a decimal, is checked against the
//! minor unit of its currency, and goes out as the text of a decimal.
//!
//! To add an operation on money, add it to [`Money`] in a checked form: it returns a
//! [`MoneyError`] where the result can't be represented, and never wraps or rounds.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may stop at the first surprise"))]

mod amount;
mod currency;
mod decimal;
mod money;

pub use amount::{Amount, json_number_value, whole_number};
pub use currency::{Currency, NotCurrent, UnknownCurrency};
pub use money::{Money, MoneyError};
