//! A queue of its own for each test, and a client of another program.
#![expect(dead_code, reason = "each test program uses some of it")]

pub(crate) mod proxy;
pub(crate) mod warnings;

use std::sync::Arc;
use std::time::{Duration, Instant};

use amqprs::channel::{
    BasicAckArguments, BasicConsumeArguments, BasicPublishArguments, BasicQosArguments, Channel,
    QueueDeclareArguments, QueueDeleteArguments,
};
use amqprs::connection::{Connection, OpenConnectionArguments};
use amqprs::{BasicProperties, FieldTable};
use daybook_application::contract::task_queue::RealTime;
use daybook_database::{Database, DatabaseQueue, DatabaseSettings, Migrate, SqliteSettings};
use daybook_events::{Clock, NewTask, Origin, Priority, TaskId, TaskKind, Timestamp};
use daybook_rabbitmq::{RabbitQueue, RabbitSettings};
use serde_json::value::to_raw_value;
use tempfile::TempDir;
use tokio::sync::Notify;
use uuid::Uuid;

/// How long anything that has to happen may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A name that no other test has.
pub(crate) fn own_name() -> String {
    format!("test-{}", Uuid::now_v7())
}

/// A record in a database of its own.
pub(crate) struct Record {
    pub(crate) database: Database,
    pub(crate) queue: Arc<DatabaseQueue>,
    pub(crate) time: Arc<RealTime>,
    _folder: TempDir,
}

impl Record {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("daybook.db");
        let settings = DatabaseSettings::Sqlite(SqliteSettings { file, readers: 2 });
        let database = Database::open(&settings, Migrate::Up).await.unwrap();
        let time = Arc::new(RealTime::default());
        let queue = Arc::new(DatabaseQueue::new(database.clone(), time.clone()));
        Self { database, queue, time, _folder: folder }
    }

    /// A queue on this record.
    pub(crate) fn on(&self, settings: &RabbitSettings) -> RabbitQueue {
        let records = Some(self.queue.clone() as _);
        RabbitQueue::new(settings, records, self.time.clone(), Arc::new(Notify::new())).unwrap()
    }
}

/// A queue that only sends.
pub(crate) fn sender(settings: &RabbitSettings) -> RabbitQueue {
    let time = Arc::new(RealTime::default());
    RabbitQueue::new(settings, None, time, Arc::new(Notify::new())).unwrap()
}

/// A task that is a line of text, due at this instant.
pub(crate) fn task(n: u128, text: &str, run_at: Timestamp) -> NewTask {
    NewTask {
        id: TaskId::from_uuid(Uuid::from_u128(n)),
        owner: None,
        kind: TaskKind::text(),
        payload: to_raw_value(text).unwrap(),
        run_at,
        created_at: Timestamp::from_micros(0),
        priority: Priority::Normal,
        unique: None,
        history: Vec::new(),
        origin: Origin::Outside,
    }
}

/// Now, as a queue that was just made sees it.
pub(crate) fn at_once(record: &Record) -> Timestamp {
    Clock::now(&*record.time)
}

/// Waits until it answers something.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Another program's client.
pub(crate) struct Raw {
    pub(crate) connection: Connection,
    pub(crate) channel: Channel,
}

impl Raw {
    pub(crate) async fn connect(url: &str) -> Self {
        let url = url::Url::parse(url).unwrap();
        let host = url.host_str().unwrap();
        let (user, password) = (url.username(), url.password().unwrap());
        let arguments = OpenConnectionArguments::new(host, url.port().unwrap(), user, password);
        let connection = Connection::open(&arguments).await.unwrap();
        let channel = connection.open_channel(None).await.unwrap();
        Self { connection, channel }
    }

    /// Declares a queue as the known programs do; answers how many messages it has.
    pub(crate) async fn declare(&self, queue: &str) -> u32 {
        self.declare_with(queue, FieldTable::new()).await
    }

    pub(crate) async fn declare_with(&self, queue: &str, arguments: FieldTable) -> u32 {
        let declaration =
            QueueDeclareArguments::durable_client_named(queue).arguments(arguments).finish();
        self.channel.queue_declare(declaration).await.unwrap().unwrap().1
    }

    pub(crate) async fn publish(&self, queue: &str, properties: BasicProperties, body: &[u8]) {
        let arguments = BasicPublishArguments::new("", queue);
        self.channel.basic_publish(properties, body.to_vec(), arguments).await.unwrap();
    }

    /// The next message, acknowledged.
    pub(crate) async fn next(&self, queue: &str) -> (BasicProperties, Vec<u8>) {
        until("a message", async || self.get(queue).await).await
    }

    /// The next message, if there is one, acknowledged. None, too, while a broker that has just come
    /// back does not have the queue yet.
    pub(crate) async fn get(&self, queue: &str) -> Option<(BasicProperties, Vec<u8>)> {
        self.take(queue, self.count(queue).await?.min(1)).await.pop()
    }

    /// Every message there is, acknowledged.
    pub(crate) async fn all(&self, queue: &str) -> Vec<(BasicProperties, Vec<u8>)> {
        self.take(queue, self.count(queue).await.unwrap()).await
    }

    async fn count(&self, queue: &str) -> Option<u32> {
        // The broker closes the channel of whoever asks for a queue that is not there.
        let channel = self.connection.open_channel(None).await.unwrap();
        let passive = QueueDeclareArguments::new(queue).passive(true).finish();
        let count = channel.queue_declare(passive).await.ok()?.unwrap().1;
        channel.close().await.unwrap();
        Some(count)
    }

    /// By a consumer: the library's `basic_get` now and then loses a race against itself.
    async fn take(&self, queue: &str, count: u32) -> Vec<(BasicProperties, Vec<u8>)> {
        let mut taken = Vec::new();
        if count == 0 {
            return taken;
        }
        let channel = self.connection.open_channel(None).await.unwrap();
        let ahead = count.min(1_000).try_into().unwrap();
        channel.basic_qos(BasicQosArguments::new(0, ahead, false)).await.unwrap();
        let consume = BasicConsumeArguments::new(queue, "");
        let (_, mut messages) = channel.basic_consume_rx(consume).await.unwrap();
        for _ in 0..count {
            let next = tokio::time::timeout(DEADLINE, messages.recv()).await;
            let message = next.unwrap().unwrap();
            let ack = BasicAckArguments::new(message.deliver.unwrap().delivery_tag(), false);
            channel.basic_ack(ack).await.unwrap();
            taken.push((message.basic_properties.unwrap(), message.content.unwrap()));
        }
        channel.close().await.unwrap();
        taken
    }

    /// Removes a queue and all that come with it.
    pub(crate) async fn remove(&self, queue: &str) {
        let waits = (6..=26).map(|power| format!("{queue}.wait.{}", 1 << power));
        let others = ["", ".high", ".low", ".due", ".dead"].map(|end| format!("{queue}{end}"));
        for name in waits.chain(others) {
            self.channel.queue_delete(QueueDeleteArguments::new(&name)).await.unwrap();
        }
    }
}

/// A header of a message, as text.
pub(crate) fn header(properties: &BasicProperties, name: &str) -> String {
    properties.headers().unwrap().get(&name.try_into().unwrap()).unwrap().to_string()
}
