//! When a failed task is tried again.

use std::time::Duration;

/// Exponential backoff with jitter, and a limit.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// How many attempts there are before a task is dead.
    pub attempts: u32,
    /// The pause after the first attempt; it doubles with each.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl RetryPolicy {
    /// The pause after this attempt (from 1): at least half of what the backoff says and at most
    /// all of it, at random, so that tasks that failed together do not come back together. `None`
    /// after the last attempt.
    pub fn pause(&self, attempt: u32) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        let doublings = attempt.saturating_sub(1).min(31);
        let full = self.first_pause.saturating_mul(1 << doublings).min(self.longest_pause);
        let half = full / 2;
        let spread = u64::try_from(half.as_micros()).unwrap_or(u64::MAX);
        Some(half + Duration::from_micros(rand::random_range(0..=spread)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_then_it_is_over() {
        let policy = RetryPolicy {
            attempts: 40,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_mins(1),
        };
        for (attempt, full) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (39, 60)] {
            let pause = policy.pause(attempt).unwrap();
            let full = Duration::from_secs(full);
            assert!(pause >= full / 2 && pause <= full, "{attempt}: {pause:?}");
        }
        assert_eq!(policy.pause(40), None);
        assert_eq!(policy.pause(u32::MAX), None);
    }
}
