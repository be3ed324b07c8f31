//! The controls of P7 and P8: the AMQP client alone, sending and receiving one message over and over.
//!
//! The message is one that the product sent, so that both are as large; the queue is as durable, and the window of
//! unconfirmed messages as wide. Nothing is read, recorded or sent again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use amqprs::channel::{
    BasicAckArguments, BasicConsumeArguments, BasicGetArguments, BasicPublishArguments,
    BasicQosArguments, Channel, ConfirmSelectArguments, QueueDeclareArguments,
    QueueDeleteArguments,
};
use amqprs::connection::{Connection, OpenConnectionArguments};
use amqprs::{BasicProperties, DELIVERY_MODE_PERSISTENT};

use super::confirms::Confirms;
use crate::error::BenchError;

/// Messages on their way to the broker unconfirmed.
pub(crate) const WINDOW: usize = 1_024;
/// Deliveries that are acknowledged together, where so many are at hand.
const ACKNOWLEDGED: u64 = 64;

/// A message to send.
#[derive(Clone)]
pub(crate) struct Message {
    properties: BasicProperties,
    body: Vec<u8>,
}

impl Message {
    /// Bytes of its body.
    pub(crate) fn body_length(&self) -> usize {
        self.body.len()
    }
}

/// A connection and a channel of it.
pub(crate) struct Client {
    connection: Connection,
    channel: Channel,
}

impl Client {
    /// Connects to the broker on this port of 127.0.0.1.
    ///
    /// # Errors
    /// Where there is none.
    pub(crate) async fn connect(port: u16) -> Result<Self, BenchError> {
        let arguments = OpenConnectionArguments::new("127.0.0.1", port, "guest", "guest");
        let connection = Connection::open(&arguments).await?;
        let channel = connection.open_channel(None).await?;
        Ok(Self { connection, channel })
    }

    /// Declares a durable queue; how many messages it has.
    ///
    /// # Errors
    /// Where it is declared otherwise.
    pub(crate) async fn declare(&self, queue: &str) -> Result<u32, BenchError> {
        let declaration = QueueDeclareArguments::durable_client_named(queue);
        let declared = self.channel.queue_declare(declaration).await?;
        Ok(declared.map_or(0, |(_, messages, _)| messages))
    }

    /// Sees that so many messages are on a durable queue.
    ///
    /// # Errors
    /// Where there are not.
    pub(crate) async fn expect(&self, queue: &str, expected: u64) -> Result<(), BenchError> {
        let messages = self.declare(queue).await?;
        if u64::from(messages) == expected {
            return Ok(());
        }
        Err(BenchError::failed(format!("{messages} messages are on the queue, not {expected}")))
    }

    /// Removes queues, and what is on them.
    ///
    /// # Errors
    /// Where the broker refuses.
    pub(crate) async fn remove(&self, queues: &[String]) -> Result<(), BenchError> {
        for queue in queues {
            self.channel.queue_delete(QueueDeleteArguments::new(queue)).await?;
        }
        Ok(())
    }

    /// Takes a message that is on a queue. It has to be persistent.
    ///
    /// # Errors
    /// Where there is none.
    pub(crate) async fn take(&self, queue: &str) -> Result<Message, BenchError> {
        let arguments = BasicGetArguments::new(queue).no_ack(true).finish();
        let taken = self.channel.basic_get(arguments).await?;
        let (_, properties, body) =
            taken.ok_or_else(|| BenchError::failed(format!("nothing is on {queue}")))?;
        if properties.delivery_mode() != Some(DELIVERY_MODE_PERSISTENT) {
            return Err(BenchError::failed("the product's message is not persistent"));
        }
        Ok(Message { properties, body })
    }

    /// Sends a message so many times; returns when the broker has confirmed all.
    ///
    /// # Errors
    /// Where the broker does not.
    pub(crate) async fn send(
        &self,
        message: &Message,
        queue: &str,
        count: u64,
    ) -> Result<(), BenchError> {
        let confirms = Arc::new(Confirms::default());
        self.channel.register_callback(confirms.listener()).await?;
        self.channel.confirm_select(ConfirmSelectArguments::new(false)).await?;
        for _ in 0..count {
            confirms.room(WINDOW).await?;
            confirms.expect();
            let Message { properties, body } = message.clone();
            let arguments = BasicPublishArguments::new("", queue);
            self.channel.basic_publish(properties, body, arguments).await?;
        }
        confirms.room(1).await
    }

    /// Receives so many messages and acknowledges them, several together; returns when all of that was sent.
    ///
    /// # Errors
    /// Where the connection ends first.
    pub(crate) async fn receive(
        &self,
        queue: &str,
        count: u64,
        ahead: u16,
    ) -> Result<(), BenchError> {
        self.channel.basic_qos(BasicQosArguments::new(0, ahead, false)).await?;
        let arguments = BasicConsumeArguments::new(queue, "");
        let (_, mut messages) = self.channel.basic_consume_rx(arguments).await?;
        let mut unacknowledged = 0;
        for received in 1..=count {
            let message = messages.recv().await.and_then(|message| message.deliver);
            let deliver = message.ok_or_else(|| BenchError::failed("the broker is gone"))?;
            unacknowledged += 1;
            if unacknowledged >= ACKNOWLEDGED || messages.is_empty() || received == count {
                let acknowledgement = BasicAckArguments::new(deliver.delivery_tag(), true);
                self.channel.basic_ack(acknowledgement).await?;
                unacknowledged = 0;
            }
        }
        Ok(())
    }

    /// Takes leave of the broker, which has then seen everything.
    ///
    /// # Errors
    /// Where the connection has ended before.
    pub(crate) async fn close(self) -> Result<(), BenchError> {
        self.channel.close().await?;
        Ok(self.connection.close().await?)
    }
}

/// Sends a message so many times on a new queue; how long it took until all were confirmed.
///
/// # Errors
/// Where the broker does not have them all in the end.
pub(crate) async fn send(
    port: u16,
    message: &Message,
    queue: &str,
    count: u64,
) -> Result<Duration, BenchError> {
    let client = Client::connect(port).await?;
    client.declare(queue).await?;
    let begun = Instant::now();
    client.send(message, queue, count).await?;
    let took = begun.elapsed();
    client.expect(queue, count).await?;
    client.remove(&[queue.to_owned()]).await?;
    client.close().await?;
    Ok(took)
}

/// Sends a message so many times on a new queue and receives it as often at the same time; how long it took until
/// all were confirmed and acknowledged.
///
/// # Errors
/// Where messages are left in the end.
pub(crate) async fn send_and_receive(
    port: u16,
    message: &Message,
    queue: &str,
    count: u64,
    ahead: u16,
) -> Result<Duration, BenchError> {
    let (sender, receiver) = (Client::connect(port).await?, Client::connect(port).await?);
    sender.declare(queue).await?;
    let begun = Instant::now();
    let sending = {
        let (message, queue) = (message.clone(), queue.to_owned());
        tokio::spawn(async move {
            sender.send(&message, &queue, count).await?;
            Ok::<_, BenchError>(sender)
        })
    };
    receiver.receive(queue, count, ahead).await?;
    let sender = sending.await.map_err(|error| BenchError::failed(error.to_string()))??;
    let took = begun.elapsed();
    receiver.close().await?;
    sender.expect(queue, 0).await?;
    sender.remove(&[queue.to_owned()]).await?;
    sender.close().await?;
    Ok(took)
}
