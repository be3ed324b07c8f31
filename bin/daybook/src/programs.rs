//! The other commands: `worker`, `migrate`, and the three small programs.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use daybook_application::{Request, Row};
use daybook_database::DatabaseQueue;
use daybook_events::{
    EventFilter, Journal, Message, NewTask, NotificationPublished, Position, TaskId, TaskKind,
    TaskQueue,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::cli::{CommonOptions, EnqueueOptions, PublishOptions, SubscribeOptions, WorkerOptions};
use crate::engines::{Bounds, Engines};
use crate::startup::{StartupError, StopSignal, say};

/// How long tasks in hand may take when a worker has to stop.
const GRACE: Duration = Duration::from_secs(10);
/// How often the log is looked at for new messages.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(crate) async fn migrate(common: &CommonOptions) -> Result<(), StartupError> {
    let engines = Engines::open(&common.database_url).await?;
    say("The database has the present schema.")?;
    engines.database.close().await;
    Ok(())
}

pub(crate) async fn work(
    common: &CommonOptions,
    options: &WorkerOptions,
) -> Result<(), StartupError> {
    let mut signals = StopSignal::listen()?;
    let engines = Engines::open(&common.database_url).await?;
    let stop = CancellationToken::new();
    // Whatever is new comes from another process: the queue is looked at now and then.
    let worker = engines.worker(options, GRACE, Arc::new(Notify::new()))?;
    say(format_args!("Working on tasks, {} at a time", options.tasks))?;
    let working = tokio::spawn(worker.run(stop.clone()));
    let signal = signals.heard().await;
    tracing::info!(signal, "stopping: tasks in hand are finished first");
    stop.cancel();
    working.await.map_err(|error| StartupError::Failed(error.to_string()))?;
    engines.database.close().await;
    Ok(())
}

pub(crate) async fn publish(
    common: &CommonOptions,
    options: &PublishOptions,
) -> Result<(), StartupError> {
    let engines = Engines::open(&common.database_url).await?;
    let one = NonZeroUsize::MIN;
    let (commands, appender) =
        engines.commands(engines.reads(None), &Bounds { queue: one, batch: one, states: one });
    let appending = tokio::spawn(appender.run());
    let mut failed = 0;
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
            Ok(_) => say(format_args!("Published: {text}"))?,
            Err(error) => {
                failed += 1;
                eprintln!("Not published: {error}");
            }
        }
    }
    drop(commands);
    appending.await.map_err(|error| StartupError::Failed(error.to_string()))?;
    engines.database.close().await;
    match failed {
        0 => Ok(()),
        _ => Err(StartupError::Failed(format!(
            "{failed} of {} messages were not published",
            options.count
        ))),
    }
}

pub(crate) async fn subscribe(
    common: &CommonOptions,
    options: &SubscribeOptions,
) -> Result<(), StartupError> {
    let engines = Engines::open(&common.database_url).await?;
    let mut signals = StopSignal::listen()?;
    let journal = engines.ports().journal;
    let position = journal.head().await.map_err(|error| StartupError::Failed(error.to_string()))?;
    let topic = EventFilter::Stream(options.topic.stream());
    say(format_args!("Subscribed to {}", options.topic))?;
    tokio::select! {
        ended = print_messages(&*journal, &topic, position) => ended?,
        _ = signals.heard() => {}
    }
    engines.database.close().await;
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
                        say(format_args!("Received message: {}", published.message.as_str()))?;
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "the log could not be read; it is tried again"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

pub(crate) async fn enqueue(
    common: &CommonOptions,
    options: &EnqueueOptions,
) -> Result<(), StartupError> {
    let engines = Engines::open(&common.database_url).await?;
    let queue = DatabaseQueue::new(engines.database.clone(), Arc::clone(&engines.clock));
    for number in 1..=options.count {
        if number > 1 {
            tokio::time::sleep(options.interval).await;
        }
        let text = match &options.text {
            Some(text) => text.clone(),
            None => format!("Task #{number}: Send email to user{number}@example.com"),
        };
        let now = engines.clock.now();
        let task = NewTask {
            id: TaskId::from_uuid(engines.ids.next()),
            owner: None,
            kind: TaskKind::text(),
            payload: serde_json::value::to_raw_value(&text)
                .map_err(|e| StartupError::Failed(e.to_string()))?,
            run_at: now,
            created_at: now,
        };
        queue.enqueue(&[task]).await.map_err(|error| StartupError::Failed(error.to_string()))?;
        say(format_args!("Enqueued: {text}"))?;
    }
    engines.database.close().await;
    Ok(())
}
