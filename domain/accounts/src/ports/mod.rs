//! The ports to stored accounts and holders.

mod account_repository;
mod holder_repository;

pub use account_repository::{
    AccountPage, AccountRepository, StatementEntry, StatementPage, Transfer, TransferSide,
};
pub use holder_repository::HolderRepository;

#[cfg(feature = "mock")]
pub use account_repository::MockAccountRepository;
#[cfg(feature = "mock")]
pub use holder_repository::MockHolderRepository;

use thiserror::Error;

/// Why a repository could not answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RepositoryError {
    /// It can't be reached.
    #[error("the repository is unavailable: {0}")]
    Unavailable(String),
    /// What is stored can't be read.
    #[error("the repository is damaged: {0}")]
    Corrupt(String),
}
