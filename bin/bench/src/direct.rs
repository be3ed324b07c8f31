//! The product without HTTP: its commands over its appender and its database, in a process of their own.
//!
//! Put together as `daybook serve` does it by default, less what is not a command: no server, no relay, no worker.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use daybook_application::{
    Appender, AppenderSettings, AppenderTask, Caller, CommandError, Commands, NewOrder, Outcome,
    Passwords, Ports, ReadCache, Reads, Receipt, Request, Tail,
};
use daybook_database::{Database, DatabaseSettings, Migrate, SqliteSettings};
use daybook_events::{Clock, HolderId, IdSource, Timestamp};
use daybook_memory::MemoryCache;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::controls::{raw_sqlite, this_program};
use crate::error::{BenchError, Doing};
use crate::load::{self, GRACE, Tally, Window};
use crate::machine;
use crate::options::{Options, Pace};
use crate::process;
use crate::rounds::{Turn, as_float};

/// How long the child may take before and after its turn.
const PATIENCE: Duration = Duration::from_secs(30);

const READERS: u32 = 4;
const QUEUE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4_095);
const BATCH: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1_023);
const STATES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(16_383);
const DECISIONS: u32 = 8;
const TAIL: usize = 8_192;
const CACHE_BYTES: u64 = 64 << 20;
const CACHE_TTL: Duration = Duration::from_mins(10);
const ABSENT_TTL: Duration = Duration::from_mins(1);

/// One turn at creating orders, in a child, on a new database.
///
/// # Errors
/// Where the child fails, or the run was asked to end.
pub(crate) fn turn(options: &Options, clients: u32) -> Result<Turn, BenchError> {
    let folder = options.temporary_folder()?;
    let database = folder.path().join("daybook.db");
    let pace = options.pace();
    let seconds = |duration: Duration| duration.as_secs_f64().to_string();
    let mut command = this_program()?;
    command.arg("product-commands").arg(&database).arg(clients.to_string());
    command.args(["--warm-up", &seconds(pace.warm_up), "--seconds", &seconds(pace.measured)]);
    command.args(["--most-requests", &pace.most_requests.to_string()]);
    let patience = pace.warm_up + pace.measured + GRACE + PATIENCE;
    let printed = process::run_to_end("product-commands", &mut command, folder.path(), patience)?;
    let Ran { outcome, used } =
        serde_json::from_str(&printed).map_err(|error| unreadable(&error))?;
    let answers = outcome.answers.max(1);
    let mut turn = Turn::of_outcome(outcome, used);
    turn.disk_bytes = Some(as_float(raw_sqlite::database_bytes(&database)?) / as_float(answers));
    turn.batch = raw_sqlite::average_batch(&database)?;
    Ok(turn)
}

/// What the child prints.
#[derive(Deserialize, Serialize)]
struct Ran {
    outcome: load::Outcome,
    /// Processor time of the turn: commands, appender, database, and the clients, which are a loop each.
    used: Option<Duration>,
}

fn unreadable(error: &serde_json::Error) -> BenchError {
    BenchError::failed(format!("what the child printed: {error}"))
}

/// The child: creates orders in `database` and prints what came of it.
///
/// # Errors
/// Where the database or the appender fails. Commands that fail are no error here: they are counted.
pub(crate) fn run(database: &Path, clients: u32, pace: Pace) -> Result<(), BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ran = runtime.doing("starting the runtime")?.block_on(put(database, clients, pace))?;
    println!("{}", serde_json::to_string(&ran).map_err(|error| unreadable(&error))?);
    Ok(())
}

async fn put(file: &Path, clients: u32, pace: Pace) -> Result<Ran, BenchError> {
    let settings =
        DatabaseSettings::Sqlite(SqliteSettings { file: file.to_owned(), readers: READERS });
    let opened = Database::open(&settings, Migrate::Up).await;
    let database = opened.map_err(|error| BenchError::failed(error.to_string()))?;
    let (commands, appender) = commands(&database);
    let appending = tokio::spawn(appender.run());

    let caller = Caller { holder_id: HolderId::from_uuid(Uuid::now_v7()), operator: false };
    let time = || machine::process_time(std::process::id());
    let before = time();
    let window = Window::of(pace);
    let share = pace.share(clients);
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        tasks.spawn(client(commands.clone(), caller, window, share));
    }
    drop(commands);
    let outcome = load::gather(&mut tasks, window).await?;
    let used = before.zip(time()).map(|(before, after)| after.saturating_sub(before));

    // With the last client the appender ends.
    tasks.shutdown().await;
    appending.await.map_err(|error| BenchError::failed(format!("the appender: {error}")))?;
    database.close().await;
    Ok(Ran { outcome, used })
}

/// One order after the other, each waited for.
async fn client(commands: Commands, caller: Caller, window: Window, share: u64) -> Tally {
    let mut sent = Instant::now();
    let mut tally = Tally::new(sent);
    for _ in 0..share {
        // What POST /orders without a body comes to.
        let request = Request { correlation_id: Some(Uuid::now_v7()), ..Request::default() };
        let ended = commands.create_order(&caller, NewOrder::default(), request).await;
        let now = Instant::now();
        let unexpected = unexpected(&ended);
        let time_left = tally.note(window, sent, now, unexpected.is_none());
        if let Some(unexpected) = unexpected {
            tally.failures.add(|| unexpected);
            break;
        }
        if !time_left {
            break;
        }
        sent = now;
    }
    tally
}

/// What came instead of a new order.
fn unexpected(ended: &Result<Outcome, CommandError>) -> Option<String> {
    match ended {
        Ok(Outcome { result: Ok(Receipt::OrderCreated(_)), replayed: false, .. }) => None,
        Ok(other) => Some(format!("{other:?}")),
        Err(error) => Some(error.to_string()),
    }
}

/// The use cases over this database, and the task that has to run for them.
fn commands(database: &Database) -> (Commands, AppenderTask) {
    let shared = Arc::new(database.clone());
    let (clock, ids): (Arc<dyn Clock>, Arc<dyn IdSource>) = (Arc::new(Now), Arc::new(Ids));
    let cache = ReadCache {
        cache: Arc::new(MemoryCache::new(CACHE_BYTES)),
        ttl: CACHE_TTL,
        absent_ttl: ABSENT_TTL,
    };
    let reads = Reads::new(shared.clone(), shared.clone(), Some(cache));
    let ports = Ports {
        journal: shared.clone(),
        accounts: shared.clone(),
        orders: shared.clone(),
        holders: shared.clone(),
        tasks: shared.clone(),
        clock: Arc::clone(&clock),
        ids: Arc::clone(&ids),
    };
    let settings =
        AppenderSettings { queue: QUEUE, batch: BATCH, states: STATES, decisions: DECISIONS };
    let (appender, task) = Appender::new(ports, settings, reads, Arc::new(Tail::new(TAIL)));
    let at_once = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let passwords = Passwords::new(at_once, at_once);
    (Commands::new(appender, passwords, shared, clock, ids), task)
}

struct Now;

impl Clock for Now {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

struct Ids;

impl IdSource for Ids {
    fn next(&self) -> Uuid {
        Uuid::now_v7()
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn every_answered_command_is_an_order_in_the_database() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("daybook.db");
        let pace = Pace {
            warm_up: Duration::ZERO,
            measured: Duration::from_mins(1),
            most_requests: 8 * 16,
        };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let ran = runtime.block_on(put(&file, 16, pace)).unwrap();
        let printed = serde_json::to_string(&ran).unwrap();
        let Ran { outcome, .. } = serde_json::from_str(&printed).unwrap();
        assert_eq!(outcome.failures.count, 0, "{:?}", outcome.failures);
        assert_eq!((outcome.answers, outcome.latencies.count()), (128, 128));

        let connection = Connection::open(&file).unwrap();
        for table in ["events", "orders"] {
            let count = format!("SELECT count(*) FROM {table}");
            let rows: u32 = connection.query_row(&count, [], |row| row.get(0)).unwrap();
            assert_eq!(rows, 128, "{table}");
        }
        assert!(raw_sqlite::average_batch(&file).unwrap().unwrap() >= 1.0);
    }

    /// The control writes to the same tables, and rows as large.
    #[test]
    fn the_control_is_made_like_the_product() {
        let folder = tempfile::tempdir().unwrap();
        let [product, control] = ["daybook.db", "control.db"].map(|name| folder.path().join(name));
        let pace =
            Pace { warm_up: Duration::ZERO, measured: Duration::from_mins(1), most_requests: 1 };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(put(&product, 1, pace)).unwrap();
        raw_sqlite::turn(&control, pace).unwrap();

        let schema = "SELECT group_concat(sql, ';') FROM (SELECT sql FROM sqlite_master \
                      WHERE tbl_name IN ('events', 'orders') AND sql IS NOT NULL ORDER BY name)";
        let event = "SELECT concat_ws(' ', typeof(id), length(stream), version, event_type, \
                     typeof(entry_id), typeof(owner_id), typeof(order_id), typeof(timestamp), \
                     length(json_remove(data, '$.created_at')), length(metadata)) FROM events LIMIT 1";
        let order = "SELECT concat_ws(' ', typeof(id), typeof(holder_id), status, typeof(currency), \
                     typeof(lines), paid, typeof(account_id), typeof(created_at), version) \
                     FROM orders LIMIT 1";
        for query in [schema, event, order] {
            let [product, control] = [&product, &control].map(|file| {
                let connection = Connection::open(file).unwrap();
                let told: String = connection.query_row(query, [], |row| row.get(0)).unwrap();
                told.split_whitespace().collect::<Vec<_>>().join(" ")
            });
            assert_eq!(product, control);
        }
    }
}
