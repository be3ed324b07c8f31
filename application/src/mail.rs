//! The port to mail.

use async_trait::async_trait;
use thiserror::Error;

/// A mail to one person.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// The same for every attempt at sending it, so that the far side can recognise it.
    pub message_id: String,
    /// To whom: an email address.
    pub to: String,
    /// What it is about.
    pub subject: String,
    /// Its text.
    pub text: String,
}

impl std::fmt::Debug for Mail {
    /// Without whom it is for and what it says.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail").field("message_id", &self.message_id).finish_non_exhaustive()
    }
}

/// Sends mail.
///
/// Promises: an acknowledged mail was taken over by a server, or by the log where none is
/// configured; it may have been taken over more than once.
#[async_trait]
pub trait Mailer: Send + Sync {
    /// Sends a mail.
    ///
    /// # Errors
    /// [`MailError`].
    async fn send(&self, mail: &Mail) -> Result<(), MailError>;
}

/// Why a mail was not sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MailError {
    /// It never will be: the address or the mail itself is not acceptable.
    #[error("the mail was refused: {0}")]
    Refused(String),
    /// Not now.
    #[error("the mail server is unavailable: {0}")]
    Unavailable(String),
}
