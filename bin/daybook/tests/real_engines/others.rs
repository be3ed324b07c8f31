//! What programs that know nothing of Daybook see in Redis and RabbitMQ, and what they can do there.

use std::process::{Command, Stdio};

use amqprs::BasicProperties;
use amqprs::channel::{
    BasicConsumeArguments, BasicPublishArguments, Channel, QueueDeclareArguments,
};
use amqprs::connection::{Connection, OpenConnectionArguments};
use daybook_services::RabbitMq;
use serde_json::{Value, json};

use crate::support::{Folder, PATIENCE, Server, eventually};

/// What `redis-cli` prints, as it prints to a program.
#[track_caller]
pub(crate) fn redis_cli(folder: &Folder, args: &[&str]) -> String {
    let url = folder.engines().redis().url();
    let ran = Command::new("redis-cli").args(["-u", &url]).args(args).output();
    let ran = ran.unwrap_or_else(|error| panic!("redis-cli: {error}"));
    String::from_utf8(ran.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn redis_cli_shows_what_is_cached_and_what_a_write_elsewhere_makes_of_it() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let stdout = server.stdout();
    assert!(stdout.contains("PostgreSQL, ") && stdout.contains("Redis, "), "{stdout}");
    let ada = server.register("ada@example.com");
    let holder = ada.get("/me").expect(200).text("id");
    let account = ada.open_account("Daily", "EUR", &json!("10"));
    let path = format!("/accounts/{account}");
    // The client goes to one instance after the other: whoever reads is not who writes.
    let [here, there] = [&ada, &ada.apart()];
    let reply = here.get(&path).expect(200);
    let key = format!("account:{account}:user:{holder}");
    let cached: Value = serde_json::from_str(&redis_cli(&folder, &["GET", &key])).unwrap();
    assert_eq!(cached, reply.json());
    let ttl: i64 = redis_cli(&folder, &["TTL", &key]).parse().unwrap();
    assert!((500..=600).contains(&ttl), "{ttl}");
    for renamed in ["One", "Two", "Three"] {
        there.patch(&path, &json!({ "name": renamed })).written(204);
        let cached: Value = serde_json::from_str(&redis_cli(&folder, &["GET", &key])).unwrap();
        assert_eq!(cached["name"], renamed);
        here.get(&path).expect(200);
    }
    there.delete(&path).written(204);
    assert_eq!(redis_cli(&folder, &["EXISTS", &key]), "0");
    here.get(&path).problem(404);
}

#[test]
fn redis_cli_hears_what_is_published_and_is_heard() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let url = folder.engines().redis().url();
    let heard = folder.file("heard");
    let mut listener = Command::new("redis-cli")
        .args(["-u", &url, "SUBSCRIBE", "notifications"])
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&heard).unwrap())
        .spawn()
        .unwrap();
    let text = || std::fs::read_to_string(&heard).unwrap_or_default();
    eventually("redis-cli listens", || text().contains("subscribe").then_some(()));
    let published = folder.start(&["publish", "--interval", "10ms"]).ended();
    assert!(published.status.success(), "{published:?}");
    eventually("it hears five messages", || {
        (1..=5)
            .all(|n| {
                text().lines().any(|line| line == format!("Hello from publisher! Message #{n}"))
            })
            .then_some(())
    });
    listener.kill().unwrap();
    listener.wait().unwrap();

    let subscriber = folder.start(&["subscribe"]);
    eventually("it subscribed", || subscriber.stdout().contains('\n').then_some(()));
    assert_eq!(redis_cli(&folder, &["PUBLISH", "notifications", "Hello from a stranger"]), "1");
    eventually("it hears the stranger", || {
        subscriber.stdout().contains("Received message: Hello from a stranger\n").then_some(())
    });
    server.terminate();

    // Without a server the publisher hands on by itself; and who comes late reads the log.
    let published = folder.start(&["publish", "--count", "1", "--message", "On my own"]).ended();
    assert!(published.status.success(), "{published:?}");
    eventually("it hears the publisher", || {
        subscriber.stdout().contains("Received message: On my own\n").then_some(())
    });
    let late = folder.start(&["subscribe", "--after", "0"]);
    eventually("it reads the log", || late.stdout().contains("On my own").then_some(()));
    let expected: Vec<_> = ["Subscribed to notifications".to_owned()]
        .into_iter()
        .chain((1..=5).map(|n| format!("Received message: Hello from publisher! Message #{n}")))
        .chain(["Received message: On my own".to_owned()])
        .collect();
    assert_eq!(late.stdout().lines().collect::<Vec<_>>(), expected);
}

/// A plain client, which declares the queue as the known programs do.
async fn plain_client(broker: &RabbitMq) -> (Connection, Channel) {
    let arguments = OpenConnectionArguments::new("127.0.0.1", broker.port(), "guest", "guest");
    let connection = Connection::open(&arguments).await.unwrap();
    let channel = connection.open_channel(None).await.unwrap();
    channel.queue_declare(QueueDeclareArguments::durable_client_named("tasks")).await.unwrap();
    (connection, channel)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_client_puts_tasks_on_the_queue_and_takes_them() {
    let (folder, broker) = (Folder::new(), RabbitMq::start().unwrap());
    let url = broker.url();
    let variables = [
        ("AMQP_URL", &*url),
        ("DAYBOOK_TASK_QUEUE", "tasks"),
        ("DAYBOOK_TEXT_TASK_DURATION", "10ms"),
    ];
    let (connection, channel) = plain_client(&broker).await;
    let worker = folder.start_with(&["worker"], &variables);
    for n in 1..=5 {
        let text = format!("Task #{n}: Send email to user{n}@example.com");
        let properties = BasicProperties::default().with_content_type("text/plain").finish();
        let to = BasicPublishArguments::new("", "tasks");
        channel.basic_publish(properties, text.into_bytes(), to).await.unwrap();
    }
    tokio::task::block_in_place(|| {
        eventually("the worker does them", || {
            let log = worker.stderr();
            let done = (1..=5).all(|n| {
                log.matches(&format!("Processing: Task #{n}: Send email to user{n}@")).count() == 1
            });
            (done && log.matches("Done.").count() == 5).then_some(())
        });
        assert!(worker.terminate().status.success());
        let enqueued = folder.start_with(&["enqueue", "--interval", "10ms"], &variables).ended();
        assert!(enqueued.status.success(), "{enqueued:?}");
    });
    let consume = BasicConsumeArguments::new("tasks", "").manual_ack(false).finish();
    let (_, mut taken) = channel.basic_consume_rx(consume).await.unwrap();
    for n in 1..=5 {
        let message = tokio::time::timeout(PATIENCE, taken.recv()).await.unwrap().unwrap();
        let text = String::from_utf8(message.content.unwrap()).unwrap();
        assert_eq!(text, format!("Task #{n}: Send email to user{n}@example.com"));
        let properties = message.basic_properties.unwrap();
        assert_eq!(properties.content_type().map(String::as_str), Some("text/plain"));
        assert_eq!(properties.delivery_mode(), Some(2));
    }
    connection.close().await.unwrap();
}
