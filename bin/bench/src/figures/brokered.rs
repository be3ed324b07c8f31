//! What the figures with RabbitMQ have in common: the servers, a queue for each turn, and the message to send.

use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

use daybook_services::RabbitMq;

use crate::controls::raw_rabbitmq::{Client, Message};
use crate::direct::{self, Broker};
use crate::error::{BenchError, Doing};
use crate::interrupt;
use crate::machine;
use crate::options::Options;
use crate::rounds::Turn;
use crate::servers::PostgresServer;

/// Tasks of one turn.
const COUNT: u64 = 20_000;
const PATIENCE: Duration = Duration::from_mins(2);

/// The servers of a figure.
pub(super) struct Brokered {
    pub(super) postgres: PostgresServer,
    rabbitmq: RabbitMq,
    /// A task of the product's, as it comes over the wire.
    pub(super) message: Message,
    queues: Cell<u32>,
}

impl Brokered {
    /// Starts them.
    pub(super) fn start() -> Result<Self, BenchError> {
        let (postgres, rabbitmq) = (PostgresServer::start()?, RabbitMq::start()?);
        let broker = Broker { url: rabbitmq.url(), queue: "sample".to_owned() };
        let message = bounded(async {
            direct::sample(&broker).await?;
            let client = Client::connect(rabbitmq.port()).await?;
            let message = client.take(&broker.queue).await?;
            client.remove(&broker.queues()).await?;
            client.close().await?;
            Ok(message)
        })?;
        Ok(Self { postgres, rabbitmq, message, queues: Cell::new(0) })
    }

    /// A queue that no turn before had.
    pub(super) fn queue(&self) -> Broker {
        self.queues.set(self.queues.get() + 1);
        let queue = format!("turn-{}", self.queues.get());
        Broker { url: self.rabbitmq.url(), queue }
    }

    /// The broker's port.
    pub(super) fn port(&self) -> u16 {
        self.rabbitmq.port()
    }

    /// Sees that so many messages are left on a queue, and removes it.
    pub(super) fn expect_and_remove(&self, broker: &Broker, count: u64) -> Result<(), BenchError> {
        bounded(async {
            let client = Client::connect(self.port()).await?;
            client.expect(&broker.queue, count).await?;
            client.remove(&broker.queues()).await?;
            client.close().await
        })
    }

    /// What a reader must know of it.
    pub(super) fn notes(&self, options: &Options) -> Vec<String> {
        let mut notes = self.postgres.notes(options);
        let (count, bytes) = (count(options), self.message.body_length());
        notes.push(format!(
            "{count} tasks a turn, persistent, each with a body of {bytes} bytes, on a durable classic queue"
        ));
        notes
    }
}

/// Tasks of one turn.
pub(super) fn count(options: &Options) -> u64 {
    COUNT.min(options.pace().most_requests)
}

/// One turn of a control: so many messages, in this process.
pub(super) fn control(
    count: u64,
    work: impl Future<Output = Result<Duration, BenchError>>,
) -> Result<Turn, BenchError> {
    let time = || machine::process_time(std::process::id());
    let before = time();
    let measured = bounded(work)?;
    let used = before.zip(time()).map(|(before, after)| after.saturating_sub(before));
    Ok(Turn::of_count(count, measured, used))
}

/// Waits for something to be done, but not for ever, and not past a request to end.
fn bounded<T>(work: impl Future<Output = Result<T, BenchError>>) -> Result<T, BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.doing("starting a client of RabbitMQ")?.block_on(async {
        tokio::select! {
            done = work => done,
            interrupted = interrupt::requested() => Err(interrupted),
            () = tokio::time::sleep(PATIENCE) => Err(BenchError::failed("RabbitMQ took too long")),
        }
    })
}
