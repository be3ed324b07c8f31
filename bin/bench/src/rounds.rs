//! Product and control in turns, and what comes out of their rounds.

use std::time::Duration;

use crate::error::BenchError;
use crate::histogram::Histogram;
use crate::interrupt;
use crate::load::{Failures, Load, Outcome};
use crate::machine;
use crate::process::Process;

/// One turn of one side.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Requests, commands or rows a second.
    pub(crate) rate: f64,
    /// What each took.
    pub(crate) latencies: Histogram,
    /// What was not answered as expected.
    pub(crate) failures: Failures,
    /// Processor time of the server for one request.
    pub(crate) server_time: Option<Duration>,
    /// The share of one processor that the load itself took.
    pub(crate) generator_busy: Option<f64>,
    /// Bytes of the database for one command.
    pub(crate) disk_bytes: Option<f64>,
    /// Commands committed together, on average.
    pub(crate) batch: Option<f64>,
}

impl Turn {
    /// Puts a load on a server and notes what the server used for it. Also how many answers there were in all.
    ///
    /// # Errors
    /// As [`Load::run`].
    pub(crate) fn of_load(load: &Load, server: &Process) -> Result<(Self, u64), BenchError> {
        let used = machine::process_time(server.id());
        let outcome = load.run()?;
        let used = used
            .zip(machine::process_time(server.id()))
            .map(|(before, after)| after.saturating_sub(before));
        let answers = outcome.answers;
        Ok((Self::of_outcome(outcome, used), answers))
    }

    /// What came of a load, and the processor time that the server used for it.
    pub(crate) fn of_outcome(outcome: Outcome, used: Option<Duration>) -> Self {
        let Outcome { answers, measured, latencies, failures, generator_busy } = outcome;
        let server_time = used.and_then(|used| used.checked_div(u32::try_from(answers).ok()?));
        let rate = per_second(latencies.count(), measured);
        Self { latencies, failures, server_time, generator_busy, ..Self::of_rate(rate) }
    }

    /// A rate, and nothing else that is known.
    pub(crate) fn of_rate(rate: f64) -> Self {
        Self {
            rate,
            latencies: Histogram::new(),
            failures: Failures::default(),
            server_time: None,
            generator_busy: None,
            disk_bytes: None,
            batch: None,
        }
    }

    /// So many things that were all done after some time, and the processor time that they took.
    pub(crate) fn of_count(count: u64, measured: Duration, used: Option<Duration>) -> Self {
        let server_time = used.and_then(|used| used.checked_div(u32::try_from(count).ok()?));
        Self { server_time, ..Self::of_rate(per_second(count, measured)) }
    }
}

/// A count as a rate.
pub(crate) fn per_second(count: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { as_float(count) / time.as_secs_f64() }
}

/// A count as a number to calculate with.
#[expect(clippy::cast_precision_loss, reason = "no count here comes near 2^52")]
pub(crate) fn as_float(count: u64) -> f64 {
    count as f64
}

/// The middle and the ends of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    /// Half are not above it.
    pub(crate) median: f64,
    /// The least.
    pub(crate) least: f64,
    /// The most.
    pub(crate) most: f64,
}

impl Spread {
    /// Of these values; none where there are none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        let upper = *values.get(values.len() / 2)?;
        let lower = *values.get(values.len().saturating_sub(1) / 2)?;
        Some(Self {
            median: f64::midpoint(lower, upper),
            least: *values.first()?,
            most: *values.last()?,
        })
    }
}

/// All turns of one side.
#[derive(Debug)]
pub(crate) struct Side {
    turns: Vec<Turn>,
}

impl Side {
    /// The rates of its turns.
    pub(crate) fn rate(&self) -> Option<Spread> {
        Spread::of(self.turns.iter().map(|turn| turn.rate))
    }

    /// The latencies of all turns together.
    pub(crate) fn latencies(&self) -> Histogram {
        let mut all = Histogram::new();
        for turn in &self.turns {
            all.merge(&turn.latencies);
        }
        all
    }

    /// What `percent` of the answers of a turn did not pass, in milliseconds.
    pub(crate) fn percentile_millis(&self, percent: u64) -> Option<Spread> {
        let percentiles = self.turns.iter().filter_map(|turn| turn.latencies.percentile(percent));
        Spread::of(percentiles.map(|time| time.as_secs_f64() * 1e3))
    }

    /// The failures of all turns together.
    pub(crate) fn failures(&self) -> Failures {
        let mut all = Failures::default();
        for turn in &self.turns {
            all.merge(turn.failures.clone());
        }
        all
    }

    /// Processor time of the server for one request.
    pub(crate) fn server_time(&self) -> Option<Duration> {
        let seconds = Spread::of(
            self.turns.iter().filter_map(|turn| turn.server_time).map(|time| time.as_secs_f64()),
        )?;
        Some(Duration::from_secs_f64(seconds.median))
    }

    /// The largest share of one processor that the load took in a turn.
    pub(crate) fn generator_busy(&self) -> Option<f64> {
        Some(Spread::of(self.turns.iter().filter_map(|turn| turn.generator_busy))?.most)
    }

    /// Bytes of the database for one command.
    pub(crate) fn disk_bytes(&self) -> Option<f64> {
        Some(Spread::of(self.turns.iter().filter_map(|turn| turn.disk_bytes))?.median)
    }

    /// Commands committed together, on average.
    pub(crate) fn batch(&self) -> Option<f64> {
        Some(Spread::of(self.turns.iter().filter_map(|turn| turn.batch))?.median)
    }
}

/// Both sides of a figure.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// The product.
    pub(crate) product: Side,
    /// The control.
    pub(crate) control: Side,
}

impl Comparison {
    /// The product's rate over the control's, round by round.
    pub(crate) fn ratio(&self) -> Option<Spread> {
        let pairs = self.product.turns.iter().zip(&self.control.turns);
        Spread::of(pairs.map(|(product, control)| product.rate / control.rate))
    }
}

/// Lets product and control take turns; who begins changes from round to round.
///
/// # Errors
/// The first error of either.
pub(crate) fn alternate(
    rounds: u32,
    mut product: impl FnMut() -> Result<Turn, BenchError>,
    mut control: impl FnMut() -> Result<Turn, BenchError>,
) -> Result<Comparison, BenchError> {
    let mut comparison =
        Comparison { product: Side { turns: Vec::new() }, control: Side { turns: Vec::new() } };
    for round in 1..=rounds {
        interrupt::check()?;
        let (ours, other) = if round % 2 == 1 {
            let ours = product()?;
            (ours, control()?)
        } else {
            let other = control()?;
            (product()?, other)
        };
        eprintln!(
            "  round {round} of {rounds}: product {:.0}/s, control {:.0}/s",
            ours.rate, other.rate
        );
        comparison.product.turns.push(ours);
        comparison.control.turns.push(other);
    }
    Ok(comparison)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(
            Spread::of([4.0, 1.0, 2.0, 8.0]),
            Some(Spread { median: 3.0, least: 1.0, most: 8.0 })
        );
        assert_eq!(Spread::of([5.0]), Some(Spread { median: 5.0, least: 5.0, most: 5.0 }));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn the_ratio_is_taken_round_by_round() {
        // The machine is twice as fast in the second round: the ratio of the medians would say 1.5.
        let mut product = [100.0, 200.0, 150.0].into_iter();
        let mut control = [100.0, 200.0, 50.0].into_iter();
        let comparison = alternate(
            3,
            || Ok(Turn::of_rate(product.next().unwrap())),
            || Ok(Turn::of_rate(control.next().unwrap())),
        )
        .unwrap();
        assert_eq!(comparison.ratio(), Some(Spread { median: 1.0, least: 1.0, most: 3.0 }));
        let rate = Spread { median: 150.0, least: 100.0, most: 200.0 };
        assert_eq!(comparison.product.rate(), Some(rate));
    }

    #[test]
    fn a_count_is_a_rate_and_a_price_each() {
        let turn = Turn::of_count(200, Duration::from_secs(2), Some(Duration::from_millis(400)));
        assert_eq!((turn.rate, turn.server_time), (100.0, Some(Duration::from_millis(2))));
    }

    #[test]
    fn who_begins_changes() {
        let order = std::cell::RefCell::new(String::new());
        let note = |who| {
            order.borrow_mut().push(who);
            Ok(Turn::of_rate(1.0))
        };
        alternate(3, || note('p'), || note('c')).unwrap();
        assert_eq!(order.into_inner(), "pccppc");
    }
}
