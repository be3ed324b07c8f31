//! The port to who remembers, outside of the log, how far it had come.

use async_trait::async_trait;
use thiserror::Error;

use crate::{EventId, Position};

/// The last event of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its position.
    pub position: Position,
    /// Its id. Two logs that went apart have different events at one position.
    pub event: EventId,
}

/// Remembers how far the log of this installation had come. It stands where copies of the log meet:
/// beside what they keep outside under the same identity.
///
/// Promises:
/// - what was told last is seen, whichever process told it;
/// - what was told under another identity, or by anyone without its secret, is not seen;
/// - it may be forgotten at any time.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Witness: Send + Sync {
    /// What was told last.
    ///
    /// # Errors
    /// [`WitnessError`] where nobody can be asked.
    async fn seen(&self) -> Result<Option<Head>, WitnessError>;

    /// Tells how far the log has come.
    ///
    /// # Errors
    /// [`WitnessError`] where nobody can be told.
    async fn tell(&self, head: Head) -> Result<(), WitnessError>;
}

/// The witness can't be reached.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("how far the log had come can't be found out: {0}")]
pub struct WitnessError(pub String);
