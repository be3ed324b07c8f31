//! One connection to the broker, until it ends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use amqprs::callbacks::{ChannelCallback, ConnectionCallback};
use amqprs::channel::Channel;
use amqprs::connection::{Connection, OpenConnectionArguments};
use amqprs::error::Error;
use amqprs::tls::TlsAdaptor;
use amqprs::{Ack, BasicProperties, Cancel, Close, CloseChannel, Nack, Return};
use async_trait::async_trait;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use crate::address::Address;
use crate::confirms::{Confirms, Verdict};
use crate::fault::Fault;
use crate::login;
use crate::settings::{RabbitConfigError, RabbitSettings};
use crate::tls;

/// How often it is looked whether a connection is still open: the library's own notice can be
/// missed.
const LOOK: Duration = Duration::from_secs(1);

/// Where the broker is, and how it is connected to.
pub(crate) struct Broker {
    address: Address,
    tls: Option<TlsConnector>,
    arguments: OpenConnectionArguments,
    timeout: Duration,
}

impl Broker {
    pub(crate) fn new(settings: &RabbitSettings) -> Result<Self, RabbitConfigError> {
        let address = Address::parse(&settings.url)?;
        let tls = tls::connector(&address)?;
        let is_ipv6 = address.host.contains(':');
        let host = if is_ipv6 { format!("[{}]", address.host) } else { address.host.clone() };
        let (user, password) = (&address.user, &address.password);
        let mut arguments = OpenConnectionArguments::new(&host, address.port, user, password);
        let heartbeat = settings.heartbeat.as_secs().try_into().unwrap_or(u16::MAX);
        // Half of it is how often the library sends one, in whole seconds: never the whole time.
        let heartbeat = address.heartbeat.unwrap_or(heartbeat).max(2);
        arguments.virtual_host(&address.vhost).connection_name("daybook").heartbeat(heartbeat);
        if let Some(tls) = &tls {
            arguments.tls_adaptor(TlsAdaptor::new(tls.clone(), address.host.clone()));
        }
        Ok(Self { address, tls, arguments, timeout: settings.connect_timeout })
    }
}

/// How a connection ended.
#[derive(Clone, Debug)]
enum Ending {
    /// The broker closed it or a channel of it, with this code.
    Closed(u16),
    /// A consumer was cancelled, or a message could not be routed: a queue was deleted.
    Deleted,
    /// The network, or a broker that died.
    Network,
    /// We.
    Ours,
}

/// Whether a connection has ended, and how. The first ending counts.
#[derive(Default)]
pub(crate) struct Fate {
    ended: CancellationToken,
    ending: Mutex<Option<Ending>>,
}

impl Fate {
    fn end(&self, ending: Ending) {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(ending);
        self.ended.cancel();
    }

    fn ending(&self) -> Option<Ending> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One connection to the broker. Whatever goes wrong on any channel of it ends it: what is
/// recovered is always the whole.
pub(crate) struct Line {
    connection: Connection,
    fate: Arc<Fate>,
    timeout: Duration,
}

impl Line {
    /// Connects and logs in.
    pub(crate) async fn open(broker: &Broker) -> Result<Self, Fault> {
        let connection = match timeout(broker.timeout, Connection::open(&broker.arguments)).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(refused(broker, &error).await),
            Err(_) => return Err(Fault::Unreachable("it does not answer".to_owned())),
        };
        let line = Self { connection, fate: Arc::default(), timeout: broker.timeout };
        let events = Events { fate: Arc::clone(&line.fate), confirms: None };
        line.step(None, line.connection.register_callback(events)).await?;
        tokio::spawn(watch(line.connection.clone(), Arc::clone(&line.fate)));
        Ok(line)
    }

    /// A new channel; what the broker confirms on it goes to `confirms`.
    pub(crate) async fn channel(&self, confirms: Option<Arc<Confirms>>) -> Result<Channel, Fault> {
        let channel = self.step(None, self.connection.open_channel(None)).await?;
        let events = Events { fate: Arc::clone(&self.fate), confirms };
        self.step(None, channel.register_callback(events)).await?;
        Ok(channel)
    }

    /// Takes one step of setting the line up, on a queue where it is about one.
    pub(crate) async fn step<T>(
        &self,
        queue: Option<&str>,
        step: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Fault> {
        match timeout(self.timeout, step).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) => Err(self.fault(queue)),
            Err(_) => Err(Fault::Unreachable("it does not answer".to_owned())),
        }
    }

    /// Whether it can still be used.
    pub(crate) fn is_open(&self) -> bool {
        !self.fate.ended.is_cancelled() && self.connection.is_open()
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&self) {
        self.fate.ended.cancelled().await;
    }

    /// Why it ended.
    pub(crate) fn fault(&self, queue: Option<&str>) -> Fault {
        match (self.fate.ending(), queue) {
            // Locked by another connection, or declared otherwise.
            (Some(Ending::Closed(405 | 406)), Some(queue)) => Fault::Differs(queue.to_owned()),
            (Some(Ending::Closed(403)), Some(queue)) => Fault::Forbidden(queue.to_owned()),
            (Some(Ending::Closed(403)), None) => Fault::MayNotWrite,
            (Some(Ending::Closed(320)), _) => Fault::Lost("the broker was shut down".to_owned()),
            (Some(Ending::Closed(code)), _) => Fault::Lost(format!("the broker answered {code}")),
            (Some(Ending::Deleted), _) => Fault::Lost("a queue was deleted".to_owned()),
            (Some(Ending::Ours), _) => Fault::Closed,
            (Some(Ending::Network) | None, _) => {
                Fault::Lost("the network or the broker".to_owned())
            }
        }
    }

    /// Ends the connection in good order. What is not acknowledged goes back at once.
    pub(crate) async fn close(self) {
        if self.is_open() && timeout(self.timeout, self.connection.clone().close()).await.is_err() {
            tracing::debug!("the RabbitMQ broker did not take leave");
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.fate.end(Ending::Ours);
    }
}

/// Why no connection came about.
async fn refused(broker: &Broker, error: &Error) -> Fault {
    let refusal = login::refusal(&broker.address, broker.tls.as_ref());
    if let Ok(Some(fault)) = timeout(broker.timeout, refusal).await {
        return fault;
    }
    let text = error.to_string().to_lowercase();
    let known = [
        ("refused", "connection refused"),
        ("lookup", "its host name is not known"),
        ("certificate", "its certificate is not trusted"),
        ("unreachable", "no route to it"),
        ("peer shutdown", "it closed the connection"),
        ("reset", "it closed the connection"),
    ];
    let words = known.iter().find(|(mark, _)| text.contains(mark));
    Fault::Unreachable(words.map_or("no connection", |(_, words)| words).to_owned())
}

/// Ends the line when its connection has ended, whoever notices.
async fn watch(connection: Connection, fate: Arc<Fate>) {
    while connection.is_open() {
        tokio::select! {
            () = fate.ended.cancelled() => return,
            _ = connection.listen_network_io_failure() => break,
            () = sleep(LOOK) => {}
        }
    }
    fate.end(Ending::Network);
}

/// What the broker says unasked.
struct Events {
    fate: Arc<Fate>,
    confirms: Option<Arc<Confirms>>,
}

impl Events {
    fn settle(&self, tag: u64, multiple: bool, verdict: Verdict) {
        if let Some(confirms) = &self.confirms {
            confirms.settle(tag, multiple, verdict);
        }
    }
}

#[async_trait]
impl ConnectionCallback for Events {
    async fn close(&mut self, _: &Connection, close: Close) -> Result<(), Error> {
        self.fate.end(Ending::Closed(close.reply_code()));
        Ok(())
    }

    async fn blocked(&mut self, _: &Connection, _: String) {}

    async fn unblocked(&mut self, _: &Connection) {}

    async fn secret_updated(&mut self, _: &Connection) {}
}

#[async_trait]
impl ChannelCallback for Events {
    async fn close(&mut self, _: &Channel, close: CloseChannel) -> Result<(), Error> {
        self.fate.end(Ending::Closed(close.reply_code()));
        Ok(())
    }

    async fn cancel(&mut self, _: &Channel, _: Cancel) -> Result<(), Error> {
        self.fate.end(Ending::Deleted);
        Ok(())
    }

    async fn flow(&mut self, _: &Channel, active: bool) -> Result<bool, Error> {
        Ok(active)
    }

    async fn publish_ack(&mut self, _: &Channel, ack: Ack) {
        self.settle(ack.delivery_tag(), ack.mutiple(), Verdict::Confirmed);
    }

    async fn publish_nack(&mut self, _: &Channel, nack: Nack) {
        self.settle(nack.delivery_tag(), nack.multiple(), Verdict::Refused);
    }

    /// The queue is gone, and the message will be *confirmed* all the same. So from here on
    /// nothing counts as confirmed; it is sent again when the queues have been declared anew.
    async fn publish_return(&mut self, _: &Channel, _: Return, _: BasicProperties, _: Vec<u8>) {
        if let Some(confirms) = &self.confirms {
            confirms.end();
        }
        self.fate.end(Ending::Deleted);
    }
}
