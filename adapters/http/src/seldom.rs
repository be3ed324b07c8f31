//! Lines of the log that would be a flood of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long between two lines, at least.
const PAUSE: Duration = Duration::from_mins(1);

/// Something that is told of once a minute at most, and counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seldom(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    told: Option<Instant>,
    /// How often it was since it was told of.
    since: u64,
    total: u64,
}

impl Seldom {
    /// It was once more. `tell` is given how often, where it is told of.
    pub(crate) fn note(&self, tell: impl FnOnce(u64)) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        state.since += 1;
        state.total += 1;
        if state.told.is_none_or(|told| now.duration_since(told) >= PAUSE) {
            state.told = Some(now);
            tell(std::mem::take(&mut state.since));
        }
    }

    /// How often it was.
    pub(crate) fn total(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn is_told_of_once_a_minute_with_how_often_it_was() {
        let (seldom, mut told) = (Seldom::default(), Vec::new());
        for _ in 0..90 {
            seldom.note(|count| told.push(count));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(told, [1, 60]);
        assert_eq!(seldom.total(), 90);
    }
}
