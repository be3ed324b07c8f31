//! An account: its state and its rules.

use std::cmp::Ordering;

use daybook_events::{
    Aggregate, HolderId, ImpossibleHistory, Line, Timestamp, TransferId, Version,
};
use daybook_money::{Amount, Currency, Money, MoneyError};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use crate::{
    AccountClosed, AccountEvent, AccountId, AccountOpened, AccountRenamed, MoneyDeposited,
    MoneyWithdrawn, OrderPaymentDebited, OrderRefundCredited, Reference, TransferReceived,
    TransferSent,
};

/// The name of an account: one line, at most 100 characters.
pub type AccountName = Line<100>;

/// Whether an account is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountStatus {
    /// In use.
    Open,
    /// Closed for good.
    Closed,
}

/// An account. Its currency and opening balance never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Names the account.
    pub id: AccountId,
    /// Whose it is.
    pub holder_id: HolderId,
    /// What its holder calls it.
    pub name: AccountName,
    /// What was on it when it was opened.
    pub initial_balance: Money,
    /// The sum of its postings.
    pub balance: Money,
    /// Whether it is in use.
    pub status: AccountStatus,
    /// When it was opened.
    pub created_at: Timestamp,
    /// How many events its stream has.
    pub version: Version,
}

/// What is needed to open an account.
#[derive(Clone, Debug)]
pub struct OpenAccount {
    /// Names the new account.
    pub account_id: AccountId,
    /// Whose it will be.
    pub holder_id: HolderId,
    /// Its name.
    pub name: AccountName,
    /// Its currency.
    pub currency: Currency,
    /// What is on it at once; nothing where it isn't given.
    pub initial_balance: Option<Amount>,
    /// When.
    pub opened_at: Timestamp,
}

/// Why an account refuses.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountRejection {
    /// The amount is not a decimal number.
    #[error("the amount is not a decimal number, such as 12.50")]
    AmountNotADecimal,
    /// The amount has more decimal places than the currency.
    #[error("the amount has more decimal places than the account's currency")]
    AmountTooPrecise,
    /// The amount can't be represented.
    #[error("the amount is too large")]
    AmountOutOfRange,
    /// The amount is zero or negative.
    #[error("the amount must be greater than zero")]
    AmountNotPositive,
    /// The opening balance can't be read, or represented.
    #[error("the initial balance {0}")]
    InitialBalance(MoneyError),
    /// The opening balance is negative.
    #[error("the initial balance must not be negative")]
    InitialBalanceNegative,
    /// It would go below its floor.
    #[error("the account has insufficient funds")]
    InsufficientFunds,
    /// The balance could not be represented.
    #[error("the balance would be too large")]
    BalanceOutOfRange,
    /// The other side is in another currency.
    #[error("the currencies differ")]
    CurrencyMismatch,
}

impl AccountRejection {
    /// Whether the amount itself is at fault, in whatever state the account may come.
    pub const fn is_of_input(&self) -> bool {
        match self {
            Self::AmountNotADecimal
            | Self::AmountTooPrecise
            | Self::AmountOutOfRange
            | Self::AmountNotPositive
            | Self::InitialBalance(_)
            | Self::InitialBalanceNegative => true,
            Self::InsufficientFunds | Self::BalanceOutOfRange | Self::CurrencyMismatch => false,
        }
    }
}

impl Account {
    /// Opens an account.
    ///
    /// # Errors
    /// An [`AccountRejection`] of the opening balance.
    pub fn open(command: OpenAccount) -> Result<AccountEvent, AccountRejection> {
        let initial_balance = match &command.initial_balance {
            Some(amount) => {
                amount.in_currency(command.currency).map_err(AccountRejection::InitialBalance)?
            }
            None => Money::zero(command.currency),
        };
        if initial_balance.is_negative() {
            return Err(AccountRejection::InitialBalanceNegative);
        }
        Ok(AccountEvent::AccountOpened(AccountOpened {
            account_id: command.account_id,
            holder_id: command.holder_id,
            name: command.name,
            initial_balance,
            opened_at: command.opened_at,
        }))
    }

    /// The currency of everything on it.
    pub const fn currency(&self) -> Currency {
        self.balance.currency()
    }

    /// The lowest balance the account may have.
    pub const fn floor(&self) -> Money {
        Money::zero(self.currency())
    }

    /// What can be spent: the balance above the floor.
    pub fn available(&self) -> Money {
        self.balance.checked_sub(self.floor()).unwrap_or(self.balance)
    }

    /// Whether it is in use.
    pub fn is_open(&self) -> bool {
        self.status == AccountStatus::Open
    }

    /// Gives it another name; nothing happens where it has that name.
    pub fn rename(&self, name: AccountName) -> Option<AccountEvent> {
        (self.name != name).then_some(AccountEvent::AccountRenamed(AccountRenamed { name }))
    }

    /// Closes it; what is left on it goes outside.
    pub fn close(&self) -> AccountEvent {
        AccountEvent::AccountClosed(AccountClosed { paid_out: self.balance })
    }

    /// Takes money in from outside.
    ///
    /// # Errors
    /// An [`AccountRejection`] of the amount, or of the balance it leads to.
    pub fn deposit(
        &self,
        amount: &Amount,
        reference: Option<Reference>,
    ) -> Result<AccountEvent, AccountRejection> {
        let amount = self.positive(amount)?;
        self.check_credit(amount)?;
        Ok(AccountEvent::MoneyDeposited(MoneyDeposited { amount, reference }))
    }

    /// Lets money go outside.
    ///
    /// # Errors
    /// An [`AccountRejection`] of the amount, or [`AccountRejection::InsufficientFunds`].
    pub fn withdraw(
        &self,
        amount: &Amount,
        reference: Option<Reference>,
    ) -> Result<AccountEvent, AccountRejection> {
        let amount = self.positive(amount)?;
        self.check_debit(amount)?;
        Ok(AccountEvent::MoneyWithdrawn(MoneyWithdrawn { amount, reference }))
    }

    /// Sends money to another account: this account's event and the other's.
    ///
    /// # Errors
    /// [`AccountRejection::CurrencyMismatch`], an [`AccountRejection`] of the amount, or one of
    /// either balance.
    pub fn transfer(
        &self,
        to: &Self,
        transfer_id: TransferId,
        amount: &Amount,
        reference: Option<Reference>,
    ) -> Result<(AccountEvent, AccountEvent), AccountRejection> {
        let amount = self.positive(amount)?;
        if self.currency() != to.currency() {
            return Err(AccountRejection::CurrencyMismatch);
        }
        self.check_debit(amount)?;
        to.check_credit(amount)?;
        let sent = TransferSent {
            transfer_id,
            to_account_id: to.id,
            amount,
            reference: reference.clone(),
        };
        let received =
            TransferReceived { transfer_id, from_account_id: self.id, amount, reference };
        Ok((AccountEvent::TransferSent(sent), AccountEvent::TransferReceived(received)))
    }

    /// Pays an order with `amount`; nothing happens where it is zero.
    ///
    /// # Errors
    /// [`AccountRejection::CurrencyMismatch`] or [`AccountRejection::InsufficientFunds`].
    pub fn pay_order(
        &self,
        order_id: Uuid,
        amount: Money,
    ) -> Result<Option<AccountEvent>, AccountRejection> {
        self.check_debit(amount)?;
        Ok((!amount.is_zero())
            .then_some(AccountEvent::OrderPaymentDebited(OrderPaymentDebited { order_id, amount })))
    }

    /// Takes back what an order was paid with.
    ///
    /// # Errors
    /// [`AccountRejection::BalanceOutOfRange`].
    pub fn refund_order(
        &self,
        order_id: Uuid,
        amount: Money,
    ) -> Result<AccountEvent, AccountRejection> {
        self.check_credit(amount)?;
        Ok(AccountEvent::OrderRefundCredited(OrderRefundCredited { order_id, amount }))
    }

    fn positive(&self, amount: &Amount) -> Result<Money, AccountRejection> {
        let amount = amount.in_currency(self.currency()).map_err(unreadable)?;
        if amount.is_positive() { Ok(amount) } else { Err(AccountRejection::AmountNotPositive) }
    }

    fn check_debit(&self, amount: Money) -> Result<(), AccountRejection> {
        match amount.compare(self.available()) {
            Ok(Ordering::Greater) => Err(AccountRejection::InsufficientFunds),
            Ok(Ordering::Less | Ordering::Equal) => Ok(()),
            Err(_) => Err(AccountRejection::CurrencyMismatch),
        }
    }

    fn check_credit(&self, amount: Money) -> Result<(), AccountRejection> {
        match self.balance.checked_add(amount) {
            Ok(_) => Ok(()),
            Err(MoneyError::CurrencyMismatch) => Err(AccountRejection::CurrencyMismatch),
            Err(_) => Err(AccountRejection::BalanceOutOfRange),
        }
    }

    fn opened(event: &AccountOpened) -> Self {
        Self {
            id: event.account_id,
            holder_id: event.holder_id,
            name: event.name.clone(),
            initial_balance: event.initial_balance,
            balance: event.initial_balance,
            status: AccountStatus::Open,
            created_at: event.opened_at,
            version: Version::new(1),
        }
    }

    /// The balance after `event`: the balance before it and the event's postings on this account.
    fn balance_after(&self, event: &AccountEvent) -> Result<Money, MoneyError> {
        let here = crate::Ledger::Account(self.id);
        event
            .postings(self.id)?
            .into_iter()
            .filter(|posting| posting.ledger == here)
            .try_fold(self.balance, |balance, posting| balance.checked_add(posting.amount))
    }
}

impl Aggregate for Account {
    type Event = AccountEvent;

    fn evolve(current: Option<Self>, event: &AccountEvent) -> Result<Self, ImpossibleHistory> {
        let impossible = |reason| Err(ImpossibleHistory::new(event, reason));
        let account = match (current, event) {
            (None, AccountEvent::AccountOpened(opened)) => return Ok(Self::opened(opened)),
            (None, _) => return impossible("the account was never opened"),
            (Some(_), AccountEvent::AccountOpened(_)) => {
                return impossible("the account was opened already");
            }
            (Some(account), _) if !account.is_open() => return impossible("the account is closed"),
            (Some(account), _) => account,
        };
        let Ok(balance) = account.balance_after(event) else {
            return impossible("its money can't be added to the balance");
        };
        let mut next = Self { balance, version: account.version.next(), ..account };
        match event {
            AccountEvent::AccountRenamed(renamed) => next.name = renamed.name.clone(),
            AccountEvent::AccountClosed(_) => next.status = AccountStatus::Closed,
            _ => {}
        }
        Ok(next)
    }
}

const fn unreadable(error: MoneyError) -> AccountRejection {
    match error {
        MoneyError::NotADecimal => AccountRejection::AmountNotADecimal,
        MoneyError::TooPrecise => AccountRejection::AmountTooPrecise,
        MoneyError::OutOfRange => AccountRejection::AmountOutOfRange,
        MoneyError::CurrencyMismatch => AccountRejection::CurrencyMismatch,
    }
}

#[cfg(test)]
mod tests;
