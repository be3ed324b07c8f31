//! `verify`: is what is stored what the log says?

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use daybook_application::{Difference, Verify, Watcher};
use daybook_database::{Database, DatabaseSettings, Migrate};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{CommonOptions, VerifyOptions};
use crate::engines::database;
use crate::startup::{StartupError, say};

/// The exit code where something differs.
const DIFFERS: u8 = 1;
/// The exit code where it could not be looked at.
pub(crate) const NOT_LOOKED_AT: u8 = 2;

pub(crate) async fn verify(
    common: &CommonOptions,
    options: &VerifyOptions,
) -> Result<ExitCode, StartupError> {
    let database = open(common).await?;
    let watcher = Shown::new(options.limit);
    let verified = Verify::new(Arc::new(database.clone())).run(&watcher).await;
    watcher.bar.finish_and_clear();
    database.close().await;
    let report = verified.map_err(|error| StartupError::Failed(error.to_string()))?;
    let unshown = report.differences.saturating_sub(options.limit);
    if unshown > 0 {
        say(format_args!("… and {unshown} more"))?;
    }
    say(format_args!("{} events checked, {} differences", report.events, report.differences))?;
    Ok(match report.differences {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(DIFFERS),
    })
}

/// Opens the database as it is: neither is its schema changed, nor a file made.
async fn open(common: &CommonOptions) -> Result<Database, StartupError> {
    let settings = database::settings(&common.database)?;
    if let DatabaseSettings::Sqlite(sqlite) = &settings
        && !tokio::fs::try_exists(&sqlite.file).await?
    {
        return Err(StartupError::NoDatabase(sqlite.file.clone()));
    }
    Ok(Database::open(&settings, Migrate::Check).await?)
}

/// Differences on standard output; how far it is on standard error, where that is a terminal.
struct Shown {
    bar: ProgressBar,
    left: AtomicU64,
}

impl Shown {
    fn new(limit: u64) -> Self {
        // Nothing is drawn where standard error is no terminal.
        let bar = ProgressBar::new(0);
        let style =
            ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} events, {eta}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self { bar, left: AtomicU64::new(limit) }
    }
}

impl Watcher for Shown {
    fn found(&self, difference: &Difference) {
        let fewer = |left: u64| left.checked_sub(1);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok() {
            // Whoever stops reading still gets the exit code.
            let _ = self.bar.suspend(|| say(difference));
        }
    }

    fn progress(&self, done: u64, all: u64) {
        self.bar.set_length(all);
        self.bar.set_position(done);
    }
}
