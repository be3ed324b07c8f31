//! The port to new identifiers.

use uuid::Uuid;

/// Makes identifiers.
///
/// Promises: no identifier is made twice, by any instance; they are UUIDs of version 7, so that
/// they sort by the time they were made.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait IdSource: Send + Sync {
    /// A new identifier.
    fn next(&self) -> Uuid;
}
