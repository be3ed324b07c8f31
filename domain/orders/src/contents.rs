//! What was ordered: lines, and their exact total.

use daybook_events::Line;
use daybook_money::{Amount, Currency, Money, MoneyError};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What a line is of: one line of text, at most 200 characters.
pub type LineName = Line<200>;

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLine {
    /// What.
    pub name: LineName,
    /// How many; at least 1.
    pub quantity: u32,
    /// What one of them costs; not negative.
    pub unit_price: Money,
}

/// A line as a caller asked for it.
#[derive(Clone, Debug)]
pub struct RequestedLine {
    /// What.
    pub name: LineName,
    /// How many.
    pub quantity: u32,
    /// What one of them costs, in the order's currency.
    pub unit_price: Amount,
}

/// The lines of an order, all in one currency, and their total.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    lines: Vec<OrderLine>,
    total: Money,
}

/// Why lines can't be ordered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidContents {
    /// There is no line, or there are too many.
    #[error("an order with a currency has 1 to {} lines", Contents::MAX_LINES)]
    LineCount,
    /// A quantity is zero or too large.
    #[error("line {line}: the quantity must be from 1 to {}", Contents::MAX_QUANTITY)]
    Quantity {
        /// The line, from 1.
        line: usize,
    },
    /// A price can't be read in the order's currency.
    #[error("line {line}: the unit price {reason}")]
    UnitPrice {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: MoneyError,
    },
    /// A price is negative.
    #[error("line {line}: the unit price must not be negative")]
    NegativePrice {
        /// The line, from 1.
        line: usize,
    },
    /// The total can't be represented.
    #[error("the total is too large")]
    TotalOutOfRange,
}

impl Contents {
    /// The most lines an order may have.
    pub const MAX_LINES: usize = 100;
    /// The most there may be of one thing.
    pub const MAX_QUANTITY: u32 = 1_000_000;

    /// Reads the requested lines and adds them up.
    ///
    /// # Errors
    /// [`InvalidContents`].
    pub fn new(currency: Currency, requested: Vec<RequestedLine>) -> Result<Self, InvalidContents> {
        let lines = requested
            .into_iter()
            .enumerate()
            .map(|(index, line)| read_line(index + 1, line, currency))
            .collect::<Result<Vec<_>, _>>()?;
        Self::from_lines(lines, currency)
    }

    /// Brings back lines that were stored.
    ///
    /// # Errors
    /// [`InvalidContents`] where they can never have been ordered.
    pub fn from_lines(lines: Vec<OrderLine>, currency: Currency) -> Result<Self, InvalidContents> {
        if lines.is_empty() || lines.len() > Self::MAX_LINES {
            return Err(InvalidContents::LineCount);
        }
        let total = lines
            .iter()
            .try_fold(Money::zero(currency), |total, line| {
                total.checked_add(line.unit_price.checked_mul(line.quantity)?)
            })
            .map_err(|_| InvalidContents::TotalOutOfRange)?;
        Ok(Self { lines, total })
    }

    /// The lines.
    pub fn lines(&self) -> &[OrderLine] {
        &self.lines
    }

    /// Quantity times price, summed over the lines; also says the currency.
    pub const fn total(&self) -> Money {
        self.total
    }
}

fn read_line(
    line: usize,
    requested: RequestedLine,
    currency: Currency,
) -> Result<OrderLine, InvalidContents> {
    let RequestedLine { name, quantity, unit_price } = requested;
    if !(1..=Contents::MAX_QUANTITY).contains(&quantity) {
        return Err(InvalidContents::Quantity { line });
    }
    let unit_price = unit_price
        .in_currency(currency)
        .map_err(|reason| InvalidContents::UnitPrice { line, reason })?;
    if unit_price.is_negative() {
        return Err(InvalidContents::NegativePrice { line });
    }
    Ok(OrderLine { name, quantity, unit_price })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(quantity: u32, unit_price: &str) -> RequestedLine {
        let name = LineName::new("Tea").unwrap();
        RequestedLine { name, quantity, unit_price: Amount::Text(unit_price.to_owned()) }
    }

    fn contents(lines: Vec<RequestedLine>) -> Result<Contents, InvalidContents> {
        Contents::new("EUR".parse().unwrap(), lines)
    }

    #[test]
    fn the_total_is_exact() {
        let contents = contents(vec![line(3, "0.10"), line(1, "19.99"), line(2, "0")]).unwrap();
        assert_eq!(contents.total().amount(), "20.29");
    }

    #[test]
    fn refuses_what_can_never_be_ordered() {
        use InvalidContents as Bad;
        for (lines, error) in [
            (vec![], Bad::LineCount),
            (vec![line(1, "1"); 101], Bad::LineCount),
            (vec![line(1, "1"), line(0, "1")], Bad::Quantity { line: 2 }),
            (vec![line(1_000_001, "1")], Bad::Quantity { line: 1 }),
            (vec![line(1, "-1")], Bad::NegativePrice { line: 1 }),
            (vec![line(1, "0.001")], Bad::UnitPrice { line: 1, reason: MoneyError::TooPrecise }),
            (vec![line(1_000_000, "92233720368547758.07")], Bad::TotalOutOfRange),
            (vec![line(1, "92233720368547758.07"), line(1, "0.01")], Bad::TotalOutOfRange),
        ] {
            assert_eq!(contents(lines), Err(error));
        }
    }

    proptest! {
        #[test]
        fn the_total_is_the_sum_of_quantity_times_price(
            lines in prop::collection::vec((1..=1_000_000_u32, 0..1_000_000_000_i64), 1..20),
        ) {
            let eur: Currency = "EUR".parse().unwrap();
            let expected: i64 = lines.iter().map(|(quantity, minor)| i64::from(*quantity) * minor).sum();
            let requested = lines.iter().map(|(q, minor)| line(*q, &Money::from_minor(*minor, eur).amount())).collect();
            prop_assert_eq!(contents(requested).unwrap().total().minor(), expected);
        }
    }
}
