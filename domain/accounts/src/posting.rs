//! Double entry: where the money of an event came from and went to.

use daybook_events::StreamId;
use daybook_money::{Money, MoneyError};

use crate::{AccountEvent, AccountId};

/// A place that money can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ledger {
    /// A holder's account.
    Account(AccountId),
    /// The world outside: deposits come from here and withdrawals go here. It may owe anything.
    Outside,
    /// What orders were paid with.
    Sales,
}

impl Ledger {
    /// The name of a system ledger; `None` for a holder's account.
    pub const fn system_name(self) -> Option<&'static str> {
        match self {
            Self::Account(_) => None,
            Self::Outside => Some("outside"),
            Self::Sales => Some("sales"),
        }
    }
}

/// A signed change of one ledger. The postings of an entry sum to zero in each currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posting {
    /// Whose balance changes.
    pub ledger: Ledger,
    /// By how much.
    pub amount: Money,
}

impl Posting {
    /// Both sides of `amount` going `from` one ledger `to` another; nothing where it is zero.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`].
    pub fn pair(from: Ledger, to: Ledger, amount: Money) -> Result<Vec<Self>, MoneyError> {
        if amount.is_zero() {
            return Ok(Vec::new());
        }
        Ok(vec![Self { ledger: from, amount: amount.checked_neg()? }, Self { ledger: to, amount }])
    }
}

impl AccountEvent {
    /// The postings that follow from this event of `account`. A transfer's event holds one side,
    /// and its twin the other; a payment's other side follows from the order's event.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`], which no amount that was decided on leads to.
    pub fn postings(&self, account: AccountId) -> Result<Vec<Posting>, MoneyError> {
        let here = Ledger::Account(account);
        let one = |amount| Ok(vec![Posting { ledger: here, amount }]);
        match self {
            Self::AccountOpened(event) => {
                Posting::pair(Ledger::Outside, here, event.initial_balance)
            }
            Self::MoneyDeposited(event) => Posting::pair(Ledger::Outside, here, event.amount),
            Self::MoneyWithdrawn(event) => Posting::pair(here, Ledger::Outside, event.amount),
            Self::AccountClosed(event) => Posting::pair(here, Ledger::Outside, event.paid_out),
            Self::TransferSent(event) => one(event.amount.checked_neg()?),
            Self::TransferReceived(event) => one(event.amount),
            Self::OrderPaymentDebited(event) => one(event.amount.checked_neg()?),
            Self::OrderRefundCredited(event) => one(event.amount),
            Self::AccountRenamed(_) => Ok(Vec::new()),
        }
    }

    /// The caller's note on this event.
    pub fn reference(&self) -> Option<&crate::Reference> {
        match self {
            Self::MoneyDeposited(event) => event.reference.as_ref(),
            Self::MoneyWithdrawn(event) => event.reference.as_ref(),
            Self::TransferSent(event) => event.reference.as_ref(),
            Self::TransferReceived(event) => event.reference.as_ref(),
            Self::AccountOpened(_)
            | Self::AccountRenamed(_)
            | Self::OrderPaymentDebited(_)
            | Self::OrderRefundCredited(_)
            | Self::AccountClosed(_) => None,
        }
    }

    /// The order this event is about.
    pub const fn order_id(&self) -> Option<uuid::Uuid> {
        match self {
            Self::OrderPaymentDebited(event) => Some(event.order_id),
            Self::OrderRefundCredited(event) => Some(event.order_id),
            _ => None,
        }
    }
}

impl From<AccountId> for StreamId {
    fn from(account: AccountId) -> Self {
        account.stream()
    }
}
