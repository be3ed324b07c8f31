//! The port to the time of day.

use crate::Timestamp;

/// Tells the time. It may jump either way; nothing but expiries may depend on it.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}
