//! The product without HTTP, in a process of its own: its use cases, its relay or its worker, over its adapters.
//!
//! Put together as `daybook serve` does it, less what is not measured: no server, and only those of its background
//! tasks that the job needs.

mod orders;
mod parts;
mod payments;
mod relay;
mod tasks;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::controls::{raw_sqlite, this_program};
use crate::error::{BenchError, Doing};
use crate::load::{self, GRACE};
use crate::machine;
use crate::options::{Options, Pace};
use crate::process;
use crate::rounds::{Turn, as_float};
use crate::servers::OwnDatabase;

pub(crate) use tasks::{prefetch, sample};

/// How long the child may take before and after its turn.
const PATIENCE: Duration = Duration::from_mins(2);

/// What a child has to do.
#[derive(Deserialize, Serialize)]
pub(crate) struct Job {
    store: Store,
    pace: Pace,
    work: Work,
}

/// Where the database is.
#[derive(Deserialize, Serialize)]
enum Store {
    /// A file; it is made.
    Sqlite(PathBuf),
    /// A URL.
    Postgres(String),
}

/// What is measured.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) enum Work {
    /// Orders are created.
    Orders {
        /// Commands in flight.
        clients: u32,
    },
    /// Orders are paid from one account.
    Payments {
        /// How many at once.
        at_once: u32,
    },
    /// Tasks that are in the log are handed on to the broker.
    Relay {
        /// The broker.
        broker: Broker,
        /// How many.
        count: u64,
    },
    /// Tasks are put on the broker's queue, done and recorded.
    Tasks {
        /// The broker.
        broker: Broker,
        /// How many.
        count: u64,
        /// How many are done at a time.
        concurrency: u32,
    },
}

/// A queue of a broker.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Broker {
    /// Where the broker is.
    pub(crate) url: String,
    /// The queue; those beside it have names that begin with it.
    pub(crate) queue: String,
}

impl Broker {
    /// The names of the queues that the product declares.
    pub(crate) fn queues(&self) -> Vec<String> {
        ["", ".due", ".dead"].iter().map(|end| format!("{}{end}", self.queue)).collect()
    }
}

/// One turn at creating orders, on a new `SQLite` database.
///
/// # Errors
/// Where the child fails, or the run was asked to end.
pub(crate) fn on_sqlite(options: &Options, clients: u32) -> Result<Turn, BenchError> {
    let folder = options.temporary_folder()?;
    let database = folder.path().join("daybook.db");
    let Ran { outcome, used } =
        child(options, Store::Sqlite(database.clone()), Work::Orders { clients })?;
    let answers = outcome.answers.max(1);
    let mut turn = Turn::of_outcome(outcome, used);
    turn.disk_bytes = Some(as_float(raw_sqlite::database_bytes(&database)?) / as_float(answers));
    turn.batch = raw_sqlite::average_batch(&database)?;
    Ok(turn)
}

/// One turn at commands, on a new PostgreSQL database.
///
/// # Errors
/// Where the child fails, or the run was asked to end.
pub(crate) fn on_postgres(
    options: &Options,
    database: &OwnDatabase<'_>,
    work: Work,
) -> Result<Turn, BenchError> {
    let Ran { outcome, used } = child(options, Store::Postgres(database.url().to_owned()), work)?;
    let answers = outcome.answers.max(1);
    let mut turn = Turn::of_outcome(outcome, used);
    turn.disk_bytes = Some(database.bytes()? / as_float(answers));
    turn.batch = database.average_batch()?;
    Ok(turn)
}

/// One turn of a number of tasks, on a new PostgreSQL database and a new queue.
///
/// # Errors
/// Where the child fails, or the run was asked to end.
pub(crate) fn with_broker(
    options: &Options,
    database: &OwnDatabase<'_>,
    work: Work,
) -> Result<Turn, BenchError> {
    let Ran { outcome, used } = child(options, Store::Postgres(database.url().to_owned()), work)?;
    let turn = Turn::of_count(outcome.answers, outcome.measured, used);
    Ok(Turn { failures: outcome.failures, ..turn })
}

/// What the child prints.
#[derive(Deserialize, Serialize)]
struct Ran {
    outcome: load::Outcome,
    /// Processor time of what was measured: the product without its servers, and the clients, which are a loop each.
    used: Option<Duration>,
}

fn child(options: &Options, store: Store, work: Work) -> Result<Ran, BenchError> {
    let pace = options.pace();
    let job = serde_json::to_string(&Job { store, pace, work }).map_err(|e| unreadable(&e))?;
    let folder = options.temporary_folder()?;
    let mut command = this_program()?;
    command.arg("product").arg(job);
    let patience = pace.warm_up + pace.measured + GRACE + PATIENCE;
    let printed = process::run_to_end("product", &mut command, folder.path(), patience)?;
    serde_json::from_str(&printed).map_err(|error| unreadable(&error))
}

fn unreadable(error: &serde_json::Error) -> BenchError {
    BenchError::failed(format!("what was said between this program and its child: {error}"))
}

/// The child: does its job and prints what came of it.
///
/// # Errors
/// Where an engine fails. Commands that fail are no error here: they are counted.
pub(crate) fn run(job: &str) -> Result<(), BenchError> {
    let job: Job = serde_json::from_str(job).map_err(|error| unreadable(&error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ran = runtime.doing("starting the runtime")?.block_on(job.put())?;
    println!("{}", serde_json::to_string(&ran).map_err(|error| unreadable(&error))?);
    Ok(())
}

impl Job {
    async fn put(self) -> Result<Ran, BenchError> {
        let product = parts::Product::open(&self.store).await?;
        let ran = match &self.work {
            Work::Orders { clients } => orders::put(&product, *clients, self.pace).await,
            Work::Payments { at_once } => payments::put(&product, *at_once, self.pace).await,
            Work::Relay { broker, count } => relay::put(&product, broker, *count).await,
            Work::Tasks { broker, count, concurrency } => {
                tasks::put(&product, broker, *count, *concurrency).await
            }
        };
        product.close().await?;
        ran
    }
}

/// Notes what the process uses while something is measured.
struct Meter(Option<Duration>);

impl Meter {
    fn start() -> Self {
        Self(machine::process_time(std::process::id()))
    }

    fn used(&self) -> Option<Duration> {
        let now = machine::process_time(std::process::id());
        self.0.zip(now).map(|(before, after)| after.saturating_sub(before))
    }
}

#[cfg(test)]
mod tests;
