//! Reading the text of a decimal as an exact number of units of `10^-exponent`.

use crate::MoneyError;

/// Which spelling is accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notation {
    /// `-12.50`: digits, with a point between digits.
    Plain,
    /// The same, and an exponent as JSON numbers may have it: `1.25e1`.
    Scientific,
}

/// Reads `text` as a whole number of units of `10^-exponent`.
pub(crate) fn parse_scaled(
    text: &str,
    exponent: u32,
    notation: Notation,
) -> Result<i64, MoneyError> {
    let Parts { negative, whole, fraction, power } = Parts::of(text, notation)?;
    let power = read_power(power)?;

    // Trailing zeros behind the point say nothing: 1.500 is 1.50.
    let fraction = fraction.trim_end_matches('0');
    let mut units: i64 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        let digit = i64::from(digit - b'0');
        // Kept negative, so that the whole range of i64 can be read.
        units = units
            .checked_mul(10)
            .and_then(|units| units.checked_sub(digit))
            .ok_or(MoneyError::OutOfRange)?;
    }
    let fraction_digits = i64::try_from(fraction.len()).map_err(|_| MoneyError::OutOfRange)?;
    let units = shift(units, i64::from(exponent) + power - fraction_digits)?;
    if negative { Ok(units) } else { units.checked_neg().ok_or(MoneyError::OutOfRange) }
}

/// The value of `text` in one spelling: its digits without zeros around them, and a power of ten.
pub(crate) fn normal(text: &str, notation: Notation) -> Result<String, MoneyError> {
    let Parts { negative, whole, fraction, power } = Parts::of(text, notation)?;
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    let dropped = digits.len() - significant.len();
    let significant = significant.trim_start_matches('0');
    let sign = if negative { "-" } else { "" };
    if significant.is_empty() {
        return Ok("0".to_owned());
    }
    let moved = |power: i128| {
        let [dropped, fraction] = [dropped, fraction.len()].map(i128::try_from);
        power.checked_add(dropped.ok()?)?.checked_sub(fraction.ok()?)
    };
    match power.parse().ok().and_then(moved) {
        Some(power) => Ok(format!("{sign}{significant}e{power}")),
        // Nobody means such a number: only its own spelling equals it.
        None => Ok(text.to_owned()),
    }
}

/// A decimal, taken apart.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    power: &'a str,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str, notation: Notation) -> Result<Self, MoneyError> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, power) = split_power(unsigned, notation)?;
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return Err(MoneyError::NotADecimal),
            Some((whole, fraction)) => (whole, fraction),
            None => (mantissa, ""),
        };
        let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return Err(MoneyError::NotADecimal);
        }
        Ok(Self { negative, whole, fraction, power })
    }
}

fn split_power(text: &str, notation: Notation) -> Result<(&str, &str), MoneyError> {
    let Some((mantissa, power)) = text.split_once(['e', 'E']) else {
        return Ok((text, "0"));
    };
    if notation == Notation::Plain {
        return Err(MoneyError::NotADecimal);
    }
    let digits = power.trim_start_matches(['+', '-']);
    if digits.is_empty()
        || power.len() - digits.len() > 1
        || !digits.bytes().all(|b| b.is_ascii_digit())
    {
        return Err(MoneyError::NotADecimal);
    }
    Ok((mantissa, power))
}

fn read_power(power: &str) -> Result<i64, MoneyError> {
    // Past four digits the value is certainly out of range, or zero for any mantissa.
    let power: i64 = power.parse().map_err(|_| MoneyError::OutOfRange)?;
    if power.abs() > 9_999 { Err(MoneyError::OutOfRange) } else { Ok(power) }
}

/// Multiplies by `10^by`; a division must leave no remainder.
fn shift(mut units: i64, by: i64) -> Result<i64, MoneyError> {
    if units == 0 {
        return Ok(0);
    }
    for _ in 0..by {
        units = units.checked_mul(10).ok_or(MoneyError::OutOfRange)?;
    }
    for _ in by..0 {
        if units % 10 != 0 {
            return Err(MoneyError::TooPrecise);
        }
        units /= 10;
    }
    Ok(units)
}
