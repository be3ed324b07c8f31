//! The port to account holders.

use async_trait::async_trait;
use daybook_events::{HolderId, Timestamp};

use crate::{Email, Holder, HolderStanding, RepositoryError, Session};

/// Finds account holders.
///
/// Promises: a holder is found as soon as their registration is acknowledged; addresses that
/// differ only in case find the same holder. What ends a session is seen as soon as it is acknowledged.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait HolderRepository: Send + Sync {
    /// The holder with this id.
    ///
    /// # Errors
    /// [`RepositoryError`].
    async fn find(&self, id: HolderId) -> Result<Option<Holder>, RepositoryError>;

    /// The holder with this email address.
    ///
    /// # Errors
    /// [`RepositoryError`].
    async fn find_by_email(&self, email: &Email) -> Result<Option<Holder>, RepositoryError>;

    /// Those of these addresses, in the form in which they are compared ([`Email::key`]), that are
    /// registered, in no particular order.
    ///
    /// # Errors
    /// [`RepositoryError`].
    async fn registered(&self, keys: &[Box<str>]) -> Result<Vec<Box<str>>, RepositoryError>;

    /// How those of these holders stand that there are, in no particular order.
    ///
    /// # Errors
    /// [`RepositoryError`].
    async fn standings(
        &self,
        ids: &[HolderId],
    ) -> Result<Vec<(HolderId, HolderStanding)>, RepositoryError>;

    /// Whether a session goes on: its holder is there, has the password that it is of, and has not
    /// logged out of it. When it expires is not looked at.
    ///
    /// # Errors
    /// [`RepositoryError`].
    async fn is_live(&self, session: &Session) -> Result<bool, RepositoryError>;

    /// Forgets at most `limit` sessions that were ended and would have expired before an instant; answers
    /// how many.
    ///
    /// # Errors
    /// [`RepositoryError`].
    async fn forget_ended_sessions(
        &self,
        before: Timestamp,
        limit: u32,
    ) -> Result<u64, RepositoryError>;
}
