//! One run of a trial: how often, from which seed, and how it goes.

use std::fmt;
use std::thread;
use std::time::Duration;

use indicatif::ProgressBar;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::error::{Failure, Outcome};

/// A trial: a fault, and what has to hold in spite of it.
pub struct Trial {
    /// Its short name, such as `r1`.
    pub name: &'static str,
    /// What is done, in words.
    pub title: &'static str,
    /// How often it is done where time is short.
    pub short: u32,
    /// How often it is done in full.
    pub full: u32,
    /// Does it.
    pub run: fn(&Run) -> Outcome<Tally>,
}

/// How a trial is to be run.
pub struct Run {
    /// How often the fault is done.
    pub dose: u32,
    /// What all randomness comes from.
    pub seed: u64,
    /// Whether times and sizes are the full ones.
    pub full: bool,
    /// Where it is shown how far it is.
    pub progress: ProgressBar,
}

/// One doing of a fault.
pub struct Round {
    /// Its number, from 0.
    pub number: u32,
    /// Its own seed.
    pub seed: u64,
    /// Its randomness.
    pub random: StdRng,
}

impl Run {
    /// Does something so many times, each time with a seed of its own.
    ///
    /// # Errors
    /// The first failure, with the round it happened in.
    pub fn rounds(&self, count: u32, mut f: impl FnMut(&mut Round) -> Outcome) -> Outcome {
        for number in 0..count {
            let seed =
                self.seed.wrapping_add(u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let mut round = Round { number, seed, random: StdRng::seed_from_u64(seed) };
            f(&mut round).map_err(|failure| failure.at(format!("round {number}")))?;
            self.progress.inc(1);
        }
        Ok(())
    }

    /// How large something is: in full, or where time is short.
    pub fn size<T>(&self, full: T, short: T) -> T {
        if self.full { full } else { short }
    }
}

impl Round {
    /// Waits for some time between these milliseconds.
    pub fn wait(&mut self, from: u64, to: u64) {
        thread::sleep(Duration::from_millis(self.random.random_range(from..=to)));
    }
}

/// What a run has tried, to be reported.
#[derive(Debug, Default)]
pub struct Tally {
    counts: Vec<(&'static str, u64)>,
    longest: Vec<(&'static str, Duration)>,
    most: Vec<(&'static str, u64)>,
    remark: Option<String>,
    skipped: Option<String>,
}

impl Tally {
    /// Adds to a count.
    pub fn add(&mut self, what: &'static str, count: usize) {
        let count = count as u64;
        match self.counts.iter_mut().find(|(known, _)| *known == what) {
            Some((_, sum)) => *sum += count,
            None => self.counts.push((what, count)),
        }
    }

    /// Notes a time; the longest of its kind is reported.
    pub fn time(&mut self, what: &'static str, time: Duration) {
        match self.longest.iter_mut().find(|(known, _)| *known == what) {
            Some((_, longest)) => *longest = time.max(*longest),
            None => self.longest.push((what, time)),
        }
    }

    /// Notes an amount; the largest of its kind is reported.
    pub fn most(&mut self, what: &'static str, amount: u64) {
        match self.most.iter_mut().find(|(known, _)| *known == what) {
            Some((_, most)) => *most = amount.max(*most),
            None => self.most.push((what, amount)),
        }
    }

    /// Adds what another has noted.
    pub fn join(&mut self, other: Self) {
        for (what, count) in other.counts {
            self.add(what, usize::try_from(count).unwrap_or(usize::MAX));
        }
        other.longest.into_iter().for_each(|(what, time)| self.time(what, time));
        other.most.into_iter().for_each(|(what, amount)| self.most(what, amount));
        other.remark.into_iter().for_each(|text| self.remark(text));
    }

    /// A trial that can't be made on this machine, and why.
    pub fn skipped(reason: String) -> Self {
        Self { skipped: Some(reason), ..Self::default() }
    }

    /// Why the trial was not made, where it was not.
    pub fn reason_to_skip(&self) -> Option<&str> {
        self.skipped.as_deref()
    }

    /// Something to be shown with the rest; the first is kept.
    pub fn remark(&mut self, text: String) {
        self.remark.get_or_insert(text);
    }

    /// A count; zero where nothing was counted.
    pub fn count(&self, what: &str) -> u64 {
        self.counts.iter().find(|(known, _)| *known == what).map_or(0, |(_, count)| *count)
    }

    /// Fails where something that makes the trial one has never happened.
    ///
    /// # Errors
    /// Where the count is zero.
    pub fn must_have(&self, what: &str) -> Outcome {
        match self.count(what) {
            0 => Err(Failure::new(format!("the trial is void: no {what}"))),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.counts.iter().filter(|(_, count)| *count > 0);
        let counts = counts.map(|(what, count)| format!("{count} {what}"));
        let longest = self.longest.iter().filter(|(_, time)| !time.is_zero());
        let longest = longest
            .map(|(what, time)| format!("{what} at most {:.0} ms", time.as_secs_f64() * 1000.0));
        let most = self.most.iter().map(|(what, amount)| format!("{what} at most {amount}"));
        let remark = self.remark.iter().map(|text| format!("such as: {text}"));
        f.write_str(&counts.chain(longest).chain(most).chain(remark).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_adds_counts_and_keeps_the_longest_time() {
        let mut tally = Tally::default();
        for (count, millis) in [(2, 5), (3, 9), (0, 1)] {
            tally.add("kills", count);
            tally.time("answers", Duration::from_millis(millis));
            tally.most("MiB", millis);
        }
        tally.add("cuts", 0);
        let mut other = Tally::default();
        other.join(tally);
        tally = other;
        assert_eq!(tally.to_string(), "5 kills, answers at most 9 ms, MiB at most 9");
        assert!(tally.must_have("kills").is_ok() && tally.must_have("cuts").is_err());
    }
}
