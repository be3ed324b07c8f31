//! The queue of tasks, and who works on it.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use daybook_application::{
    EmailHandler, Mailer, PresentIdentity, RetryPolicy, TaskHandler, TextHandler, Worker,
    WorkerSettings,
};
use daybook_database::DatabaseQueue;
use daybook_events::{Clock, TaskKind, TaskQueue, TaskRecords};
use daybook_rabbitmq::{RabbitQueue, RabbitSettings};
use daybook_smtp::{LogMailer, SmtpMailer};
use tokio::sync::Notify;

use super::secret::secret;
use crate::cli::{AmqpOptions, WorkerOptions};
use crate::startup::StartupError;

const WORKER_POLL: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// The queue, wherever it is.
#[derive(Clone)]
pub(crate) enum Queue {
    Database(DatabaseQueue),
    RabbitMq(Arc<RabbitQueue>),
}

impl Queue {
    pub(crate) fn port(&self) -> Arc<dyn TaskQueue> {
        match self {
            Self::Database(queue) => Arc::new(queue.clone()),
            Self::RabbitMq(queue) => Arc::clone(queue) as Arc<dyn TaskQueue>,
        }
    }

    /// Gives back what is in no worker's hands.
    pub(crate) async fn close(&self) {
        if let Self::RabbitMq(queue) = self {
            queue.close().await;
        }
    }
}

/// Where RabbitMQ is, where it is configured.
pub(crate) fn rabbit_settings(
    options: &AmqpOptions,
    tasks: u32,
    identity: Option<&PresentIdentity>,
) -> Result<Option<RabbitSettings>, StartupError> {
    let url = secret("AMQP_URL", options.amqp_url.as_deref(), options.amqp_url_file.as_deref())?;
    Ok(url.map(|url| RabbitSettings {
        queue: options.task_queue.clone(),
        quorum: options.quorum_queues,
        // As many again wait at hand while those are done.
        prefetch: u16::try_from(tasks.saturating_mul(2)).unwrap_or(u16::MAX),
        identity: identity.cloned(),
        believe_owners: options.amqp_owners,
        start_tries: options.amqp_tries.get(),
        start_pause: options.amqp_pause,
        ..RabbitSettings::new(url)
    }))
}

/// The queue that these settings name, or the record itself.
pub(crate) fn queue(
    settings: Option<RabbitSettings>,
    records: DatabaseQueue,
    clock: Arc<dyn Clock>,
    new_tasks: Arc<Notify>,
) -> Result<Queue, StartupError> {
    let Some(settings) = settings else { return Ok(Queue::Database(records)) };
    let records: Arc<dyn TaskRecords> = Arc::new(records);
    let queue = RabbitQueue::new(&settings, Some(records), clock, new_tasks)?;
    Ok(Queue::RabbitMq(Arc::new(queue)))
}

/// The mail server; an empty setting is none.
pub(crate) fn mail_server(options: &WorkerOptions) -> Result<Option<String>, StartupError> {
    secret("SMTP_URL", options.smtp_url.as_deref(), options.smtp_url_file.as_deref())
}

/// A worker on a queue.
pub(crate) fn worker(
    options: &WorkerOptions,
    grace: Duration,
    queue: Arc<dyn TaskQueue>,
    clock: Arc<dyn Clock>,
    new_tasks: Arc<Notify>,
) -> Result<Worker, StartupError> {
    let mailer: Arc<dyn Mailer> = match mail_server(options)? {
        Some(url) => Arc::new(SmtpMailer::new(&url, &options.mail_from)?),
        None => Arc::new(LogMailer),
    };
    let handlers: HashMap<&'static str, Arc<dyn TaskHandler>> = HashMap::from([
        (TaskKind::SEND_EMAIL, Arc::new(EmailHandler::new(mailer)) as Arc<dyn TaskHandler>),
        (TaskKind::TEXT, Arc::new(TextHandler::new(options.text_task_duration))),
    ]);
    let settings = WorkerSettings {
        concurrency: options.tasks.get(),
        kinds: limits(&options.task_limits)?,
        lease: options.task_lease,
        poll: WORKER_POLL,
        grace,
        retry: RetryPolicy {
            attempts: options.task_attempts.get(),
            first_pause: options.task_pause,
            longest_pause: LONGEST_PAUSE,
        },
    };
    Ok(Worker::new(queue, clock, handlers, settings, new_tasks))
}

/// How many tasks of one kind are done at a time; an empty setting limits nothing.
fn limits(limits: &[String]) -> Result<Vec<(TaskKind, u32)>, StartupError> {
    let given = limits.iter().map(|limit| limit.trim()).filter(|limit| !limit.is_empty());
    let read = |limit: &str| {
        let (kind, tasks) = limit.split_once('=')?;
        let tasks: NonZeroU32 = tasks.trim().parse().ok()?;
        Some((kind.trim().parse().ok()?, tasks.get()))
    };
    given
        .map(|limit| read(limit).ok_or_else(|| StartupError::TaskLimit(limit.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_kind_and_a_number() {
        let read = |text: &str| limits(&text.split(',').map(str::to_owned).collect::<Vec<_>>());
        let limits = read("send_email=2, text = 4").unwrap();
        let limits: Vec<_> = limits.iter().map(|(kind, n)| (kind.as_str(), *n)).collect();
        assert_eq!(limits, [("send_email", 2), ("text", 4)]);
        assert!(read("").unwrap().is_empty());
        for text in ["send_email", "send_email=0", "send_email=x", "Send=1", "=1"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
