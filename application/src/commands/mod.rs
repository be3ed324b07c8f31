//! The use cases that change something.

mod accounts;
mod holders;
mod notifications;
mod orders;
mod tasks;

use std::sync::Arc;

use daybook_accounts::HolderRepository;
use daybook_events::{Clock, IdSource};

pub use accounts::{MoneyMovement, TransferRequest};
pub use holders::{LoginError, Registration};
pub use orders::NewOrder;
pub use tasks::{TaskRequest, UniqueRequest};

use crate::{Appender, Load, MailPolicy, Passwords};

/// Everything a caller can have done.
#[derive(Clone)]
pub struct Commands {
    appender: Appender,
    passwords: Passwords,
    holders: Arc<dyn HolderRepository>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    mail_policy: Arc<MailPolicy>,
}

impl std::fmt::Debug for Commands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Commands").finish_non_exhaustive()
    }
}

impl Commands {
    /// Use cases over this appender. Holders may mail themselves alone.
    pub fn new(
        appender: Appender,
        passwords: Passwords,
        holders: Arc<dyn HolderRepository>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Self {
        let mail_policy = Arc::new(MailPolicy::Own);
        Self { appender, passwords, holders, clock, ids, mail_policy }
    }

    /// The same, with another policy of whom holders may mail.
    #[must_use]
    pub fn with_mail_policy(self, policy: MailPolicy) -> Self {
        Self { mail_policy: Arc::new(policy), ..self }
    }

    /// How many commands wait.
    pub fn load(&self) -> Load {
        self.appender.load()
    }
}
