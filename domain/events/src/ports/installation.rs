//! The port to what tells one log from every other.

use std::fmt;

use async_trait::async_trait;
use thiserror::Error;

use crate::InstallationId;

/// Which log this is, and what only those who work on it know.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Its name. It stands in whatever is sent or kept outside.
    pub id: InstallationId,
    /// What never leaves the database and its processes. With it they mark what is theirs.
    pub secret: [u8; 16],
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Knows which log this is.
///
/// An *installation* is one log with every process that works on it. Two logs never have the same
/// identity for longer than it takes to notice; one that was copied is another.
///
/// Promises:
/// - every process on one database is given the same identity, at once and later, also after the
///   server has failed over to a standby;
/// - a database that is found in another place than where its identity was made (copied, restored
///   into other tables or another file) gets a new one, with a new secret;
/// - [`Installation::renew`] takes effect once for each identity, however many ask for it;
/// - an identity that was given up never comes back.
///
/// What it can't see: a copy in the very same place, as a snapshot of a whole server that runs
/// beside the original, or a log that was put back to what it was. Whoever notices that renews it:
/// see [`Witness`](crate::Witness).
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Installation: Send + Sync {
    /// Which log this is now.
    ///
    /// # Errors
    /// [`InstallationError`] where that can't be read, or can't be made.
    async fn identity(&self) -> Result<Identity, InstallationError>;

    /// Gives up the identity `old` for a new one, where it is still the present one. Answers which is
    /// the present one then.
    ///
    /// # Errors
    /// [`InstallationError`] where that is not known.
    async fn renew(&self, old: InstallationId) -> Result<Identity, InstallationError>;
}

/// The identity could not be read or changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("which installation this is can't be found out: {0}")]
pub struct InstallationError(pub String);
