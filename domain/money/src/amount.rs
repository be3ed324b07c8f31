//! An amount whose currency is not known yet.

use crate::{Currency, Money, MoneyError};

/// A decimal as a caller wrote it, to be read once the currency is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Amount {
    /// The content of a JSON string.
    Text(String),
    /// The text of a JSON number, exponent and all.
    JsonNumber(String),
}

impl Amount {
    /// The money it is in `currency`, exactly.
    ///
    /// # Errors
    /// As [`Money::parse`].
    pub fn in_currency(&self, currency: Currency) -> Result<Money, MoneyError> {
        match self {
            Self::Text(text) => Money::parse(text, currency),
            Self::JsonNumber(text) => Money::parse_json_number(text, currency),
        }
    }
}
