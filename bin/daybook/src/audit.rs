//! `verify` and `rebuild`: what is stored, beside what the log says.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use daybook_application::{
    Difference, IdentityKeeper, ReadCache, Reads, Rebuild, Rebuilt, Replace, Verify, Watcher,
};
use daybook_database::{Database, DatabaseSettings, Migrate};
use daybook_events::{Cache, Clock, Overdue, QueueError, Task, TaskRepository, Timestamp};
use daybook_redis::RedisCache;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{CommonOptions, VerifyOptions};
use crate::engines::{connect_redis, database};
use crate::startup::{StartupError, say};
use crate::system::SystemClock;

/// The exit code where something differs.
const DIFFERS: u8 = 1;
/// The exit code where it could not be looked at.
pub(crate) const NOT_LOOKED_AT: u8 = 2;
/// How long Redis is waited for at the start.
const REDIS_PATIENCE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long a task has been due when it is told of.
const OVERDUE: Duration = Duration::from_mins(1);

pub(crate) async fn verify(
    common: &CommonOptions,
    options: &VerifyOptions,
) -> Result<ExitCode, StartupError> {
    let database = open(common).await?;
    let watcher = Shown::new(options.limit);
    let verified = Verify::new(Arc::new(database.clone())).run(&watcher).await;
    watcher.bar.finish_and_clear();
    let overdue = overdue(&database, options.limit).await;
    database.close().await;
    let overdue = overdue.map_err(|error| StartupError::Failed(error.to_string()))?;
    let report = verified.map_err(|error| StartupError::Failed(error.to_string()))?;
    show_overdue(&overdue, options.limit)?;
    if report.unasked_tasks > 0 {
        let count = report.unasked_tasks;
        say(format_args!("{count} tasks were not asked for by the log, which is no difference"))?;
    }
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

/// Tasks that have been due for a minute and are not begun, and how many there are. That is no
/// difference: the record is right, and nobody has done them yet.
async fn overdue(database: &Database, limit: u64) -> Result<(Vec<Task>, u64), QueueError> {
    let before = SystemClock.now().minus(OVERDUE);
    let all = Overdue { before, put_back_before: Timestamp::from_micros(i64::MAX), doubled: None };
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let tasks = TaskRepository::overdue(database, &all, limit).await?;
    Ok((tasks, database.count_overdue(before).await?))
}

fn show_overdue((tasks, count): &(Vec<Task>, u64), limit: u64) -> Result<(), StartupError> {
    if *count == 0 {
        return Ok(());
    }
    for task in tasks {
        let (id, since) = (task.id, task.run_at.max(task.created_at));
        say(format_args!("task {id} has been due since {since} and is not begun"))?;
    }
    let unshown = count.saturating_sub(limit);
    if unshown > 0 {
        say(format_args!("… and {unshown} more"))?;
    }
    say(format_args!("{count} tasks are overdue, which is no difference"))?;
    Ok(())
}

pub(crate) async fn rebuild(common: &CommonOptions) -> Result<(), StartupError> {
    let redis = connect_redis(&common.redis)?;
    let database = open(common).await?;
    let settings = database::settings(&common.database)?;
    // A server on an SQLite file goes on with what it remembers; it is told of nothing.
    let (held, replace) = match database::hold(&settings) {
        Ok(held) => (held, Replace::Allowed),
        Err(StartupError::DatabaseInUse(_)) => (None, Replace::Forbidden),
        Err(error) => return Err(error),
    };
    let identity = IdentityKeeper::of(Arc::new(database.clone())).await;
    let identity = identity.map_err(|error| StartupError::Failed(error.to_string()))?;
    let cache = redis.map(|redis| RedisCache::new(redis, identity.present().clone()));
    let books = Arc::new(database.clone());
    if let Some(cache) = &cache {
        connected(cache).await;
    }
    let cache = cache.map(|cache| ReadCache {
        cache: Arc::new(cache),
        ttl: Duration::ZERO,
        absent_ttl: Duration::ZERO,
        repair: None,
    });
    let reads = Reads::new(books.clone(), books.clone(), cache);
    let watcher = Shown::new(0);
    let ended = Rebuild::new(books.clone(), books, reads).run(replace, &watcher).await;
    watcher.bar.finish_and_clear();
    database.close().await;
    drop(held);
    let Rebuilt { events, accounts, orders, postings, uncached } =
        ended.map_err(|error| StartupError::Failed(error.to_string()))?;
    say(format_args!(
        "{events} events; replaced: {accounts} accounts, {orders} orders, the postings of \
         {postings} events"
    ))?;
    match uncached {
        0 => Ok(()),
        _ => Err(StartupError::Failed(format!(
            "{uncached} replies could not be dropped from Redis; they are outdated until they expire"
        ))),
    }
}

/// Waits, not for long, until Redis can be told.
async fn connected(cache: &RedisCache) {
    let began = tokio::time::Instant::now();
    while cache.check().await.is_err() {
        if began.elapsed() > REDIS_PATIENCE {
            tracing::warn!("Redis can't be reached");
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
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
