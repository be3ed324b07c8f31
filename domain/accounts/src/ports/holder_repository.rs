//! The port to account holders.

use async_trait::async_trait;
use daybook_events::HolderId;

use crate::{Email, Holder, RepositoryError};

/// Finds account holders.
///
/// Promises: a holder is found as soon as their registration is acknowledged; addresses that
/// differ only in case find the same holder.
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
}
