//! The port to accounts and their statements.

use async_trait::async_trait;
use daybook_events::{EntryId, HolderId, Placed, Position, Timestamp, TransferId};
use daybook_money::Money;
use uuid::Uuid;

use crate::{Account, AccountEvent, AccountId, RepositoryError};

/// Finds accounts: the read model that is written together with the events.
///
/// Promises: an account is as its last committed event left it, never older; a closed account is
/// found by its id and not listed. Lists follow the log, whatever the ids and instants are: whoever
/// goes on where a page ended also finds what was opened meanwhile.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait AccountRepository: Send + Sync {
    /// Those of these accounts that were ever opened, in no particular order.
    ///
    /// # Errors
    /// [`RepositoryError`].
    async fn find(&self, ids: &[AccountId]) -> Result<Vec<Account>, RepositoryError>;

    /// A page of open accounts, oldest first. What can't be read is left out.
    ///
    /// # Errors
    /// [`RepositoryError`].
    async fn list(&self, page: &AccountPage) -> Result<Vec<Placed<Account>>, RepositoryError>;

    /// A page of an account's statement, newest first.
    ///
    /// # Errors
    /// [`RepositoryError`].
    async fn statement(&self, page: &StatementPage)
    -> Result<Vec<StatementEntry>, RepositoryError>;

    /// A transfer, whoever's and whenever it was made; `None` where there is no such.
    ///
    /// # Errors
    /// [`RepositoryError`].
    async fn transfer(&self, id: TransferId) -> Result<Option<Transfer>, RepositoryError>;
}

/// Which accounts to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountPage {
    /// Only this holder's; everyone's where there is none.
    pub holder: Option<HolderId>,
    /// Only accounts whose first event stands after this position.
    pub after: Option<Position>,
    /// At most so many.
    pub limit: u32,
}

/// Which part of a statement to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementPage {
    /// Whose statement.
    pub account: AccountId,
    /// Only lines before this position.
    pub before: Option<Position>,
    /// At most so many.
    pub limit: u32,
}

/// A line of a statement: one posting on the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementEntry {
    /// The journal's entry.
    pub entry_id: EntryId,
    /// The position of the event.
    pub position: Position,
    /// The event's type.
    pub event_type: String,
    /// By how much the balance changed.
    pub amount: Money,
    /// The balance after it.
    pub balance: Money,
    /// When.
    pub timestamp: Timestamp,
    /// What the caller noted.
    pub reference: Option<String>,
    /// The order it was for.
    pub order_id: Option<Uuid>,
    /// The transfer it is one side of.
    pub transfer: Option<TransferSide>,
}

/// One side of a transfer, as its account sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferSide {
    /// The transfer.
    pub id: TransferId,
    /// The account on the other side.
    pub counter_account: AccountId,
}

impl TransferSide {
    /// What an event says of a transfer, where it is one of one.
    pub const fn of(event: &AccountEvent) -> Option<Self> {
        match event {
            AccountEvent::TransferSent(sent) => {
                Some(Self { id: sent.transfer_id, counter_account: sent.to_account_id })
            }
            AccountEvent::TransferReceived(received) => {
                Some(Self { id: received.transfer_id, counter_account: received.from_account_id })
            }
            _ => None,
        }
    }
}

/// A transfer that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Names the transfer.
    pub id: TransferId,
    /// Where the money came from.
    pub from: AccountId,
    /// Where it went.
    pub to: AccountId,
    /// How much.
    pub amount: Money,
    /// What the caller noted.
    pub reference: Option<String>,
    /// The journal's entry.
    pub entry_id: EntryId,
    /// The position of its first event.
    pub position: Position,
    /// When.
    pub timestamp: Timestamp,
}
