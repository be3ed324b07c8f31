//! Amounts in the API's notation.

use crate::error::{Failure, Outcome};

/// Such as `12.05`, for 1205 cents.
pub(crate) fn decimal(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.unsigned_abs();
    format!("{sign}{}.{:02}", cents / 100, cents % 100)
}

/// Cents, of an amount with two decimals.
///
/// # Errors
/// Where it is none.
pub(crate) fn cents(decimal: &str) -> Outcome<i64> {
    let places = decimal.rsplit_once('.').map(|(_, places)| places.len());
    let number = decimal.replace('.', "").parse().ok().filter(|_| places == Some(2));
    number.ok_or_else(|| Failure::new(format!("`{decimal}` is no amount in cents")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_has_two_decimals() {
        for amount in [0, 7, 1_205, -5, -1_205] {
            assert_eq!(cents(&decimal(amount)).unwrap(), amount);
        }
        assert!(cents("1").is_err() && cents("1.5").is_err() && cents("x.yy").is_err());
    }
}
