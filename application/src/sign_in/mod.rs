//! Who gets in: passwords checked fairly, guessing slowed down, and a trace of both.

mod audit_log;
mod gate;
mod guesses;
mod origin;
mod passwords;

pub(crate) use audit_log::Audited;
pub use audit_log::{AuditLog, AuditOutcome, AuditedAct};
pub(crate) use guesses::{Attempt, Guesses};
pub use origin::{Block, Origin};
pub use passwords::{PasswordError, Passwords};
