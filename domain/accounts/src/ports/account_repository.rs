//! The port to accounts and their statements.

use async_trait::async_trait;
use daybook_events::{EntryId, HolderId, Placed, Position, Timestamp};
use daybook_money::Money;
use uuid::Uuid;

use crate::{Account, AccountId, RepositoryError};

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

    /// A page of open accounts, oldest first.
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
}
