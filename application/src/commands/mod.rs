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
pub use holders::{LoginError, Registered, Registration};
pub use orders::NewOrder;
pub(crate) use tasks::MOST_URGENT;
pub use tasks::{TaskRequest, UniqueRequest};

use crate::sign_in::Guesses;
use crate::{Appender, AuditLog, Load, MailPolicy, Passwords, Sessions, StreamLimits};

/// Everything a caller can have done.
#[derive(Clone)]
pub struct Commands {
    appender: Appender,
    passwords: Passwords,
    holders: Arc<dyn HolderRepository>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    mail_policy: Arc<MailPolicy>,
    sessions: Sessions,
    guesses: Guesses,
    audit: AuditLog,
}

impl std::fmt::Debug for Commands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Commands").finish_non_exhaustive()
    }
}

impl Commands {
    /// Use cases over this appender. Holders may mail themselves alone, and open no stream.
    pub fn new(
        appender: Appender,
        passwords: Passwords,
        holders: Arc<dyn HolderRepository>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Self {
        let sessions = Sessions::new(Arc::clone(&holders), StreamLimits::NONE);
        Self {
            appender,
            passwords,
            holders,
            clock,
            ids,
            mail_policy: Arc::new(MailPolicy::Own),
            sessions,
            guesses: Guesses::new(),
            audit: AuditLog::default(),
        }
    }

    /// The same, with another policy of whom holders may mail.
    #[must_use]
    pub fn with_mail_policy(self, policy: MailPolicy) -> Self {
        Self { mail_policy: Arc::new(policy), ..self }
    }

    /// The same, with so many streams.
    #[must_use]
    pub fn with_stream_limits(self, limits: StreamLimits) -> Self {
        Self { sessions: Sessions::new(Arc::clone(&self.holders), limits), ..self }
    }

    /// Which sessions go on.
    pub const fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// What was noted of registrations, log-ins and the like.
    pub fn audit(&self) -> &AuditLog {
        &self.audit
    }

    /// How many commands wait.
    pub fn load(&self) -> Load {
        self.appender.load()
    }
}
