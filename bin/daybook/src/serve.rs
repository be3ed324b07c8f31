//! `daybook serve`: the API, the relays and a worker in one process.

mod bounds;
mod running;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use daybook_application::{
    Announcer, CacheRepair, Destination, Feed, Housekeeper, Nowhere, PresentIdentity, Probe,
    Queries, Reads, Relay, Scheduler, Search, Sessions, SharedBus, StreamRoom, TaskDispatch,
};
use daybook_database::DatabaseSettings;
use daybook_events::{Cache, Clock, EventBus, HolderId};
use daybook_http::{Engine, Listener, RateLimits, ServerSettings, Service, ServiceParts, Tokens};
use daybook_memory::MemoryCache;
use daybook_rabbitmq::RabbitQueue;
use daybook_redis::{Redis, RedisBus, RedisCache};
use tokio_util::sync::CancellationToken;

use crate::cli::{CommonOptions, ServeOptions};
use crate::engines::queue::{Queue, mail_server, rabbit_settings, worker};
use crate::engines::schedules::schedules;
use crate::engines::{Bounds, Engines, database, rate};
use crate::signing_key::signing_key;
use crate::startup::{StartupError, StopSignal, say};
use crate::system::SystemClock;
use crate::wrap::Wrap;
use bounds::{Buffers, connection_limits, mebibytes, stream_limits};
use running::{Running, Stop};

const FORGET_IDLE_EVERY: Duration = Duration::from_mins(1);
/// Under these names the relays lead, and remember how far they have come.
pub(crate) const RELAY: &str = "relay";
pub(crate) const CACHE_RELAY: &str = "cache";
pub(crate) const TASK_RELAY: &str = "tasks";

pub(crate) async fn serve(
    common: &CommonOptions,
    options: &ServeOptions,
    wrap: Arc<dyn Wrap>,
) -> Result<(), StartupError> {
    let settings = database::settings(&common.database)?;
    let _held = database::hold(&settings)?;
    // Listening first: a taken address is told before anything is made.
    let listener = Listener::bind(options.listen)
        .await
        .map_err(|e| StartupError::Listen(options.listen, e))?;
    let tokens = tokens(options, &settings)?;
    let now = SystemClock.now();
    let timetable = schedules(options.schedules_file.as_deref(), now)?;
    let mut engines = Engines::open(common, wrap).await?;
    let buffers = Buffers::of(options.stream_buffer_mib);
    engines.tail = buffers.tail();

    let shared = engines.redis.clone().map(|redis| Shared::on(redis, engines.identity.present()));
    let cache = cache(&settings, shared.as_ref(), options);
    let reads = engines.reads(cache.clone().map(|cache| (cache, options.cache_ttl)));
    let bounds = Bounds {
        queue: options.queue,
        batch: options.batch,
        states: options.states,
        streams: stream_limits(options),
    };
    let (commands, appender) = engines.commands(reads.clone(), &bounds);
    let commands = commands.with_mail_policy(options.mail_policy.clone());
    let new_tasks = appender.new_tasks();
    let _watch = engines.watch(Arc::clone(&new_tasks));
    let queue = engines.queue(&common.amqp, options.worker.tasks.get(), &new_tasks)?;
    let clock = Arc::clone(&engines.clock);
    let worker =
        worker(&options.worker, options.drain, engines.for_worker(&queue), clock, new_tasks)?;

    let scheduler = Scheduler::new(
        commands.clone(),
        Arc::new(engines.database.clone()),
        Arc::clone(&engines.clock),
        timetable,
    );
    let (told, room) = (buffers.tail(), StreamRoom::new(buffers.room));
    let limits =
        Arc::new(RateLimits::new(rate(options.credential_rate), rate(options.holder_rate)));
    let stop = Stop::default();
    let ports = engines.ports();
    let destinations = destinations(&engines, shared.clone(), reads.clone(), &queue);
    let sessions = commands.sessions().clone();
    begin(&sessions, &engines).await?;
    let service = ServiceParts {
        queries: queries(&engines, reads),
        feed: Feed::new(Arc::clone(&ports.journal), Arc::clone(&told), room.clone()),
        commands,
        tokens,
        operators: operators(&options.operators)?,
        limits: Arc::clone(&limits),
        connections: connection_limits(options),
        reply_buffer: mebibytes(options.reply_buffer_mib),
        proxies: options.trusted_proxies.as_deref().unwrap_or_default().parse()?,
        relays: destinations.iter().map(|(name, _)| *name).collect(),
        engines: described(&settings, cache, shared.as_ref(), &queue),
        identity: engines.identity.present().clone(),
        stop: stop.streams.clone(),
        draining: stop.draining.clone(),
    };
    let service = Service::new(service, Arc::clone(&engines.clock), Arc::clone(&engines.ids));

    let outside = shared.as_ref().map(|shared| Arc::clone(&shared.bus));
    let announcer =
        Announcer::new(Arc::clone(&ports.journal), Arc::clone(&engines.tail), told, outside)
            .with_sessions(sessions);
    let mut running = Running::new(tokio::spawn(appender.run()));
    running.add("worker", worker.run(stop.tasks.clone()));
    for (name, destination) in destinations {
        let relay = relay(&engines, name, destination);
        running.add("relay", relay.run(stop.background.clone()));
    }
    watch_identity(&engines, &mut running, &stop.background);
    running.add("scheduler", scheduler.run(stop.draining.clone()));
    running.add("announcer", announcer.run(stop.background.clone()));
    running.add("housekeeper", housekeeper(&engines, options).run(stop.background.clone()));
    tokio::spawn(forget_idle_clients(limits, stop.background.clone()));

    let mut signals = StopSignal::listen()?;
    announce(&listener, &engines, common, options)?;
    let server = server_settings(options, room);
    let server = tokio::spawn(listener.serve(service, server, stop.server.clone()));

    let failed = tokio::select! {
        signal = signals.heard() => {
            tracing::info!(signal, "stopping: requests and tasks in hand are finished first");
            stop.leave();
            if StopSignal::is_of_a_manager(signal) {
                // A second signal means now.
                let _ = tokio::time::timeout(options.shutdown_delay, signals.heard()).await;
            }
            None
        }
        part = running.failure() => Some(part),
    };
    stop.drain(server, running, options.drain).await;
    queue.close().await;
    engines.database.close().await;
    if let Some(part) = failed {
        return Err(StartupError::Failed(format!("the {part} stopped unexpectedly")));
    }
    tracing::info!("stopped");
    Ok(())
}

fn housekeeper(engines: &Engines, options: &ServeOptions) -> Housekeeper {
    let ports = engines.ports();
    Housekeeper::new(
        ports.journal,
        ports.tasks,
        ports.holders,
        ports.clock,
        options.keep_outcomes,
        options.keep_tasks,
    )
}

/// Lets the sessions know how late it is by the log, before anyone asks.
async fn begin(sessions: &Sessions, engines: &Engines) -> Result<(), StartupError> {
    let begun = sessions.begin(&*engines.ports().journal).await;
    begun.map_err(|error| StartupError::Failed(error.to_string()))
}

/// Keeps the identity as the database has it, and gives it up where another log has it.
fn watch_identity(engines: &Engines, running: &mut Running, stop: &CancellationToken) {
    running.add("identity", engines.identity.clone().run(stop.clone()));
    if let Some(forks) = engines.forks() {
        running.add("fork watch", forks.run(stop.clone()));
    }
}

fn server_settings(options: &ServeOptions, room: StreamRoom) -> ServerSettings {
    ServerSettings { grace: options.drain, reader_patience: options.reader_patience, room }
}

fn tokens(options: &ServeOptions, settings: &DatabaseSettings) -> Result<Tokens, StartupError> {
    let configured =
        options.signing_key_file.as_deref().filter(|file| !file.as_os_str().is_empty());
    let beside = database::key_beside(settings)?;
    Ok(Tokens::new(&signing_key(configured, &beside)?))
}

/// What the instances share by Redis.
#[derive(Clone)]
struct Shared {
    cache: Arc<dyn Cache>,
    bus: Arc<dyn EventBus>,
}

impl Shared {
    fn on(redis: Redis, identity: &PresentIdentity) -> Self {
        let cache = Arc::new(RedisCache::new(redis.clone(), identity.clone()));
        Self { cache, bus: Arc::new(RedisBus::new(redis, identity.clone())) }
    }
}

/// The cache that is right beside whoever else writes to the database; none where there is no such.
fn cache(
    settings: &DatabaseSettings,
    shared: Option<&Shared>,
    options: &ServeOptions,
) -> Option<Arc<dyn Cache>> {
    match (settings, shared) {
        (_, Some(shared)) => Some(Arc::clone(&shared.cache)),
        (DatabaseSettings::Sqlite(_), None) => {
            Some(Arc::new(MemoryCache::new(u64::from(options.cache_mib) << 20)))
        }
        (DatabaseSettings::Postgres(_), None) => None,
    }
}

/// Where the log is handed on to outside of this process.
fn destinations(
    engines: &Engines,
    shared: Option<Shared>,
    reads: Reads,
    queue: &Queue,
) -> Vec<(&'static str, Arc<dyn Destination>)> {
    let mut destinations: Vec<(_, Arc<dyn Destination>)> = match shared {
        Some(shared) => vec![
            (RELAY, Arc::new(SharedBus::new(shared.bus))),
            (CACHE_RELAY, Arc::new(CacheRepair::new(reads))),
        ],
        None => vec![(RELAY, Arc::new(Nowhere))],
    };
    if let Queue::RabbitMq(queue) = queue {
        destinations.push((TASK_RELAY, Arc::new(dispatch(engines, Arc::clone(queue)))));
    }
    destinations
}

fn relay(engines: &Engines, name: &'static str, destination: Arc<dyn Destination>) -> Relay {
    let (journal, tail) = (engines.ports().journal, Arc::clone(&engines.tail));
    Relay::new(name, journal, engines.election(), destination, tail)
}

fn dispatch(engines: &Engines, queue: Arc<RabbitQueue>) -> TaskDispatch {
    let (tasks, clock) = (engines.ports().tasks, Arc::clone(&engines.clock));
    TaskDispatch::new(tasks, queue, clock, Search::default())
}

/// What `enqueue` needs of the above: to put tasks on the broker where no server does.
pub(crate) fn task_relay(engines: &Engines, queue: Arc<RabbitQueue>) -> Relay {
    relay(engines, TASK_RELAY, Arc::new(dispatch(engines, queue)))
}

/// What `publish` needs of the above: to hand on what it publishes where no server does.
pub(crate) fn outside_relay(engines: &Engines) -> Option<Relay> {
    let identity = engines.identity.present().clone();
    let bus = Arc::new(RedisBus::new(engines.redis.clone()?, identity));
    Some(relay(engines, RELAY, Arc::new(SharedBus::new(bus))))
}

/// The engines as `/health/ready` shows them.
fn described(
    settings: &DatabaseSettings,
    cache: Option<Arc<dyn Cache>>,
    shared: Option<&Shared>,
    queue: &Queue,
) -> daybook_http::Engines {
    let engine = |name: &str, probe| Engine { name: name.to_owned(), probe };
    let database = match settings {
        DatabaseSettings::Sqlite(_) => "sqlite",
        DatabaseSettings::Postgres(_) => "postgres",
    };
    daybook_http::Engines {
        database: database.to_owned(),
        cache: match (cache, shared) {
            (Some(cache), Some(_)) => engine("redis", Probe::Cache(cache)),
            (Some(_), None) => engine("in-process", Probe::Always),
            (None, _) => engine("none", Probe::Always),
        },
        bus: match shared {
            Some(shared) => engine("redis", Probe::Bus(Arc::clone(&shared.bus))),
            None => engine("in-process", Probe::Always),
        },
        tasks: match queue {
            Queue::RabbitMq(_) => engine("rabbitmq", Probe::Tasks(queue.port())),
            Queue::Database(_) => engine("database", Probe::Always),
        },
    }
}

fn queries(engines: &Engines, reads: Reads) -> Queries {
    let ports = engines.ports();
    Queries::new(reads, ports.accounts, ports.holders, ports.orders, ports.tasks, ports.journal)
}

/// Forgets clients that have gone, so that the limits' memory is bounded by those who are there.
async fn forget_idle_clients(limits: Arc<RateLimits>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(FORGET_IDLE_EVERY)).await.is_some() {
        limits.forget_idle();
    }
}

/// The ids of operators; an empty setting names nobody.
fn operators(ids: &[String]) -> Result<HashSet<HolderId>, StartupError> {
    let given = ids.iter().map(|id| id.trim()).filter(|id| !id.is_empty());
    let read = |id: &str| {
        id.parse().map(HolderId::from_uuid).map_err(|_| StartupError::Operator(id.to_owned()))
    };
    given.map(read).collect()
}

fn announce(
    listener: &Listener,
    engines: &Engines,
    common: &CommonOptions,
    options: &ServeOptions,
) -> Result<(), StartupError> {
    let (address, worker) = (listener.address(), &options.worker);
    let database = database::describe(&engines.settings)?;
    let (cache, bus) = match (&engines.redis, &engines.settings) {
        (Some(redis), _) => (format!("Redis, {redis}"), format!("Redis, {redis}")),
        (None, DatabaseSettings::Sqlite(_)) => {
            (format!("in-process, {} MiB", options.cache_mib), "in-process".to_owned())
        }
        (None, DatabaseSettings::Postgres(_)) => {
            ("none (no REDIS_URL)".to_owned(), "in-process, and the database".to_owned())
        }
    };
    let tasks = match rabbit_settings(&common.amqp, worker.tasks.get(), None)? {
        Some(rabbit) => format!("RabbitMQ, queue {}", rabbit.queue),
        None => "in the database".to_owned(),
    };
    let mail = match mail_server(worker)? {
        Some(_) => "by SMTP",
        None => "written to the log (no SMTP_URL)",
    };
    let (version, at_once) = (env!("CARGO_PKG_VERSION"), worker.tasks);
    say(format_args!(
        "Daybook {version}
  API            http://{address}
  Documentation  http://{address}/docs
  Database       {database}
  Cache          {cache}
  Bus            {bus}
  Tasks          {tasks}, {at_once} at a time
  Mail           {mail}"
    ))
}
