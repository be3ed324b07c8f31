//! An amount whose currency is not known yet.

use crate::decimal::{Notation, normal, parse_scaled};
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

    /// Its value in one spelling, the same for `1`, `"1"` and `1.00`.
    ///
    /// # Errors
    /// [`MoneyError::NotADecimal`].
    pub fn value(&self) -> Result<String, MoneyError> {
        match self {
            Self::Text(text) => normal(text, Notation::Plain),
            Self::JsonNumber(text) => normal(text, Notation::Scientific),
        }
    }
}

/// The value of a JSON number in one spelling, the same for `10`, `10.0` and `1e1`.
///
/// # Errors
/// [`MoneyError::NotADecimal`].
pub fn json_number_value(text: &str) -> Result<String, MoneyError> {
    normal(text, Notation::Scientific)
}

/// The whole number that the text of a JSON number stands for: `1`, `1.0` and `1e0` are 1.
pub fn whole_number(text: &str) -> Option<i64> {
    parse_scaled(text, 0, Notation::Scientific).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_one_spelling() {
        let number = |text: &str| Amount::JsonNumber(text.to_owned()).value().unwrap();
        let text = |text: &str| Amount::Text(text.to_owned()).value().unwrap();
        for same in ["1", "1.0", "1.00", "1e0", "10e-1", "0.1E1", "0.01e+2", "100e-2"] {
            assert_eq!(number(same), "1e0", "{same}");
        }
        for same in ["12.50", "12.5", "012.500"] {
            assert_eq!(text(same), "125e-1", "{same}");
        }
        assert_eq!(number("-12.5"), "-125e-1");
        for zero in ["0", "-0", "0.00", "0e5", "-0e-99999999999999999999"] {
            assert_eq!(number(zero), "0", "{zero}");
        }
        assert_eq!(number("1e99999999999999999999"), number("1e99999999999999999999"));
        assert_ne!(number("9007199254740993"), number("9007199254740992"));
        assert_eq!(Amount::Text("1e2".to_owned()).value(), Err(MoneyError::NotADecimal));
    }
}
