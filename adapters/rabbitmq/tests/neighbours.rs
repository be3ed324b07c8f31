//! Beside the known programs and others: what they send is done, what is sent here they can read,
//! and what nobody can read is kept aside.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod support;

use std::time::Duration;

use amqprs::{BasicProperties, FieldTable, FieldValue};
use daybook_events::{
    FailedAttempt, Lease, Priority, Room, TaskQueue, TaskRepository, TaskState, Timestamp,
};
use daybook_rabbitmq::{RabbitQueue, RabbitSettings};
use support::{Raw, Record, at_once, header, own_name, sender, task, until};

const TERM: Duration = Duration::from_secs(30);

async fn own() -> (RabbitSettings, Raw) {
    let url = tokio::task::spawn_blocking(daybook_services::test_amqp_url).await.unwrap().unwrap();
    let raw = Raw::connect(&url).await;
    (RabbitSettings { queue: own_name(), ..RabbitSettings::new(url) }, raw)
}

async fn lease(queue: &RabbitQueue) -> Lease {
    until("a lease", async || queue.lease(&Room::of(1), TERM).await.unwrap().pop()).await
}

#[tokio::test]
async fn the_known_worker_reads_what_is_put_on_the_queue() {
    let (settings, raw) = own().await;
    // Declared there first, and again later, as the known programs do.
    raw.declare(&settings.queue).await;
    let queue = sender(&settings);
    queue.connect_patiently().await.unwrap();
    let text = "Task #1: Send email to user1@example.com";
    queue.enqueue(&[task(1, text, Timestamp::from_micros(0))]).await.unwrap();
    assert_eq!(raw.declare(&settings.queue).await, 1);
    let (properties, body) = raw.next(&settings.queue).await;
    assert_eq!(body, text.as_bytes());
    assert_eq!(properties.content_type().unwrap(), "text/plain");
    assert_eq!(properties.delivery_mode(), Some(2));
    queue.close().await;
    raw.remove(&settings.queue).await;
}

#[tokio::test]
async fn plain_text_of_the_known_publisher_is_a_task() {
    let ((settings, raw), record) = (own().await, Record::new().await);
    raw.declare(&settings.queue).await;
    let mut properties = BasicProperties::default();
    properties.with_content_type("text/plain");
    raw.publish(&settings.queue, properties, b"Task #1: Send email to user1@example.com").await;
    let queue = record.on(&settings);
    let held = lease(&queue).await;
    assert_eq!(held.kind.as_str(), "text");
    assert_eq!(held.payload.get(), "\"Task #1: Send email to user1@example.com\"");
    queue.complete(&held).await.unwrap().unwrap();
    let done = record.database.find(held.task_id).await.unwrap().unwrap();
    assert_eq!(done.state, TaskState::Done);
    queue.close().await;
    assert_eq!(raw.declare(&settings.queue).await, 0);
    raw.remove(&settings.queue).await;
}

#[tokio::test]
async fn what_nobody_can_read_is_kept_with_the_reason() {
    let ((settings, raw), record) = (own().await, Record::new().await);
    raw.declare(&settings.queue).await;
    let json = |kind: Option<&str>| {
        let mut properties = BasicProperties::default();
        properties.with_content_type("application/json").with_correlation_id("mine");
        if let Some(kind) = kind {
            properties.with_message_type(kind);
        }
        properties
    };
    let mut headers = FieldTable::new();
    // Sent on as it is, it would come back for ever.
    headers.insert(
        "CC".try_into().unwrap(),
        FieldValue::A(vec![FieldValue::from(settings.queue.as_str())].try_into().unwrap()),
    );
    let mut copied = BasicProperties::default();
    copied.with_headers(headers).with_user_id("guest");
    let poison = [
        (BasicProperties::default(), b"\xff\xfe".to_vec(), "UTF-8"),
        (json(Some("send_email")), b"{".to_vec(), "is not"),
        (json(None), b"{}".to_vec(), "not a kind"),
        (json(Some("Not a kind")), b"{}".to_vec(), "not a kind"),
        (BasicProperties::default(), vec![b'x'; (1 << 20) + 1], "longer than 1 MiB"),
        (copied, b"\xff".to_vec(), "UTF-8"),
    ];
    for (properties, body, _) in &poison {
        raw.publish(&settings.queue, properties.clone(), body).await;
    }
    raw.publish(&settings.queue, BasicProperties::default(), b"fine").await;
    let queue = record.on(&settings);
    let held = lease(&queue).await;
    assert_eq!(held.payload.get(), "\"fine\"");
    queue.complete(&held).await.unwrap().unwrap();
    let dead = format!("{}.dead", settings.queue);
    let mut left: Vec<_> = poison.iter().collect();
    while !left.is_empty() {
        let (kept, body) = raw.next(&dead).await;
        let reason = header(&kept, "x-daybook-reason");
        let place = left.iter().position(|(given, original, why)| {
            *original == body
                && reason.contains(why)
                && given.correlation_id() == kept.correlation_id()
                && given.message_type() == kept.message_type()
        });
        left.remove(place.unwrap_or_else(|| panic!("unexpected: {reason}")));
        assert_eq!(kept.delivery_mode(), Some(2));
    }
    assert!(raw.get(&dead).await.is_none());
    queue.close().await;
    assert_eq!(raw.declare(&settings.queue).await, 0);
    raw.remove(&settings.queue).await;
}

#[tokio::test]
async fn a_text_that_another_program_puts_on_the_urgent_queue_is_urgent() {
    let ((settings, raw), record) = (own().await, Record::new().await);
    let queue = record.on(&settings);
    queue.connect_patiently().await.unwrap();
    raw.publish(&format!("{}.low", settings.queue), BasicProperties::default(), b"later").await;
    raw.publish(&format!("{}.high", settings.queue), BasicProperties::default(), b"now").await;
    for _ in 0..2 {
        let held = lease(&queue).await;
        let task = record.database.find(held.task_id).await.unwrap().unwrap();
        let expected = if task.payload.get() == "\"now\"" { Priority::High } else { Priority::Low };
        assert_eq!(task.priority, expected);
        queue.complete(&held).await.unwrap().unwrap();
    }
    queue.close().await;
    raw.remove(&settings.queue).await;
}

#[tokio::test]
async fn a_buried_task_has_a_copy_with_the_reason_and_the_attempts() {
    let ((settings, raw), record) = (own().await, Record::new().await);
    let queue = record.on(&settings);
    queue.enqueue(&[task(1, "hello", at_once(&record))]).await.unwrap();
    let held = lease(&queue).await;
    let soon = at_once(&record).plus(Duration::from_millis(100));
    queue.retry(&held, "too busy", soon).await.unwrap().unwrap();
    // By way of a queue that waits.
    let held = lease(&queue).await;
    queue.bury(&held, "no such address").await.unwrap().unwrap();
    let (kept, body) = raw.next(&format!("{}.dead", settings.queue)).await;
    assert_eq!(body, b"hello");
    assert_eq!(kept.message_id().unwrap(), &held.task_id.to_string());
    assert_eq!(header(&kept, "x-daybook-reason"), "no such address");
    assert_eq!(header(&kept, "x-daybook-attempt"), "2");
    let history = header(&kept, "x-daybook-history");
    let history: Vec<FailedAttempt> = serde_json::from_str(&history).unwrap();
    let history: Vec<_> =
        history.iter().map(|failed| (failed.attempt, failed.reason.as_str())).collect();
    assert_eq!(history, [(1, "too busy"), (2, "no such address")]);
    queue.close().await;
    assert_eq!(raw.declare(&settings.queue).await, 0);
    raw.remove(&settings.queue).await;
}

#[tokio::test]
async fn who_only_sends_takes_nothing() {
    let (settings, raw) = own().await;
    let queue = sender(&settings);
    queue.enqueue(&[task(1, "hello", Timestamp::from_micros(0))]).await.unwrap();
    queue.check().await.unwrap();
    assert!(queue.lease(&Room::of(1), TERM).await.is_err());
    assert_eq!(raw.declare(&settings.queue).await, 1);
    queue.close().await;
    raw.remove(&settings.queue).await;
}

#[tokio::test]
async fn deleted_queues_are_made_again() {
    let ((settings, raw), record) = (own().await, Record::new().await);
    let queue = record.on(&settings);
    queue
        .enqueue(&[task(1, "a", at_once(&record).plus(Duration::from_millis(200)))])
        .await
        .unwrap();
    assert_eq!(lease(&queue).await.payload.get(), "\"a\"");
    raw.remove(&settings.queue).await;
    let soon = at_once(&record).plus(Duration::from_millis(200));
    queue.enqueue(&[task(2, "b", at_once(&record)), task(3, "c", soon)]).await.unwrap();
    let mut payloads =
        [lease(&queue).await, lease(&queue).await].map(|held| held.payload.get().to_owned());
    payloads.sort();
    assert_eq!(payloads, ["\"b\"", "\"c\""]);
    queue.close().await;
    raw.remove(&settings.queue).await;
}

#[tokio::test]
async fn a_closed_queue_gives_back_what_it_had_fetched() {
    let ((settings, raw), record) = (own().await, Record::new().await);
    let (one, other) = (record.on(&settings), record.on(&settings));
    let now = at_once(&record);
    one.enqueue(&[task(1, "a", now), task(2, "b", now)]).await.unwrap();
    let term = Duration::from_secs(2);
    let held = until("a lease", async || one.lease(&Room::of(1), term).await.ok()?.pop()).await;
    let over = at_once(&record).plus(term);
    one.close().await;
    // The one that is leased is its worker's until its lease is over.
    let other_one = lease(&other).await;
    assert_ne!(other_one.task_id, held.task_id);
    let again = lease(&other).await;
    assert_eq!((again.task_id, again.attempt), (held.task_id, 2));
    assert!(at_once(&record) >= over.minus(Duration::from_millis(100)));
    for lease in [&other_one, &again] {
        other.complete(lease).await.unwrap().unwrap();
    }
    other.close().await;
    raw.remove(&settings.queue).await;
}

#[tokio::test]
async fn a_recorded_task_that_the_record_does_not_know_is_not_done_and_not_lost() {
    let ((settings, raw), record) = (own().await, Record::new().await);
    let sender = sender(&settings);
    let forgotten = daybook_events::NewTask {
        origin: daybook_events::Origin::Recorded,
        ..task(1, "discarded long ago", Timestamp::from_micros(0))
    };
    sender.enqueue(&[forgotten, task(2, "new", Timestamp::from_micros(0))]).await.unwrap();
    let queue = record.on(&settings);
    assert_eq!(lease(&queue).await.task_id.uuid().as_u128(), 2);
    let (properties, body) = raw.next(&format!("{}.dead", settings.queue)).await;
    assert_eq!(body, b"discarded long ago");
    assert!(header(&properties, "x-daybook-reason").contains("does not know it"));
    assert!(queue.lease(&Room::of(9), TERM).await.unwrap().is_empty());
    sender.close().await;
    queue.close().await;
    raw.remove(&settings.queue).await;
}
