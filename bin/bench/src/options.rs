//! What a run is told on its command line.

use std::env;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::error::{BenchError, Doing};

/// How and what to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// The product to measure; the `daybook` beside this program where none is named.
    #[arg(long, global = true, value_name = "PATH")]
    daybook: Option<PathBuf>,
    /// Sets a variable in the product's environment; may be given several times. Otherwise it runs on its defaults.
    #[arg(long, global = true, value_name = "NAME=VALUE", value_parser = assignment)]
    pub(crate) daybook_env: Vec<(String, String)>,
    /// Rounds: product and control take one turn each.
    #[arg(long, global = true, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// Measured seconds of one turn.
    #[arg(long, global = true, default_value = "3", value_parser = seconds)]
    seconds: Duration,
    /// Seconds of load before a turn is measured.
    #[arg(long, global = true, default_value = "0.5", value_parser = seconds)]
    warm_up: Duration,
    /// Requests of one turn, at most.
    #[arg(long, global = true, default_value_t = 5_000_000, value_name = "COUNT")]
    most_requests: u64,
    /// Where the temporary folders (databases, servers, logs) go; the system's place for such where none is
    /// named. It must be on a real disk: in memory a durable sync costs nothing. As root, it must be one that
    /// other accounts can get to: PostgreSQL runs under another.
    #[arg(long, global = true, value_name = "PATH")]
    folder: Option<PathBuf>,
}

/// How long a turn lasts.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Pace {
    /// Load before the measuring.
    pub(crate) warm_up: Duration,
    /// The measuring.
    pub(crate) measured: Duration,
    /// The turn ends earlier after so many requests.
    pub(crate) most_requests: u64,
}

impl Pace {
    /// The requests of one of so many clients.
    pub(crate) fn share(self, clients: u32) -> u64 {
        (self.most_requests / u64::from(clients.max(1))).max(1)
    }
}

impl Options {
    /// How long a turn lasts.
    pub(crate) fn pace(&self) -> Pace {
        Pace { warm_up: self.warm_up, measured: self.seconds, most_requests: self.most_requests }
    }

    /// The product's binary.
    ///
    /// # Errors
    /// Where there is none.
    pub(crate) fn daybook(&self) -> Result<PathBuf, BenchError> {
        let path = match &self.daybook {
            Some(path) => path.clone(),
            None => beside_this_program("daybook")?,
        };
        path.canonicalize().doing(format!(
            "no product at {} (build it, or name it with --daybook)",
            path.display()
        ))
    }

    /// A setting of the product that was given with `--daybook-env`, where it is a number; for figures that run parts
    /// of the product in another process than its own.
    ///
    /// # Errors
    /// Where it is none.
    pub(crate) fn daybook_number(&self, name: &str) -> Result<Option<u32>, BenchError> {
        let given = self.daybook_env.iter().rfind(|(given, _)| given == name);
        let number = given.map(|(_, value)| value.parse()).transpose();
        number.map_err(|_| BenchError::failed(format!("{name} is not a number")))
    }

    /// Sees that whatever makes temporary folders of its own, as servers do, makes them in the folder that was
    /// named: where the environment says otherwise, this program begins anew.
    ///
    /// # Errors
    /// Where there is no such folder.
    pub(crate) fn settle_folder(&self) -> Result<(), BenchError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let folder = folder.canonicalize().doing(format!("looking for {}", folder.display()))?;
        if env::temp_dir() == folder {
            return Ok(());
        }
        let program = env::current_exe().doing("looking for this program's own path")?;
        let mut anew = Command::new(program);
        Err(anew.args(env::args_os().skip(1)).env("TMPDIR", folder).exec()).doing("beginning anew")
    }

    /// The folder in which temporary folders are made.
    pub(crate) fn base_folder(&self) -> PathBuf {
        self.folder.clone().unwrap_or_else(env::temp_dir)
    }

    /// A new folder that goes away with the value.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(crate) fn temporary_folder(&self) -> Result<TempDir, BenchError> {
        let base = self.base_folder();
        let made = base
            .canonicalize()
            .and_then(|base| tempfile::Builder::new().prefix("daybook-bench-").tempdir_in(base));
        made.doing(format!("making a folder in {}", base.display()))
    }
}

fn beside_this_program(name: &str) -> Result<PathBuf, BenchError> {
    let program = env::current_exe().doing("looking for this program's own path")?;
    Ok(program.parent().unwrap_or(Path::new(".")).join(name))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let duration = Duration::try_from_secs_f64(number).map_err(|error| error.to_string())?;
    if duration > Duration::from_hours(1) {
        return Err("more than an hour".to_owned());
    }
    Ok(duration)
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("no `=` in it")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_may_last_part_of_a_second_but_not_for_ever() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        assert!(seconds("-1").is_err());
        assert!(seconds("inf").is_err());
        assert!(seconds("4000").is_err());
    }

    #[test]
    fn a_variable_may_hold_an_equals_sign() {
        assert_eq!(assignment("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        assert!(assignment("A").is_err());
    }
}
