//! How the broker is reached and used.

use std::fmt;
use std::time::Duration;

use daybook_application::PresentIdentity;
use thiserror::Error;

/// How the broker is reached and used.
#[derive(Clone)]
pub struct RabbitSettings {
    /// `amqp://user:password@host:port/vhost`, or `amqps://…`. What is left out is `guest`,
    /// `guest`, `localhost`, 5672 (5671 with TLS) and `/`; special characters are percent-encoded.
    /// `?heartbeat=` overrides [`heartbeat`](Self::heartbeat), in seconds; `?cacertfile=` names a
    /// PEM file of the only authorities to trust.
    pub url: String,
    /// The queue that tasks are on; the names of the other queues begin with it.
    pub queue: String,
    /// Whether the queues are quorum queues: replicated, faster with many senders, and no task that
    /// waits for its time is lost when the broker dies. They take `RabbitMQ` 3.10 or later. A
    /// program that declares the queue without arguments, as the known ones do, is then refused by
    /// the broker: it can't be shared with them.
    pub quorum: bool,
    /// How many tasks are fetched ahead of being acknowledged: at least as many as are done at a
    /// time.
    pub prefetch: u16,
    /// Which installation this is: its messages say so, and those of another are not taken for its own.
    /// Without one, every message of a recorded task is.
    pub identity: Option<PresentIdentity>,
    /// Whether messages of other programs may say whose their tasks are.
    pub believe_owners: bool,
    /// How many messages may be on their way to the broker unconfirmed; at most 4096.
    pub confirm_window: usize,
    /// How often [`connect_patiently`](crate::RabbitQueue::connect_patiently) tries.
    pub start_tries: u32,
    /// How long it waits between tries.
    pub start_pause: Duration,
    /// How often either side is heard at least, at least 2 s: after twice that long without a
    /// sign of life the connection is given up.
    pub heartbeat: Duration,
    /// How long connecting and each step of it may take.
    pub connect_timeout: Duration,
    /// How long the broker may take to confirm what is sent, a reconnection included; a
    /// millisecond more for each message.
    pub confirm_timeout: Duration,
}

impl RabbitSettings {
    /// The settings for this URL, all else as it usually is.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            queue: "tasks".to_owned(),
            quorum: false,
            prefetch: 32,
            identity: None,
            believe_owners: false,
            confirm_window: 1_024,
            start_tries: 10,
            start_pause: Duration::from_secs(3),
            heartbeat: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            confirm_timeout: Duration::from_secs(10),
        }
    }
}

impl fmt::Debug for RabbitSettings {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitSettings")
            .field("queue", &self.queue)
            .field("quorum", &self.quorum)
            .field("prefetch", &self.prefetch)
            .finish_non_exhaustive()
    }
}

/// Why the settings can't be used. What was configured is not repeated: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RabbitConfigError {
    /// The URL can't be understood.
    #[error(
        "AMQP_URL is not amqp://user:password@host:port/vhost or amqps://… (special characters \
         percent-encoded): {0}"
    )]
    Url(&'static str),
    /// The file of authorities can't be read.
    #[error("the cacertfile in AMQP_URL is not a readable PEM file of certificates")]
    Authorities,
    /// The queue's name can't be one.
    #[error("the queue's name has 1 to 200 bytes and does not begin with amq.")]
    Queue,
}
