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

use crate::{Appender, Load, Passwords};

/// Everything a caller can have done.
#[derive(Clone)]
pub struct Commands {
    appender: Appender,
    passwords: Passwords,
    holders: Arc<dyn HolderRepository>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
}

impl std::fmt::Debug for Commands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Commands").finish_non_exhaustive()
    }
}

impl Commands {
    /// Use cases over this appender.
    pub fn new(
        appender: Appender,
        passwords: Passwords,
        holders: Arc<dyn HolderRepository>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Self {
        Self { appender, passwords, holders, clock, ids }
    }

    /// How many commands wait.
    pub fn load(&self) -> Load {
        self.appender.load()
    }
}
