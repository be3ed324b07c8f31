//! Starting: a broker that isn't up, and one that won't have us. The text says what to do, in one
//! line, and never holds the password.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod support;

use std::time::{Duration, Instant};

use amqprs::FieldTable;
use daybook_events::{QueueError, TaskQueue, Timestamp};
use daybook_rabbitmq::RabbitSettings;
use support::{Raw, own_name, sender, task, warnings};

async fn shared_url() -> String {
    tokio::task::spawn_blocking(daybook_services::test_amqp_url).await.unwrap().unwrap()
}

/// Port 9 of this machine: nobody answers there.
fn nobody() -> RabbitSettings {
    RabbitSettings {
        start_tries: 3,
        start_pause: Duration::from_millis(200),
        ..RabbitSettings::new("amqp://guest:secret@127.0.0.1:9/")
    }
}

/// Why it can't be started with these settings: found out at once.
async fn refusal(settings: &RabbitSettings) -> String {
    let settings = RabbitSettings { start_pause: Duration::from_mins(1), ..settings.clone() };
    let queue = sender(&settings);
    let Err(QueueError::Unavailable(text)) = queue.connect_patiently().await else {
        panic!("it can be used");
    };
    assert!(text.contains("AMQP_URL") && !text.contains('\n'), "{text}");
    assert!(!text.contains("secret"), "{text}");
    // What is asked of it later fails for the same reason, and at once.
    let began = Instant::now();
    let tasks = [task(1, "x", Timestamp::from_micros(0))];
    assert_eq!(queue.enqueue(&tasks).await, Err(QueueError::Unavailable(text.clone())));
    assert_eq!(queue.check().await, Err(QueueError::Unavailable(text.clone())));
    assert!(began.elapsed() < Duration::from_secs(5));
    text
}

#[tokio::test]
async fn an_absent_broker_is_waited_for_as_long_as_told() {
    let (heard, _guard) = warnings::heard();
    let (queue, began) = (sender(&nobody()), Instant::now());
    let error = queue.connect_patiently().await.unwrap_err().to_string();
    assert!(began.elapsed() >= Duration::from_millis(400));
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(
        error,
        "the task queue is unavailable: the RabbitMQ broker that AMQP_URL names can't be reached \
         (connection refused); see that it runs and that the address is right; gave up after 3 \
         tries"
    );
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 3, "{heard:?}");
    assert!(heard.iter().all(|line| line.contains("connection refused")), "{heard:?}");
    assert!(!format!("{heard:?} {queue:?}").contains("secret"));
}

#[tokio::test]
async fn nobody_has_to_wait_for_an_absent_broker() {
    let (heard, _guard) = warnings::heard();
    let queue = sender(&RabbitSettings { confirm_timeout: Duration::from_secs(2), ..nobody() });
    let error = queue.check().await.unwrap_err().to_string();
    assert!(error.contains("connection refused"), "{error}");
    let tasks = [task(1, "x", Timestamp::from_micros(0))];
    let error = queue.enqueue(&tasks).await.unwrap_err().to_string();
    assert!(error.contains("connection refused"), "{error}");
    // Tried several times, said once.
    assert_eq!(heard.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_broker_that_comes_up_late_is_used() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let late = listener.local_addr().unwrap().port();
    drop(listener);
    let url = shared_url().await;
    let broker = url::Url::parse(&url).unwrap().port().unwrap();
    let settings = RabbitSettings {
        queue: own_name(),
        start_tries: 50,
        start_pause: Duration::from_millis(50),
        ..RabbitSettings::new(url.replace(&broker.to_string(), &late.to_string()))
    };
    let queue = sender(&settings);
    let (connected, _) = tokio::join!(queue.connect_patiently(), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        support::proxy::Proxy::at(late, broker).await
    });
    connected.unwrap();
    queue.check().await.unwrap();
    queue.close().await;
    Raw::connect(&url).await.remove(&settings.queue).await;
}

#[tokio::test]
async fn a_refused_password_is_told_at_once() {
    let url = shared_url().await.replace("guest:guest", "guest:secret");
    let text = refusal(&RabbitSettings::new(url)).await;
    assert!(text.contains("refused the user name or password"), "{text}");
}

#[tokio::test]
async fn a_missing_virtual_host_is_told_at_once() {
    let mut url = url::Url::parse(&shared_url().await).unwrap();
    url.set_path("/nowhere");
    let text = refusal(&RabbitSettings::new(url.to_string())).await;
    assert!(text.contains("has no virtual host"), "{text}");
}

#[tokio::test]
async fn a_queue_that_was_declared_otherwise_is_told_at_once() {
    let url = shared_url().await;
    let (raw, queue) = (Raw::connect(&url).await, own_name());
    let mut arguments = FieldTable::new();
    arguments.insert("x-max-length".try_into().unwrap(), amqprs::FieldValue::l(5));
    raw.declare_with(&queue, arguments).await;
    let text = refusal(&RabbitSettings { queue: queue.clone(), ..RabbitSettings::new(url) }).await;
    assert!(text.contains(&format!("the queue {queue} ")), "{text}");
    assert!(text.contains("was declared with other arguments or durability; delete it"), "{text}");
    raw.remove(&queue).await;
}

#[tokio::test]
async fn what_was_closed_stays_closed() {
    let queue = sender(&nobody());
    queue.close().await;
    queue.close().await;
    let tasks = [task(1, "x", Timestamp::from_micros(0))];
    let error = queue.enqueue(&tasks).await.unwrap_err().to_string();
    assert!(error.contains("was closed by this process"), "{error}");
    assert!(queue.connect_patiently().await.is_err());
}
