//! The control of P2: redis-benchmark, Redis' own load, asking for one key over and over.

use std::cell::Cell;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use redis::Connection;

use crate::error::BenchError;
use crate::options::Options;
use crate::process;
use crate::rounds::Turn;

/// How long the program may take beside its turn.
const PATIENCE: Duration = Duration::from_mins(1);
/// How many requests it takes to guess the rate from.
const GUESS: u64 = 50_000;
const MOST: u64 = 50_000_000;

/// The program, ready to run.
pub(crate) struct RedisBenchmark {
    program: PathBuf,
    port: u16,
    key: String,
    connections: u32,
    /// Requests a second, as last seen: it takes a count, and turns take a time.
    rate: Cell<Option<f64>>,
}

impl RedisBenchmark {
    /// A program that asks for this key of the server on this port.
    pub(crate) fn new(program: PathBuf, port: u16, key: String, connections: u32) -> Self {
        Self { program, port, key, connections, rate: Cell::new(None) }
    }

    /// One turn, about as long as the pace says.
    ///
    /// # Errors
    /// Where the program fails.
    pub(crate) fn turn(&self, options: &Options) -> Result<Turn, BenchError> {
        let pace = options.pace();
        let known = match self.rate.get() {
            Some(rate) => rate,
            None => self.run(options, GUESS.min(pace.most_requests))?,
        };
        let count = |time: Duration| requests(known, time).min(pace.most_requests).max(1);
        if !pace.warm_up.is_zero() {
            self.run(options, count(pace.warm_up))?;
        }
        let rate = self.run(options, count(pace.measured))?;
        self.rate.set(Some(rate));
        Ok(Turn::of_rate(rate))
    }

    /// Requests a second.
    fn run(&self, options: &Options, requests: u64) -> Result<f64, BenchError> {
        let folder = options.temporary_folder()?;
        let mut command = Command::new(&self.program);
        command.env_clear().env("LC_ALL", "C");
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        command.args(["-c", &self.connections.to_string(), "-n", &requests.to_string()]);
        command.args(["--csv", "GET", &self.key]);
        let patience = options.pace().measured * 3 + PATIENCE;
        let printed =
            process::run_to_end("redis-benchmark", &mut command, folder.path(), patience)?;
        read(&printed).ok_or_else(|| {
            BenchError::failed(format!("redis-benchmark did not count as expected:\n{printed}"))
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is not negative, and the result is bounded"
)]
fn requests(rate: f64, time: Duration) -> u64 {
    ((rate * time.as_secs_f64()) as u64).min(MOST)
}

/// The rate that the program printed.
fn read(printed: &str) -> Option<f64> {
    let line = printed.lines().rfind(|line| !line.trim().is_empty())?;
    let rate: f64 = line.split("\",\"").nth(1)?.trim().trim_end_matches('"').parse().ok()?;
    (rate > 0.0).then_some(rate)
}

/// The one key that begins like this, and its value.
///
/// # Errors
/// Where there is none, or more than one.
pub(crate) fn value_of(
    connection: &mut Connection,
    prefix: &str,
) -> Result<(String, Vec<u8>), BenchError> {
    let keys: Vec<String> = redis::cmd("KEYS").arg(format!("{prefix}*")).query(connection)?;
    let [key] = keys.as_slice() else {
        return Err(BenchError::failed(format!("{} keys begin with {prefix}", keys.len())));
    };
    let value = redis::cmd("GET").arg(key).query(connection)?;
    Ok((key.clone(), value))
}

/// How often a key that was asked for was there, since the server began.
///
/// # Errors
/// Where the server does not say.
pub(crate) fn hits(connection: &mut Connection) -> Result<u64, BenchError> {
    let told: String = redis::cmd("INFO").arg("stats").query(connection)?;
    told.lines()
        .find_map(|line| line.strip_prefix("keyspace_hits:")?.trim().parse().ok())
        .ok_or_else(|| BenchError::failed("Redis does not say how many keys it found"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_table_is_read() {
        let printed = "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",\
                       \"p95_latency_ms\",\"p99_latency_ms\",\"max_latency_ms\"\n\
                       \"GET account:1:user:2\",\"68493.15\",\"0.384\",\"0.096\",\"0.367\",\"0.583\",\"0.791\",\"2.527\"\n";
        assert_eq!(read(printed), Some(68_493.15));
    }

    #[test]
    fn that_of_an_older_version_is_read() {
        assert_eq!(read("\"GET account:1:user:2\",\"68493.15\"\n\n"), Some(68_493.15));
    }

    #[test]
    fn what_is_no_table_is_none() {
        assert_eq!(read(""), None);
        assert_eq!(read("Could not connect to Redis at 127.0.0.1:1: Connection refused"), None);
        assert_eq!(read("\"test\",\"rps\"\n"), None);
        assert_eq!(read("\"GET k\",\"0.00\"\n"), None);
    }

    #[test]
    fn a_turn_takes_as_many_requests_as_fit_into_it() {
        assert_eq!(requests(70_000.0, Duration::from_millis(500)), 35_000);
        assert_eq!(requests(f64::INFINITY, Duration::from_secs(1)), MOST);
    }
}
