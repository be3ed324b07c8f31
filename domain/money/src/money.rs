//! An amount with its currency.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeStruct};
use thiserror::Error;

use crate::Currency;
use crate::decimal::{Notation, parse_scaled};

/// An exact amount: a signed 64-bit count of the currency's minor units.
///
/// As text it is a decimal with all the digits of the minor unit (`12.50` EUR, `1250` JPY). In
/// events it is written as `{"amount": "12.50", "currency_code": "EUR"}`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

/// Why an amount could not be read or computed: what is to be said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoneyError {
    /// The text is not a decimal number such as `12.50`.
    #[error("is not a decimal number, such as 12.50")]
    NotADecimal,
    /// There are more digits behind the point than the currency has.
    #[error("has more decimal places than the currency")]
    TooPrecise,
    /// The amount does not fit in 64 bits of minor units.
    #[error("is too large")]
    OutOfRange,
    /// Two amounts of different currencies were combined.
    #[error("is in another currency")]
    CurrencyMismatch,
}

impl Money {
    /// An amount given in minor units (cents for EUR, yen for JPY).
    pub const fn from_minor(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Nothing, in `currency`.
    pub const fn zero(currency: Currency) -> Self {
        Self::from_minor(0, currency)
    }

    /// Reads a decimal such as `12.50` or `-3`.
    ///
    /// # Errors
    /// [`MoneyError`] where the text is no decimal, too precise for the currency or out of range.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        parse_scaled(text, currency.exponent(), Notation::Plain)
            .map(|minor| Self { minor, currency })
    }

    /// Reads the text of a JSON number, which may carry an exponent (`1.25e1`). The text is read
    /// digit by digit: the value never passes through binary floating point.
    ///
    /// # Errors
    /// As [`Money::parse`].
    pub fn parse_json_number(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        parse_scaled(text, currency.exponent(), Notation::Scientific)
            .map(|minor| Self { minor, currency })
    }

    /// The amount in minor units.
    pub const fn minor(self) -> i64 {
        self.minor
    }

    /// The currency.
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// Less than nothing.
    pub const fn is_negative(self) -> bool {
        self.minor < 0
    }

    /// More than nothing.
    pub const fn is_positive(self) -> bool {
        self.minor > 0
    }

    /// Exactly nothing.
    pub const fn is_zero(self) -> bool {
        self.minor == 0
    }

    /// The sum.
    ///
    /// # Errors
    /// [`MoneyError::CurrencyMismatch`] or [`MoneyError::OutOfRange`].
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        let minor = self.minor.checked_add(other.minor).ok_or(MoneyError::OutOfRange)?;
        Ok(Self { minor, ..self })
    }

    /// The difference.
    ///
    /// # Errors
    /// [`MoneyError::CurrencyMismatch`] or [`MoneyError::OutOfRange`].
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        let minor = self.minor.checked_sub(other.minor).ok_or(MoneyError::OutOfRange)?;
        Ok(Self { minor, ..self })
    }

    /// `quantity` times the amount.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`].
    pub fn checked_mul(self, quantity: u32) -> Result<Self, MoneyError> {
        let minor = self.minor.checked_mul(i64::from(quantity)).ok_or(MoneyError::OutOfRange)?;
        Ok(Self { minor, ..self })
    }

    /// The amount with its sign turned.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] for the one amount that has no opposite.
    pub fn checked_neg(self) -> Result<Self, MoneyError> {
        let minor = self.minor.checked_neg().ok_or(MoneyError::OutOfRange)?;
        Ok(Self { minor, ..self })
    }

    /// Which of two amounts is larger.
    ///
    /// # Errors
    /// [`MoneyError::CurrencyMismatch`].
    pub fn compare(self, other: Self) -> Result<Ordering, MoneyError> {
        self.same_currency(other)?;
        Ok(self.minor.cmp(&other.minor))
    }

    /// The amount as a decimal without its currency: `12.50`.
    pub fn amount(self) -> String {
        let exponent = self.currency.exponent();
        let sign = if self.minor < 0 { "-" } else { "" };
        let units = self.minor.unsigned_abs();
        if exponent == 0 {
            return format!("{sign}{units}");
        }
        let scale = 10_u64.pow(exponent);
        let width = usize::try_from(exponent).unwrap_or_default();
        format!("{sign}{}.{:0width$}", units / scale, units % scale)
    }

    fn same_currency(self, other: Self) -> Result<(), MoneyError> {
        if self.currency == other.currency { Ok(()) } else { Err(MoneyError::CurrencyMismatch) }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount(), self.currency)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Money", 2)?;
        fields.serialize_field("amount", &self.amount())?;
        fields.serialize_field("currency_code", &self.currency)?;
        fields.end()
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields<'a> {
            #[serde(borrow)]
            amount: Cow<'a, str>,
            currency_code: Currency,
        }
        let fields = Fields::deserialize(deserializer)?;
        Self::parse(&fields.amount, fields.currency_code).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn currency(code: &str) -> Currency {
        code.parse().unwrap()
    }

    #[test]
    fn reads_decimals_exactly() {
        for (text, code, minor) in [
            ("12.50", "EUR", 1_250),
            ("0.1", "EUR", 10),
            ("-3", "EUR", -300),
            ("7", "JPY", 7),
            ("10.0", "JPY", 10),
            ("1.500", "EUR", 150),
            ("0.001", "KWD", 1),
            ("007.10", "EUR", 710),
            ("92233720368547758.07", "EUR", i64::MAX),
            ("-92233720368547758.08", "EUR", i64::MIN),
        ] {
            assert_eq!(
                Money::parse(text, currency(code)).map(Money::minor),
                Ok(minor),
                "{text} {code}"
            );
        }
    }

    #[test]
    fn refuses_what_is_not_exact() {
        for (text, code, error) in [
            ("0.001", "EUR", MoneyError::TooPrecise),
            ("0.5", "JPY", MoneyError::TooPrecise),
            ("92233720368547758.08", "EUR", MoneyError::OutOfRange),
            ("99999999999999999999999", "EUR", MoneyError::OutOfRange),
            ("", "EUR", MoneyError::NotADecimal),
            ("-", "EUR", MoneyError::NotADecimal),
            (".5", "EUR", MoneyError::NotADecimal),
            ("5.", "EUR", MoneyError::NotADecimal),
            ("+5", "EUR", MoneyError::NotADecimal),
            (" 5", "EUR", MoneyError::NotADecimal),
            ("1,5", "EUR", MoneyError::NotADecimal),
            ("1_000", "EUR", MoneyError::NotADecimal),
            ("1e2", "EUR", MoneyError::NotADecimal),
            ("--1", "EUR", MoneyError::NotADecimal),
            ("٣", "EUR", MoneyError::NotADecimal),
            ("NaN", "EUR", MoneyError::NotADecimal),
        ] {
            assert_eq!(Money::parse(text, currency(code)), Err(error), "{text} {code}");
        }
    }

    #[test]
    fn reads_json_numbers_without_rounding() {
        let eur = currency("EUR");
        let minor = |text| Money::parse_json_number(text, eur).map(Money::minor);
        assert_eq!(minor("0.1"), Ok(10));
        assert_eq!(minor("1e2"), Ok(10_000));
        assert_eq!(minor("1.25E1"), Ok(1_250));
        assert_eq!(minor("125e-2"), Ok(125));
        assert_eq!(minor("0e9999"), Ok(0));
        // 2^53 + 1 cents: a double would lose the last cent.
        assert_eq!(minor("90071992547409.93"), Ok(9_007_199_254_740_993));
        assert_eq!(minor("1e-3"), Err(MoneyError::TooPrecise));
        assert_eq!(minor("1e400"), Err(MoneyError::OutOfRange));
        assert_eq!(minor("1e99999999999999999999"), Err(MoneyError::OutOfRange));
        assert_eq!(minor("1e"), Err(MoneyError::NotADecimal));
        assert_eq!(minor("1e+-2"), Err(MoneyError::NotADecimal));
    }

    #[test]
    fn never_mixes_currencies() {
        let (eur, usd) =
            (Money::from_minor(1, currency("EUR")), Money::from_minor(1, currency("USD")));
        assert_eq!(eur.checked_add(usd), Err(MoneyError::CurrencyMismatch));
        assert_eq!(eur.checked_sub(usd), Err(MoneyError::CurrencyMismatch));
        assert_eq!(eur.compare(usd), Err(MoneyError::CurrencyMismatch));
    }

    fn any_money() -> impl Strategy<Value = Money> {
        let codes = prop::sample::select(vec!["EUR", "JPY", "KWD", "CLF", "USD"]);
        (any::<i64>(), codes)
            .prop_map(|(minor, code)| Money::from_minor(minor, code.parse().unwrap()))
    }

    proptest! {
        #[test]
        fn text_and_back_is_the_same_money(money in any_money()) {
            prop_assert_eq!(Money::parse(&money.amount(), money.currency()), Ok(money));
            prop_assert_eq!(Money::parse_json_number(&money.amount(), money.currency()), Ok(money));
            let json = serde_json::to_string(&money).unwrap();
            prop_assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), money);
        }

        #[test]
        fn arithmetic_is_exact_or_refused(a in any::<i64>(), b in any::<i64>(), n in any::<u32>()) {
            let eur = currency("EUR");
            let (x, y) = (Money::from_minor(a, eur), Money::from_minor(b, eur));
            let wide = |v: i128| i64::try_from(v).map_err(|_| MoneyError::OutOfRange);
            prop_assert_eq!(x.checked_add(y).map(Money::minor), wide(i128::from(a) + i128::from(b)));
            prop_assert_eq!(x.checked_sub(y).map(Money::minor), wide(i128::from(a) - i128::from(b)));
            prop_assert_eq!(x.checked_mul(n).map(Money::minor), wide(i128::from(a) * i128::from(n)));
            prop_assert_eq!(x.checked_neg().map(Money::minor), wide(-i128::from(a)));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}") {
            let _ = Money::parse(&text, currency("EUR"));
            let _ = Money::parse_json_number(&text, currency("KWD"));
        }
    }
}
