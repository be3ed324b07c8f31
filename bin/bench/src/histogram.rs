//! Latencies, counted in a fixed number of buckets: recording allocates nothing and costs a few instructions.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Buckets per doubling: a quantile is off by at most 1/32.
const STEPS: u32 = 32;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Enough for every `u32` of microseconds, some 71 minutes.
const BUCKETS: usize = ((u32::BITS - STEP_BITS + 1) * STEPS) as usize;

/// How many durations there were of about each length.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Histogram {
    buckets: Box<[u64]>,
    count: u64,
}

impl Histogram {
    /// Nothing recorded yet.
    pub(crate) fn new() -> Self {
        Self { buckets: vec![0; BUCKETS].into_boxed_slice(), count: 0 }
    }

    /// Counts one duration.
    pub(crate) fn record(&mut self, duration: Duration) {
        let micros = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
        if let Some(bucket) = self.buckets.get_mut(bucket_of(micros)) {
            *bucket += 1;
            self.count += 1;
        }
    }

    /// Adds what another one counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
    }

    /// How many were recorded.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The duration that `percent` of all did not pass; none where nothing was recorded.
    pub(crate) fn percentile(&self, percent: u64) -> Option<Duration> {
        let rank = (self.count * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(Duration::from_micros(highest_of(bucket)))
    }
}

fn bucket_of(micros: u32) -> usize {
    let doublings = micros.checked_ilog2().unwrap_or(0).saturating_sub(STEP_BITS);
    (doublings * STEPS + (micros >> doublings)) as usize
}

/// The longest duration, in microseconds, that a bucket counts.
fn highest_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let steps = u64::from(STEPS);
    if bucket < 2 * steps {
        return bucket;
    }
    let doublings = bucket / steps - 1;
    ((bucket % steps + steps + 1) << doublings) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(n: u64) -> Duration {
        Duration::from_micros(n)
    }

    #[test]
    fn every_duration_has_a_bucket_that_is_close_to_it() {
        for value in (0..5_000).chain([70_000, 1_234_567, 99_999_999, u32::MAX]) {
            let highest = highest_of(bucket_of(value));
            let value = u64::from(value);
            assert!(highest >= value, "{value} counted as {highest}");
            assert!(highest - value <= value / 32, "{value} counted as {highest}");
        }
        assert!(bucket_of(u32::MAX) < BUCKETS);
    }

    #[test]
    fn percentiles_of_an_even_spread() {
        let mut histogram = Histogram::new();
        for value in 1..=1_000 {
            histogram.record(micros(value));
        }
        let p50 = histogram.percentile(50).unwrap();
        let p99 = histogram.percentile(99).unwrap();
        assert!(p50 >= micros(500) && p50 <= micros(516), "{p50:?}");
        assert!(p99 >= micros(990) && p99 <= micros(1_023), "{p99:?}");
    }

    #[test]
    fn nothing_recorded_has_no_percentile() {
        assert_eq!(Histogram::new().percentile(50), None);
    }

    #[test]
    fn merging_counts_both() {
        let mut one = Histogram::new();
        one.record(micros(10));
        let mut other = Histogram::new();
        other.record(micros(30));
        other.record(micros(30));
        one.merge(&other);
        assert_eq!(one.count(), 3);
        assert_eq!(one.percentile(50), Some(micros(30)));
    }
}
