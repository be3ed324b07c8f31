//! The engines behind the ports.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::num::{NonZeroU32, NonZeroUsize};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use daybook_application::{
    Appender, AppenderSettings, AppenderTask, Commands, EmailHandler, Mailer, Passwords, Ports,
    ReadCache, Reads, RetryPolicy, Tail, TaskHandler, TextHandler, Worker, WorkerSettings,
};
use daybook_database::{Database, DatabaseQueue, DatabaseSettings, OpenError};
use daybook_events::{Clock, IdSource, TaskKind};
use daybook_smtp::{LogMailer, SmtpMailer};
use tokio::sync::Notify;

use crate::cli::WorkerOptions;
use crate::startup::StartupError;
use crate::system::{SystemClock, Uuids};

const READERS: u32 = 4;
/// How many events of the last commits stay in memory for the relay.
const TAIL: usize = 8_192;
/// How often a command is decided again when others moved what it depends on.
const DECISIONS: u32 = 8;
/// How long it is remembered that there is no such account or order.
const ABSENT_TTL: Duration = Duration::from_mins(1);
const WORKER_POLL: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// The engines that the environment names and this version does not have.
const OTHER_ENGINES: [&str; 3] = ["REDIS_URL", "REDIS_ADDR", "AMQP_URL"];

/// The file that a `sqlite://` URL names.
pub(crate) fn database_file(url: &str) -> Result<PathBuf, StartupError> {
    let rest = url.strip_prefix("sqlite:").ok_or(StartupError::DatabaseUrl(
        "this version keeps its data in an SQLite file: give sqlite://path/to/daybook.db",
    ))?;
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let path = path.split('?').next().unwrap_or_default();
    if path.is_empty() || path == ":memory:" {
        return Err(StartupError::DatabaseUrl(
            "give a file, as in sqlite://daybook.db: memory is not durable",
        ));
    }
    Ok(PathBuf::from(path))
}

/// Nobody should believe to run on an engine that is not used.
pub(crate) fn refuse_other_engines() -> Result<(), StartupError> {
    let named = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    match OTHER_ENGINES.into_iter().find(named) {
        Some(name) => Err(StartupError::NoSuchEngine(name)),
        None => Ok(()),
    }
}

/// Holds the database for one server: its cache is right only while nobody else writes accounts.
/// The file itself is locked, so that no other name of it gets around; the lock goes with the
/// process, however it ends. SQLite's own locks are of another kind and don't meet it.
pub(crate) fn lock(file: &Path) -> Result<File, StartupError> {
    let unusable =
        |error: io::Error| OpenError::Unusable { file: file.to_owned(), reason: error.to_string() };
    let held = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(file);
    let held = held.map_err(unusable)?;
    match held.try_lock() {
        Ok(()) => Ok(held),
        Err(TryLockError::WouldBlock) => Err(StartupError::DatabaseInUse(file.to_owned())),
        Err(TryLockError::Error(error)) => Err(unusable(error).into()),
    }
}

/// The database with everything that the application asks of it.
pub(crate) struct Engines {
    pub database: Database,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn IdSource>,
    pub tail: Arc<Tail>,
}

/// Bounds of a process's appender and cache.
pub(crate) struct Bounds {
    pub queue: NonZeroUsize,
    pub batch: NonZeroUsize,
    pub states: NonZeroUsize,
}

impl Engines {
    /// Opens the database that a URL names.
    pub(crate) async fn open(database_url: &str) -> Result<Self, StartupError> {
        refuse_other_engines()?;
        let file = database_file(database_url)?;
        let database = Database::open(&DatabaseSettings { file, readers: READERS }).await?;
        let tail = Arc::new(Tail::new(TAIL));
        Ok(Self { database, clock: Arc::new(SystemClock), ids: Arc::new(Uuids), tail })
    }

    fn port<T: ?Sized>(&self, port: impl Fn(Arc<Database>) -> Arc<T>) -> Arc<T> {
        port(Arc::new(self.database.clone()))
    }

    pub(crate) fn ports(&self) -> Ports {
        Ports {
            journal: self.port(|d| d),
            accounts: self.port(|d| d),
            orders: self.port(|d| d),
            holders: self.port(|d| d),
            tasks: self.port(|d| d),
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
        }
    }

    pub(crate) fn reads(&self, cache: Option<(Arc<dyn daybook_events::Cache>, Duration)>) -> Reads {
        let cache =
            cache.map(|(cache, ttl)| ReadCache { cache, ttl, absent_ttl: ABSENT_TTL.min(ttl) });
        Reads::new(self.port(|d| d), self.port(|d| d), cache)
    }

    /// The use cases that change something, and the task that has to run for them.
    pub(crate) fn commands(&self, reads: Reads, bounds: &Bounds) -> (Commands, AppenderTask) {
        let settings = AppenderSettings {
            queue: bounds.queue,
            batch: bounds.batch,
            states: bounds.states,
            decisions: DECISIONS,
        };
        let (appender, task) = Appender::new(self.ports(), settings, reads, Arc::clone(&self.tail));
        let at_once = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        // As many may wait as are done in some two seconds.
        let passwords = Passwords::new(at_once, at_once * 64);
        let (clock, ids) = (Arc::clone(&self.clock), Arc::clone(&self.ids));
        (Commands::new(appender, passwords, self.port(|d| d), clock, ids), task)
    }

    /// A worker on the queue in the database.
    pub(crate) fn worker(
        &self,
        options: &WorkerOptions,
        grace: Duration,
        new_tasks: Arc<Notify>,
    ) -> Result<Worker, StartupError> {
        let mailer: Arc<dyn Mailer> = match options.mail_server() {
            Some(url) => Arc::new(SmtpMailer::new(url, &options.mail_from)?),
            None => Arc::new(LogMailer),
        };
        let handlers: HashMap<&'static str, Arc<dyn TaskHandler>> = HashMap::from([
            (TaskKind::SEND_EMAIL, Arc::new(EmailHandler::new(mailer)) as Arc<dyn TaskHandler>),
            (TaskKind::TEXT, Arc::new(TextHandler::new(options.text_task_duration))),
        ]);
        let settings = WorkerSettings {
            concurrency: options.tasks.get(),
            lease: options.task_lease,
            poll: WORKER_POLL,
            grace,
            retry: RetryPolicy {
                attempts: options.task_attempts.get(),
                first_pause: options.task_pause,
                longest_pause: LONGEST_PAUSE,
            },
        };
        let queue = DatabaseQueue::new(self.database.clone(), Arc::clone(&self.clock));
        Ok(Worker::new(Arc::new(queue), Arc::clone(&self.clock), handlers, settings, new_tasks))
    }
}

/// A rate of zero is no limit.
pub(crate) const fn rate(per_second: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(per_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlite_url_names_a_file() {
        let file = |url| database_file(url).unwrap();
        assert_eq!(file("sqlite://daybook.db"), PathBuf::from("daybook.db"));
        assert_eq!(
            file("sqlite:///var/lib/daybook/a b.db"),
            PathBuf::from("/var/lib/daybook/a b.db")
        );
        assert_eq!(file("sqlite:daybook.db?mode=rwc"), PathBuf::from("daybook.db"));
        for url in
            ["", "daybook.db", "sqlite:", "sqlite::memory:", "mysql://root:secret@localhost/x"]
        {
            let error = database_file(url).unwrap_err().to_string();
            assert!(
                error.starts_with("DATABASE_URL: ") && !error.contains("secret"),
                "{url}: {error}"
            );
        }
    }

    #[test]
    fn a_database_is_held_by_one_server() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("daybook.db");
        let held = lock(&file).unwrap();
        let (link, hard_link) = (folder.path().join("link.db"), folder.path().join("hard.db"));
        std::os::unix::fs::symlink(&file, &link).unwrap();
        std::fs::hard_link(&file, &hard_link).unwrap();
        for name in [&file, &link, &hard_link] {
            assert!(
                matches!(lock(name), Err(StartupError::DatabaseInUse(_))),
                "{}",
                name.display()
            );
        }
        drop(held);
        assert!(lock(&file).is_ok());
    }
}
