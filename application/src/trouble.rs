//! Saying that something can't be used, without saying it again and again.

use std::time::Duration;

use tokio::time::Instant;

/// How long it goes on until it is said again.
const AGAIN: Duration = Duration::from_hours(1);

/// Says when trouble begins, once an hour while it lasts, and when it has ended: a line each.
#[derive(Debug)]
pub struct TroubleLog {
    what: String,
    told: Option<Instant>,
}

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Begun,
    Goes,
    Ended,
}

impl TroubleLog {
    /// For the trouble that there may be with `what`.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), told: None }
    }

    /// Whether it was said that there is trouble, and not yet that it has ended.
    pub const fn has_told(&self) -> bool {
        self.told.is_some()
    }

    /// Takes what there is now: why it can't be used, or nothing.
    pub fn look(&mut self, trouble: Option<&dyn std::fmt::Display>) {
        let line = self.line(trouble.is_some());
        let what = &self.what;
        match (line, trouble) {
            (Some(Line::Begun), Some(trouble)) => tracing::warn!("{what}: {trouble}"),
            (Some(Line::Goes), Some(trouble)) => tracing::warn!("{what}, still: {trouble}"),
            (Some(Line::Ended), _) => tracing::info!("{what}: it is back"),
            _ => {}
        }
    }

    fn line(&mut self, trouble: bool) -> Option<Line> {
        let now = Instant::now();
        match self.told {
            None if trouble => {
                self.told = Some(now);
                Some(Line::Begun)
            }
            Some(at) if trouble && now.duration_since(at) >= AGAIN => {
                self.told = Some(now);
                Some(Line::Goes)
            }
            Some(_) if !trouble => {
                self.told = None;
                Some(Line::Ended)
            }
            None | Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn trouble_is_told_when_it_begins_when_it_ends_and_hourly_between() {
        let mut log = TroubleLog::new("the cache");
        assert_eq!(log.line(false), None);
        let mut told = Vec::new();
        for _ in 0..3 * 3_600 - 1 {
            told.extend(log.line(true));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(told, [Line::Begun, Line::Goes, Line::Goes]);
        assert!(log.has_told());
        assert_eq!(log.line(false), Some(Line::Ended));
        assert_eq!(log.line(false), None);
        assert_eq!(log.line(true), Some(Line::Begun));
    }
}
