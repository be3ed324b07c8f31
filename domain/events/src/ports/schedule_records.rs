//! The port to what is remembered of schedules.

use async_trait::async_trait;

use crate::{QueueError, Timestamp};

/// Remembers since when schedules are known.
#[async_trait]
pub trait ScheduleRecords: Send + Sync {
    /// Since when this pattern is known under this name. Where the last that was told of under the
    /// name is another, or there is none, it is from `now` on.
    ///
    /// # Errors
    /// [`QueueError`].
    async fn known_since(
        &self,
        name: &str,
        pattern: &str,
        now: Timestamp,
    ) -> Result<Timestamp, QueueError>;
}
