//! The other commands: `worker`, `migrate`, and the three small programs.

use std::sync::Arc;
use std::time::Duration;

use daybook_application::{Request, Row};
use daybook_database::{Database, Migrate};
use daybook_events::{EventFilter, Journal, Message, NotificationPublished, Position, TaskKind};
use daybook_rabbitmq::RabbitQueue;
use daybook_redis::{Heard, Messages};
use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::cli::{CommonOptions, EnqueueOptions, PublishOptions, SubscribeOptions, WorkOptions};
use crate::engines::queue::{Queue, rabbit_settings, worker};
use crate::engines::{Bounds, Engines, connect_redis, database};
use crate::one_line::Escape;
use crate::serve::{RELAY, TASK_RELAY, outside_relay, task_relay};
use crate::startup::{StartupError, StopSignal, say};
use crate::wrap::Wrap;

/// How often the log is looked at for new messages.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long `publish` and `enqueue` wait at the end for what they put in the log to be handed on.
const RELAY_PATIENCE: Duration = Duration::from_secs(5);

pub(crate) async fn migrate(common: &CommonOptions) -> Result<(), StartupError> {
    let settings = database::settings(&common.database)?;
    Database::open(&settings, Migrate::Up).await?.close().await;
    say("The database has the present schema.")
}

pub(crate) async fn work(
    common: &CommonOptions,
    options: &WorkOptions,
    wrap: Arc<dyn Wrap>,
) -> Result<(), StartupError> {
    let mut signals = StopSignal::listen()?;
    let WorkOptions { worker: options, drain } = options;
    rabbit_settings(&common.amqp, options.tasks.get(), None)?;
    let engines = Engines::open(common, wrap).await?;
    let stop = CancellationToken::new();
    // Whatever is new comes from another process.
    let new_tasks = Arc::new(Notify::new());
    let _watch = engines.watch(Arc::clone(&new_tasks));
    let queue = engines.queue(&common.amqp, options.tasks.get(), &new_tasks)?;
    let clock = Arc::clone(&engines.clock);
    let worker = worker(options, *drain, engines.for_worker(&queue), clock, new_tasks)?;
    if let Queue::RabbitMq(rabbit) = &queue {
        let connected = tokio::select! {
            connected = rabbit.connect_patiently() => Some(connected),
            _ = signals.heard() => None,
        };
        match connected {
            Some(connected) => connected.map_err(failed)?,
            None => return Ok(()),
        }
    }
    say(format_args!("Working on tasks, {} at a time", options.tasks))?;
    let looking = tokio::spawn(engines.identity.clone().run(stop.clone()));
    let working = tokio::spawn(worker.run(stop.clone()));
    let signal = signals.heard().await;
    tracing::info!(signal, "stopping: tasks in hand are finished first, the others go back");
    stop.cancel();
    working.await.map_err(failed)?;
    looking.await.map_err(failed)?;
    queue.close().await;
    engines.database.close().await;
    Ok(())
}

fn failed(error: impl std::fmt::Display) -> StartupError {
    StartupError::Failed(error.to_string())
}

pub(crate) async fn publish(
    common: &CommonOptions,
    options: &PublishOptions,
    wrap: Arc<dyn Wrap>,
) -> Result<(), StartupError> {
    let engines = Engines::open(common, wrap).await?;
    let (commands, appender) = engines.commands(engines.reads(None), &Bounds::SMALLEST);
    let appending = tokio::spawn(appender.run());
    // Where no server hands on what is in the log, this one does.
    let stop = CancellationToken::new();
    let relaying = outside_relay(&engines).map(|relay| tokio::spawn(relay.run(stop.clone())));
    let (mut unpublished, mut last) = (0, Position::ZERO);
    for number in 1..=options.count {
        if number > 1 {
            tokio::time::sleep(options.interval).await;
        }
        let message = match &options.message {
            Some(message) => Some(message.clone()),
            None => Message::new(format!("Hello from publisher! Message #{number}")),
        };
        let Some(message) = message else { continue };
        let text = message.as_str().to_owned();
        match commands.publish(None, options.topic.clone(), message, Request::default()).await {
            Ok(outcome) => {
                last = outcome.position;
                say(format_args!("Published: {}", Escape::Text.line(&text)))?;
            }
            Err(error) => {
                unpublished += 1;
                eprintln!("Not published: {error}");
            }
        }
    }
    drop(commands);
    appending.await.map_err(failed)?;
    if let Some(relaying) = relaying {
        handed_on(&*engines.ports().journal, RELAY, last).await;
        stop.cancel();
        relaying.await.map_err(failed)?;
    }
    engines.database.close().await;
    match unpublished {
        0 => Ok(()),
        _ => Err(failed(format_args!(
            "{unpublished} of {} messages were not published",
            options.count
        ))),
    }
}

/// Waits, not for long, until a relay has come to a position.
async fn handed_on(journal: &dyn Journal<Row>, relay: &str, position: Position) {
    let began = tokio::time::Instant::now();
    while began.elapsed() < RELAY_PATIENCE {
        if journal.checkpoint(relay).await.is_ok_and(|checkpoint| checkpoint >= position) {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    tracing::warn!(relay, "it is in the log, but was not handed on yet; a server does that");
}

pub(crate) async fn subscribe(
    common: &CommonOptions,
    options: &SubscribeOptions,
    wrap: Arc<dyn Wrap>,
) -> Result<(), StartupError> {
    let mut signals = StopSignal::listen()?;
    // What comes now, from whoever publishes, is heard on the channel. What was, is in the log.
    match (connect_redis(&common.redis)?, options.after) {
        (Some(redis), None) => {
            let messages = redis.listen_to(&options.topic).await;
            say(format_args!("Subscribed to {}", options.topic))?;
            tokio::select! {
                ended = print_heard(messages) => ended,
                _ = signals.heard() => Ok(()),
            }
        }
        (_, after) => {
            let engines = Engines::open(common, wrap).await?;
            let journal = engines.ports().journal;
            let position = match after {
                Some(position) => Position::new(position),
                None => journal.head().await.map_err(failed)?,
            };
            let topic = EventFilter::Stream(options.topic.stream());
            say(format_args!("Subscribed to {}", options.topic))?;
            tokio::select! {
                ended = print_messages(&*journal, &topic, position) => ended?,
                _ = signals.heard() => {}
            }
            engines.database.close().await;
            Ok(())
        }
    }
}

/// Prints a message on one line, whatever is in it: it may be anybody's.
fn received(text: &str) -> Result<(), StartupError> {
    say(format_args!("Received message: {}", Escape::Text.line(text)))
}

/// Prints every message that is heard, without end.
async fn print_heard(mut messages: Messages) -> Result<(), StartupError> {
    while let Some(heard) = messages.next().await {
        match heard {
            Heard::Message(text) => received(&text)?,
            Heard::Missed => {
                tracing::warn!(
                    "messages may have been missed; `subscribe --after` reads them from the log"
                );
            }
        }
    }
    Ok(())
}

/// Prints every message after `position`, without end.
async fn print_messages(
    journal: &dyn Journal<Row>,
    topic: &EventFilter,
    mut position: Position,
) -> Result<(), StartupError> {
    loop {
        match journal.read(topic, position, 100).await {
            Ok(events) => {
                for event in events {
                    position = event.position;
                    if let Ok(published) = event.data.read::<NotificationPublished>() {
                        received(published.message.as_str())?;
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "the log could not be read; it is tried again"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Asks for tasks by way of the log, as everyone does: so what becomes of them has a beginning there.
pub(crate) async fn enqueue(
    common: &CommonOptions,
    options: &EnqueueOptions,
    wrap: Arc<dyn Wrap>,
) -> Result<(), StartupError> {
    rabbit_settings(&common.amqp, 1, None)?;
    let engines = Engines::open(common, wrap).await?;
    let queue = match rabbit_settings(&common.amqp, 1, Some(engines.identity.present()))? {
        Some(settings) => Some(Arc::new(RabbitQueue::new(
            &settings,
            None,
            Arc::clone(&engines.clock),
            Arc::default(),
        )?)),
        None => None,
    };
    if let Some(rabbit) = &queue {
        rabbit.connect_patiently().await.map_err(failed)?;
    }
    let (commands, appender) = engines.commands(engines.reads(None), &Bounds::SMALLEST);
    let appending = tokio::spawn(appender.run());
    // Where no server hands on what is in the log, this one does.
    let stop = CancellationToken::new();
    let relaying = queue.as_ref().map(|queue| {
        let relay = task_relay(&engines, Arc::clone(queue));
        tokio::spawn(relay.run(stop.clone()))
    });
    let mut last = Position::ZERO;
    for number in 1..=options.count {
        if number > 1 {
            tokio::time::sleep(options.interval).await;
        }
        let text = match &options.text {
            Some(text) => text.clone(),
            None => format!("Task #{number}: Send email to user{number}@example.com"),
        };
        let payload = serde_json::value::to_raw_value(&text).map_err(failed)?;
        let asked = commands.request_own_task(TaskKind::text(), payload).await;
        last = asked.map_err(failed)?.position;
        say(format_args!("Enqueued: {}", Escape::Text.line(&text)))?;
    }
    drop(commands);
    appending.await.map_err(failed)?;
    if let Some(relaying) = relaying {
        handed_on(&*engines.ports().journal, TASK_RELAY, last).await;
        stop.cancel();
        relaying.await.map_err(failed)?;
    }
    if let Some(rabbit) = queue {
        rabbit.close().await;
    }
    engines.database.close().await;
    Ok(())
}
