//! Forgetting what need not be kept: remembered outcomes and finished tasks.

use std::sync::Arc;
use std::time::Duration;

use daybook_events::{Clock, Journal, TaskRepository};
use tokio_util::sync::CancellationToken;

use crate::Row;

const EVERY: Duration = Duration::from_mins(10);
/// So that a sweep never holds up commands for long.
const AT_ONCE: u32 = 1_000;

/// Forgets, now and then, a bounded number at a time. Events are never forgotten, and nor are dead tasks.
pub struct Housekeeper {
    journal: Arc<dyn Journal<Row>>,
    tasks: Arc<dyn TaskRepository>,
    clock: Arc<dyn Clock>,
    keep_outcomes: Duration,
    keep_done_tasks: Duration,
}

impl std::fmt::Debug for Housekeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Housekeeper").finish_non_exhaustive()
    }
}

impl Housekeeper {
    /// Keeps outcomes and done tasks for so long.
    pub fn new(
        journal: Arc<dyn Journal<Row>>,
        tasks: Arc<dyn TaskRepository>,
        clock: Arc<dyn Clock>,
        keep_outcomes: Duration,
        keep_done_tasks: Duration,
    ) -> Self {
        Self { journal, tasks, clock, keep_outcomes, keep_done_tasks }
    }

    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            if stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
                return;
            }
            if let Err(error) = self.sweep().await {
                tracing::warn!(
                    error,
                    "old outcomes and tasks were not forgotten; it is tried again later"
                );
            }
        }
    }

    /// Forgets everything that is old enough.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn sweep(&self) -> Result<(), String> {
        let now = self.clock.now();
        while self
            .journal
            .forget_outcomes(now.minus(self.keep_outcomes), AT_ONCE)
            .await
            .map_err(|error| error.to_string())?
            >= u64::from(AT_ONCE)
        {}
        while self
            .tasks
            .forget_done(now.minus(self.keep_done_tasks), AT_ONCE)
            .await
            .map_err(|error| error.to_string())?
            >= u64::from(AT_ONCE)
        {}
        Ok(())
    }
}
