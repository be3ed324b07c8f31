//! Forgetting what need not be kept: remembered outcomes, finished tasks and sessions that would be over
//! by now.

use std::sync::Arc;
use std::time::Duration;

use daybook_accounts::HolderRepository;
use daybook_events::{
    Clock, EventFilter, Journal, JournalError, Position, TaskRepository, Timestamp,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Row;

const EVERY: Duration = Duration::from_mins(10);
/// So that a sweep never holds up commands for long.
const AT_ONCE: u32 = 1_000;
/// How long a session that was ended is remembered after it would have expired.
const KEEP_ENDED_SESSIONS: Duration = Duration::from_hours(24);

/// Forgets, now and then, a bounded number at a time. Events are never forgotten, and nor are dead tasks.
///
/// A clock that jumps ahead makes nothing old: how much time has passed is counted from where the log was
/// when this began, by a clock that can't be set. So what is kept may be kept longer, by as much as nothing
/// was written before that, and is not forgotten sooner than by the time that has passed. What was
/// written while the clock was ahead is kept as much longer.
pub struct Housekeeper {
    journal: Arc<dyn Journal<Row>>,
    tasks: Arc<dyn TaskRepository>,
    holders: Arc<dyn HolderRepository>,
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
        holders: Arc<dyn HolderRepository>,
        clock: Arc<dyn Clock>,
        keep_outcomes: Duration,
        keep_done_tasks: Duration,
    ) -> Self {
        Self { journal, tasks, holders, clock, keep_outcomes, keep_done_tasks }
    }

    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut began = self.begin().await.ok();
        loop {
            if stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
                return;
            }
            if let Err(error) = self.sweep_since(&mut began).await {
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
        self.sweep_since(&mut None).await
    }

    /// The same by one who sweeps again and again, and began then.
    async fn sweep_since(&self, began: &mut Option<Began>) -> Result<(), String> {
        let began = match began {
            Some(began) => began,
            None => began.insert(self.begin().await.map_err(|error| error.to_string())?),
        };
        let now = self.clock.now().min(began.at.plus(began.when.elapsed()));
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
        // A token that expired by one clock may still be good by another.
        while self
            .holders
            .forget_ended_sessions(now.minus(KEEP_ENDED_SESSIONS), AT_ONCE)
            .await
            .map_err(|error| error.to_string())?
            >= u64::from(AT_ONCE)
        {}
        Ok(())
    }

    /// Now, by the clock, or by the last event where that is earlier.
    async fn begin(&self) -> Result<Began, JournalError> {
        let head = self.journal.head().await?;
        let before = Position::new(head.get().saturating_sub(1));
        let last = self.journal.read(&EventFilter::All, before, 1).await?;
        let (now, last) = (self.clock.now(), last.last().map(|event| event.timestamp));
        Ok(Began { at: last.map_or(now, |last| now.min(last)), when: Instant::now() })
    }
}

/// When the counting of time began.
struct Began {
    at: Timestamp,
    when: Instant,
}

#[cfg(test)]
mod tests;
