//! Attempts at a task that came to nothing.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// An attempt at a task that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedAttempt {
    /// Which attempt it was, from 1. After a retry by hand they are counted from 1 again.
    pub attempt: u32,
    /// When it ended.
    pub at: Timestamp,
    /// Why: at most [`FailedAttempt::LONGEST_REASON`] bytes of it.
    pub reason: String,
}

impl FailedAttempt {
    /// How many attempts are kept with a task: the last ones.
    pub const KEPT: usize = 20;
    /// How many bytes of a reason are kept.
    pub const LONGEST_REASON: usize = 500;

    /// An attempt that ended at an instant, for a reason.
    pub fn new(attempt: u32, at: Timestamp, reason: &str) -> Self {
        let reason = reason.get(..reason.floor_char_boundary(Self::LONGEST_REASON));
        Self { attempt, at, reason: reason.unwrap_or_default().to_owned() }
    }

    /// The history of a task after one more attempt: oldest first, the last ones of them.
    pub fn added_to(self, history: &[Self]) -> Vec<Self> {
        let older = history.len().saturating_sub(Self::KEPT - 1);
        history.iter().skip(older).cloned().chain([self]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_attempts_are_kept_and_long_reasons_are_cut() {
        let mut history = Vec::new();
        for attempt in 1..=25 {
            let failed = FailedAttempt::new(attempt, Timestamp::from_micros(0), "no luck");
            history = failed.added_to(&history);
        }
        let attempts: Vec<_> = history.iter().map(|failed| failed.attempt).collect();
        assert_eq!(attempts, (6..=25).collect::<Vec<_>>());
        let long = "ü".repeat(400);
        let cut = FailedAttempt::new(1, Timestamp::from_micros(0), &long);
        assert_eq!(cut.reason, "ü".repeat(250));
    }
}
