//! The engines behind the ports.

mod credentials;
pub(crate) mod database;
pub(crate) mod queue;
mod redis;
pub(crate) mod schedules;
mod secret;

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use daybook_application::{
    Appender, AppenderSettings, AppenderTask, Commands, ForkWatch, IdentityKeeper, Passwords,
    Ports, ReadCache, Reads, Repair, StreamLimits, Tail, TailBounds,
};
use daybook_database::{Database, DatabaseQueue, DatabaseSettings, Heard, Watch};
use daybook_events::{Cache, Clock, Election, IdSource, TaskQueue};
use daybook_redis::{Redis, RedisWitness};
use tokio::sync::Notify;

use crate::cli::{AmqpOptions, CommonOptions};
use crate::engines::queue::{Queue, rabbit_settings};
use crate::serve::CACHE_RELAY;
use crate::startup::StartupError;
use crate::system::{SystemClock, Uuids};
use crate::wrap::Wrap;

pub(crate) use redis::connect as connect_redis;

/// How many events of the last commits stay in memory for those who follow the log.
pub(crate) const TAIL: usize = 8_192;
/// How many bytes they may take, where nothing else is said.
const TAIL_BYTES: usize = 8 * 1024 * 1024;
/// How often a command is decided again when others moved what it depends on.
const DECISIONS: u32 = 64;
/// How long it is remembered that there is no such account or order.
const ABSENT_TTL: Duration = Duration::from_mins(1);

/// What the application asks the outside for, but for the queue.
pub(crate) struct Engines {
    pub settings: DatabaseSettings,
    pub database: Database,
    pub redis: Option<Redis>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn IdSource>,
    pub tail: Arc<Tail>,
    /// Which installation this is. It is kept as the database has it while its task runs.
    pub identity: IdentityKeeper,
    wrap: Arc<dyn Wrap>,
}

/// Bounds of a process's appender and cache.
pub(crate) struct Bounds {
    pub queue: NonZeroUsize,
    pub batch: NonZeroUsize,
    pub states: NonZeroUsize,
    pub streams: StreamLimits,
}

impl Bounds {
    /// Of a program that does one thing after the other, and streams nothing.
    pub(crate) const SMALLEST: Self = Self {
        queue: NonZeroUsize::MIN,
        batch: NonZeroUsize::MIN,
        states: NonZeroUsize::MIN,
        streams: StreamLimits::NONE,
    };
}

impl Engines {
    /// Opens the database, and begins to connect to Redis.
    pub(crate) async fn open(
        options: &CommonOptions,
        wrap: Arc<dyn Wrap>,
    ) -> Result<Self, StartupError> {
        credentials::check(options)?;
        let redis = connect_redis(&options.redis)?;
        let settings = database::settings(&options.database)?;
        let database = database::open(&options.database, &settings).await?;
        let identity = IdentityKeeper::of(Arc::new(database.clone()))
            .await
            .map_err(|error| StartupError::Failed(error.to_string()))?;
        let tail = Arc::new(Tail::new(TailBounds { events: TAIL, bytes: TAIL_BYTES }));
        let (clock, ids) = (wrap.clock(Arc::new(SystemClock)), Arc::new(Uuids));
        Ok(Self { settings, database, redis, clock, ids, tail, identity, wrap })
    }

    fn port<T: ?Sized>(&self, port: impl Fn(Arc<Database>) -> Arc<T>) -> Arc<T> {
        port(Arc::new(self.database.clone()))
    }

    pub(crate) fn ports(&self) -> Ports {
        Ports {
            journal: self.wrap.journal(self.port(|d| d)),
            accounts: self.port(|d| d),
            orders: self.port(|d| d),
            holders: self.port(|d| d),
            tasks: self.port(|d| d),
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
        }
    }

    pub(crate) fn election(&self) -> Arc<dyn Election> {
        self.port(|d| d)
    }

    /// The record of tasks, which on its own is a queue as well.
    pub(crate) fn task_records(&self) -> DatabaseQueue {
        DatabaseQueue::new(self.database.clone(), Arc::clone(&self.clock))
    }

    /// The queue that is configured. `new_tasks` is woken when there is something on it.
    pub(crate) fn queue(
        &self,
        options: &AmqpOptions,
        tasks: u32,
        new_tasks: &Arc<Notify>,
    ) -> Result<Queue, StartupError> {
        let settings = rabbit_settings(options, tasks, Some(self.identity.present()))?;
        let (records, clock) = (self.task_records(), Arc::clone(&self.clock));
        queue::queue(settings, records, clock, Arc::clone(new_tasks))
    }

    /// The queue as a worker gets it.
    pub(crate) fn for_worker(&self, queue: &Queue) -> Arc<dyn TaskQueue> {
        self.wrap.queue(queue.port())
    }

    /// Hears of what other instances commit, for as long as it is kept.
    pub(crate) fn watch(&self, new_tasks: Arc<Notify>) -> Watch {
        let tail = Arc::clone(&self.tail);
        self.database.watch(move |heard| {
            if matches!(heard, Heard::Events | Heard::Everything) {
                tail.nudge();
            }
            if matches!(heard, Heard::Tasks | Heard::Everything) {
                new_tasks.notify_one();
            }
        })
    }

    pub(crate) fn reads(&self, cache: Option<(Arc<dyn Cache>, Duration)>) -> Reads {
        let cache = cache.map(|(cache, ttl)| ReadCache {
            cache: self.wrap.cache(cache),
            ttl,
            absent_ttl: ABSENT_TTL.min(ttl),
            // What is in the process is new with it, and never out of reach.
            repair: self.redis.as_ref().map(|_| Repair {
                journal: self.ports().journal,
                relay: CACHE_RELAY,
                forks: self.forks(),
            }),
        });
        let reads = Reads::new(self.port(|d| d), self.port(|d| d), cache);
        reads.begin();
        reads
    }

    /// What notices a copy of this log beside it, or that it was put back; only Redis would show that.
    pub(crate) fn forks(&self) -> Option<ForkWatch> {
        let identity = self.identity.present().clone();
        let witness = Arc::new(RedisWitness::new(self.redis.clone()?, identity));
        Some(ForkWatch::new(witness, self.ports().journal, self.identity.clone()))
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
        // The other half of the processors is for everything else.
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let passwords = Passwords::new(processors.div_ceil(2));
        let (clock, ids) = (Arc::clone(&self.clock), Arc::clone(&self.ids));
        let commands = Commands::new(appender, passwords, self.port(|d| d), clock, ids);
        (commands.with_stream_limits(bounds.streams), task)
    }
}

/// A rate of zero is no limit.
pub(crate) const fn rate(per_second: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(per_second)
}
