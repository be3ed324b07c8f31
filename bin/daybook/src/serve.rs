//! `daybook serve`: the API, the relay and a worker in one process.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use daybook_application::{Feed, Housekeeper, Queries, Reads, Relay};
use daybook_events::{Cache, EventBus, HolderId, Journal};
use daybook_http::{Listener, RateLimits, ServerSettings, Service, ServiceParts, Tokens};
use daybook_memory::{MemoryBus, MemoryCache};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cli::{CommonOptions, ServeOptions};
use crate::engines::{Bounds, Engines, database_file, lock, rate, refuse_other_engines};
use crate::signing_key::signing_key;
use crate::startup::{StartupError, StopSignal, say};

/// How many batches of events a subscriber may be behind before it reads them from the journal.
const BUS_BATCHES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1_023);
const FORGET_IDLE_EVERY: Duration = Duration::from_mins(1);

pub(crate) async fn serve(
    common: &CommonOptions,
    options: &ServeOptions,
) -> Result<(), StartupError> {
    refuse_other_engines()?;
    let file = database_file(&common.database_url)?;
    let _lock = lock(&file)?;
    // Listening first: a taken address is told before anything is made.
    let listener = Listener::bind(options.listen)
        .await
        .map_err(|e| StartupError::Listen(options.listen, e))?;
    let configured_key =
        options.signing_key_file.clone().filter(|file| !file.as_os_str().is_empty());
    let tokens = Tokens::new(signing_key(configured_key.as_deref(), &file.canonicalize()?)?);
    let engines = Engines::open(&common.database_url).await?;

    let cache: Arc<dyn Cache> = Arc::new(MemoryCache::new(u64::from(options.cache_mib) << 20));
    let bus = Arc::new(MemoryBus::new(BUS_BATCHES));
    let reads = engines.reads(Some((cache, options.cache_ttl)));
    let bounds = Bounds { queue: options.queue, batch: options.batch, states: options.states };
    let (commands, appender) = engines.commands(reads.clone(), &bounds);
    let worker = engines.worker(&options.worker, options.drain, appender.new_tasks())?;

    let limits =
        Arc::new(RateLimits::new(rate(options.credential_rate), rate(options.holder_rate)));
    let stop = Stop::default();
    let parts = ServiceParts {
        queries: queries(&engines, reads),
        feed: Feed::new(journal(&engines), Arc::clone(&bus) as Arc<dyn EventBus>),
        commands,
        tokens,
        operators: operators(&options.operators)?,
        limits: Arc::clone(&limits),
        engines: ["sqlite", "in-process", "in-process", "database"].map(str::to_owned),
        stop: stop.streams.clone(),
        draining: stop.draining.clone(),
    };
    let service = Service::new(parts, Arc::clone(&engines.clock), Arc::clone(&engines.ids));

    let relay = Relay::new(journal(&engines), bus, Arc::clone(&engines.tail));
    let housekeeper = Housekeeper::new(
        journal(&engines),
        Arc::new(engines.database.clone()),
        Arc::clone(&engines.clock),
        options.keep_outcomes,
        options.keep_tasks,
    );
    let mut running = Running {
        appender: tokio::spawn(appender.run()),
        relay: tokio::spawn(relay.run(stop.background.clone())),
        worker: tokio::spawn(worker.run(stop.background.clone())),
        housekeeper: tokio::spawn(housekeeper.run(stop.background.clone())),
    };
    tokio::spawn(forget_idle_clients(limits, stop.background.clone()));

    let mut signals = StopSignal::listen()?;
    announce(&listener, &file, options)?;
    let settings = ServerSettings { connections: options.connections.get(), grace: options.drain };
    let server = tokio::spawn(listener.serve(service, settings, stop.server.clone()));

    let failed = tokio::select! {
        signal = signals.heard() => {
            tracing::info!(signal, "stopping: requests and tasks in hand are finished first");
            None
        }
        part = running.failure() => Some(part),
    };
    stop.drain(server, running, options.drain).await;
    engines.database.close().await;
    if let Some(part) = failed {
        return Err(StartupError::Failed(format!("the {part} stopped unexpectedly")));
    }
    tracing::info!("stopped");
    Ok(())
}

fn journal(engines: &Engines) -> Arc<dyn Journal<daybook_application::Row>> {
    engines.ports().journal
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

fn announce(listener: &Listener, file: &Path, options: &ServeOptions) -> Result<(), StartupError> {
    let (address, worker) = (listener.address(), &options.worker);
    let mail = match worker.mail_server() {
        Some(_) => "by SMTP",
        None => "written to the log (no SMTP_URL)",
    };
    let (version, file, mib, tasks) =
        (env!("CARGO_PKG_VERSION"), file.display(), options.cache_mib, worker.tasks);
    say(format_args!(
        "Daybook {version}
  API            http://{address}
  Documentation  http://{address}/docs
  Database       SQLite, {file}
  Cache          in-process, {mib} MiB
  Bus            in-process
  Tasks          in the database, {tasks} at a time
  Mail           {mail}"
    ))
}

/// What stops what, in this order.
#[derive(Default)]
struct Stop {
    draining: CancellationToken,
    streams: CancellationToken,
    server: CancellationToken,
    background: CancellationToken,
}

impl Stop {
    /// Streams end, requests in flight are answered, then what they have led to is finished.
    async fn drain(self, server: JoinHandle<()>, running: Running, patience: Duration) {
        self.draining.cancel();
        self.streams.cancel();
        self.server.cancel();
        report("server", server.await);
        self.background.cancel();
        let Running { appender, relay, worker, housekeeper } = running;
        report("worker", worker.await);
        report("relay", relay.await);
        report("housekeeper", housekeeper.await);
        // It ends when the last command is answered; nobody can hand in another.
        if let Ok(ended) = tokio::time::timeout(patience, appender).await {
            report("appender", ended);
        } else {
            tracing::warn!("commands were still waiting when the time for them was over");
        }
    }
}

fn report(part: &str, ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, part, "a part ended badly");
    }
}

/// The tasks that run beside the server.
struct Running {
    appender: JoinHandle<()>,
    relay: JoinHandle<()>,
    worker: JoinHandle<()>,
    housekeeper: JoinHandle<()>,
}

impl Running {
    /// The name of the first part that ends although nobody stopped it.
    async fn failure(&mut self) -> &'static str {
        while !(self.appender.is_finished()
            || self.relay.is_finished()
            || self.worker.is_finished()
            || self.housekeeper.is_finished())
        {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        match (self.appender.is_finished(), self.relay.is_finished(), self.worker.is_finished()) {
            (true, _, _) => "appender",
            (_, true, _) => "relay",
            (_, _, true) => "worker",
            _ => "housekeeper",
        }
    }
}
