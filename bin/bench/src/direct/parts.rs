//! The parts of the product, as `daybook serve` puts them together.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use daybook_application::{
    Appender, AppenderSettings, AppenderTask, Caller, Commands, Passwords, Ports, ReadCache, Reads,
    Tail, TailBounds,
};
use daybook_database::{Database, DatabaseSettings, Migrate, PostgresSettings, SqliteSettings};
use daybook_events::{Clock, HolderId, IdSource, Timestamp};
use daybook_memory::MemoryCache;
use daybook_rabbitmq::{RabbitQueue, RabbitSettings};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{Broker, Store};
use crate::error::BenchError;

const READERS: u32 = 4;
const CONNECTIONS: u32 = 16;
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);
const QUEUE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4_095);
const BATCH: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1_023);
const STATES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(16_383);
const DECISIONS: u32 = 8;
const TAIL: usize = 8_192;
const CACHE_BYTES: u64 = 64 << 20;
const CACHE_TTL: Duration = Duration::from_mins(10);
const ABSENT_TTL: Duration = Duration::from_mins(1);

/// The use cases over a database, and what has to run for them.
pub(super) struct Product {
    pub(super) database: Database,
    pub(super) commands: Commands,
    pub(super) caller: Caller,
    appending: JoinHandle<()>,
}

impl Product {
    pub(super) async fn open(store: &Store) -> Result<Self, BenchError> {
        let settings = match store {
            Store::Sqlite(file) => {
                DatabaseSettings::Sqlite(SqliteSettings { file: file.clone(), readers: READERS })
            }
            Store::Postgres(url) => DatabaseSettings::Postgres(PostgresSettings {
                url: url.clone(),
                connections: CONNECTIONS,
                statement_timeout: STATEMENT_TIMEOUT,
            }),
        };
        let database = Database::open(&settings, Migrate::Up).await.map_err(failed)?;
        let (commands, appender) = commands(&database, matches!(store, Store::Sqlite(_)));
        let caller = Caller { holder_id: HolderId::from_uuid(Uuid::now_v7()), operator: false };
        Ok(Self { database, commands, caller, appending: tokio::spawn(appender.run()) })
    }

    pub(super) async fn close(self) -> Result<(), BenchError> {
        // With the last of the commands the appender ends.
        drop(self.commands);
        self.appending.await.map_err(failed)?;
        self.database.close().await;
        Ok(())
    }
}

/// Anything that ends a job.
pub(super) fn failed(error: impl std::fmt::Display) -> BenchError {
    BenchError::failed(error.to_string())
}

fn commands(database: &Database, cached: bool) -> (Commands, AppenderTask) {
    let shared = Arc::new(database.clone());
    let (clock, ids): (Arc<dyn Clock>, Arc<dyn IdSource>) = (Arc::new(Now), Arc::new(Ids));
    // On a server, which others may write to, only a cache that they share is right; here is none.
    let cache = cached.then(|| ReadCache {
        cache: Arc::new(MemoryCache::new(CACHE_BYTES)),
        ttl: CACHE_TTL,
        absent_ttl: ABSENT_TTL,
        repair: None,
    });
    let reads = Reads::new(shared.clone(), shared.clone(), cache);
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
    let (appender, task) = Appender::new(ports, settings, reads, new_tail());
    let at_once = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let passwords = Passwords::new(at_once);
    (Commands::new(appender, passwords, shared, clock, ids), task)
}

/// An empty end of the log.
pub(super) fn new_tail() -> Arc<Tail> {
    Arc::new(Tail::new(TailBounds { events: TAIL, bytes: 8 << 20 }))
}

/// A queue on the broker, connected to for sending; `new_tasks` is told of what comes.
pub(super) async fn queue(
    broker: &Broker,
    records: Option<&Database>,
    prefetch: u16,
    new_tasks: Arc<Notify>,
) -> Result<RabbitQueue, BenchError> {
    let settings = RabbitSettings {
        queue: broker.queue.clone(),
        prefetch,
        ..RabbitSettings::new(&broker.url)
    };
    let records = records.map(|database| {
        Arc::new(daybook_database::DatabaseQueue::new(database.clone(), Arc::new(Now))) as _
    });
    let queue = RabbitQueue::new(&settings, records, Arc::new(Now), new_tasks).map_err(failed)?;
    queue.connect_patiently().await.map_err(failed)?;
    Ok(queue)
}

/// The system's clock.
pub(super) struct Now;

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
