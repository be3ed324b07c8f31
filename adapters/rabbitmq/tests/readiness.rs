//! A broker that answers and can't be used: the check says why, the log has one line when it begins, and
//! it is used again when it can be.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use daybook_application::PresentIdentity;
use daybook_events::{Identity, InstallationId, NewTask, Origin, Room, TaskQueue, Timestamp};
use daybook_rabbitmq::{RabbitQueue, RabbitSettings};
use daybook_services::RabbitMq;
use support::{Raw, Record, header, own_name, sender, task, until, warnings};
use uuid::Uuid;

const TERM: Duration = Duration::from_mins(1);

const SHORT: &str = r#"{"max-length":1,"overflow":"reject-publish"}"#;

async fn broker() -> Arc<RabbitMq> {
    Arc::new(tokio::task::spawn_blocking(RabbitMq::start).await.unwrap().unwrap())
}

async fn ctl(broker: &Arc<RabbitMq>, args: &'static [&'static str]) {
    let broker = Arc::clone(broker);
    tokio::task::spawn_blocking(move || broker.control(args).unwrap()).await.unwrap();
}

/// What the check says, once it says that.
async fn says(queue: &RabbitQueue, words: &str) {
    until(words, async || queue.check().await.err().filter(|e| e.to_string().contains(words)))
        .await;
}

async fn is_ready(queue: &RabbitQueue) {
    until("it is ready", async || queue.check().await.ok()).await;
}

async fn is_done(queue: &RabbitQueue, number: u128) {
    queue.enqueue(&[task(number, "x", Timestamp::from_micros(0))]).await.unwrap();
    let lease = until("a lease", async || queue.lease(&Room::of(1), TERM).await.ok()?.pop()).await;
    assert_eq!(lease.task_id.uuid().as_u128(), number);
    queue.complete(&lease).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_user_without_a_right_is_told_which() {
    let (broker, record) = (broker().await, Record::new().await);
    ctl(&broker, &["add_user", "zoe", "hidden"]).await;
    let settings = RabbitSettings::new(broker.url().replace("guest:guest", "zoe:hidden"));
    let (heard, _guard) = warnings::heard();
    let queue = record.on(&settings);
    says(&queue, "its user may not use it").await;
    for (rights, words) in [
        (&["set_permissions", "zoe", "", ".*", ".*"][..], "may not use the queue tasks"),
        (&["set_permissions", "zoe", ".*", "tasks.*", ".*"], "amq.default"),
        (&["set_permissions", "zoe", ".*", ".*", ""], "may not use the queue tasks"),
    ] {
        ctl(&broker, rights).await;
        says(&queue, words).await;
        // Not only now and then.
        for _ in 0..30 {
            assert!(queue.check().await.is_err(), "{words}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    ctl(&broker, &["set_permissions", "zoe", ".*", ".*", ".*"]).await;
    is_ready(&queue).await;
    is_done(&queue, 1).await;
    let heard = heard.lock().unwrap().clone();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(!format!("{heard:?}").contains("hidden"));
}

#[tokio::test]
async fn a_right_that_is_taken_away_is_missed() {
    let (broker, record) = (broker().await, Record::new().await);
    ctl(&broker, &["add_user", "zoe", "hidden"]).await;
    ctl(&broker, &["set_permissions", "zoe", ".*", ".*", ".*"]).await;
    let queue = record.on(&RabbitSettings::new(broker.url().replace("guest:guest", "zoe:hidden")));
    is_ready(&queue).await;
    ctl(&broker, &["set_permissions", "zoe", ".*", "tasks.*", ".*"]).await;
    says(&queue, "may not publish").await;
    ctl(&broker, &["set_permissions", "zoe", ".*", ".*", ".*"]).await;
    is_ready(&queue).await;
    is_done(&queue, 1).await;
}

#[tokio::test]
async fn a_broker_with_an_alarm_is_told_of() {
    let (broker, record) = (broker().await, Record::new().await);
    let queue = record.on(&RabbitSettings {
        confirm_timeout: Duration::from_secs(2),
        ..RabbitSettings::new(broker.url())
    });
    is_ready(&queue).await;
    let (heard, _guard) = warnings::heard();
    ctl(&broker, &["set_vm_memory_high_watermark", "0.0000001"]).await;
    says(&queue, "alarm").await;
    let refused = queue.enqueue(&[task(7, "x", Timestamp::from_micros(0))]).await;
    assert!(refused.unwrap_err().to_string().contains("alarm"));
    // One that begins now meets it, too.
    let late = sender(&RabbitSettings::new(broker.url()));
    says(&late, "alarm").await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert!(queue.check().await.is_err() && late.check().await.is_err());
    ctl(&broker, &["set_vm_memory_high_watermark", "0.6"]).await;
    is_ready(&queue).await;
    is_ready(&late).await;
    let heard = heard.lock().unwrap().clone();
    assert_eq!(heard.iter().filter(|line| line.contains("alarm")).count(), 2, "{heard:?}");
    late.close().await;
    queue.close().await;
}

#[tokio::test]
async fn a_queue_that_is_full_and_refuses_is_told_of() {
    let (broker, record) = (broker().await, Record::new().await);
    let queue = record.on(&RabbitSettings::new(broker.url()));
    is_ready(&queue).await;
    ctl(&broker, &["set_policy", "short", "^tasks$", SHORT]).await;
    until("it is refused", async || {
        let tasks = [1, 2, 3].map(|n| task(n, "x", Timestamp::from_micros(0)));
        queue.enqueue(&tasks).await.err()
    })
    .await;
    let said = queue.check().await.unwrap_err().to_string();
    assert!(said.contains("length limit"), "{said}");
    // What is taken in, is: the trial message of a connection does not count.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(queue.check().await.is_err());
    ctl(&broker, &["clear_policy", "short"]).await;
    until("it is taken", async || {
        queue.enqueue(&[task(4, "x", Timestamp::from_micros(0))]).await.ok()
    })
    .await;
    is_ready(&queue).await;
}

fn installation(number: u128) -> PresentIdentity {
    let id = InstallationId::from_uuid(Uuid::from_u128(number));
    PresentIdentity::new(Identity { id, secret: [1; 16] })
}

#[tokio::test]
async fn a_task_of_another_installation_is_left_to_it() {
    let url = tokio::task::spawn_blocking(daybook_services::test_amqp_url).await.unwrap().unwrap();
    let (raw, record) = (Raw::connect(&url).await, Record::new().await);
    let (me, them) = (installation(1), installation(2));
    let settings = |identity: &PresentIdentity, queue: &str| RabbitSettings {
        queue: queue.to_owned(),
        identity: Some(identity.clone()),
        ..RabbitSettings::new(&url)
    };
    let name = own_name();
    let (mine, theirs) = (settings(&me, &name), settings(&them, &name));
    let recorded = |number, run_at| NewTask {
        origin: Origin::Recorded,
        ..task(number, "theirs", Timestamp::from_micros(run_at))
    };
    let theirs = sender(&theirs);
    let now = support::at_once(&record);
    let soon = now.plus(Duration::from_millis(300)).micros();
    let both = [recorded(1, 0), recorded(2, soon), recorded(3, 0)];
    theirs.enqueue(&both).await.unwrap();
    // One that is nobody's is done.
    theirs.enqueue(&[task(4, "anybody's", Timestamp::from_micros(0))]).await.unwrap();
    let (heard, _guard) = warnings::heard();
    let queue = record.on(&mine);
    let lease =
        until("a lease", async || queue.lease(&Room::of(9), TERM).await.unwrap().pop()).await;
    assert_eq!(lease.task_id.uuid().as_u128(), 4);
    queue.complete(&lease).await.unwrap().unwrap();
    let dead = format!("{name}.dead");
    let mut found = Vec::new();
    for _ in 0..3 {
        let (properties, body) = raw.next(&dead).await;
        assert_eq!(body, b"theirs");
        let reason = header(&properties, "x-daybook-reason");
        assert!(reason.contains("another installation"), "{reason}");
        assert_eq!(properties.app_id().unwrap(), "d000002");
        found.push(properties.message_id().unwrap().clone());
        assert!(queue.lease(&Room::of(9), TERM).await.unwrap().is_empty());
    }
    found.sort();
    assert_eq!(found, both.map(|task| task.id.to_string()));
    assert_eq!(me.met_lately(), [("tasks", "…000002".to_owned())]);
    let heard = heard.lock().unwrap().clone();
    assert!(heard.len() == 1 && heard.concat().contains("DAYBOOK_TASK_QUEUE"), "{heard:?}");
    queue.close().await;
    theirs.close().await;
    raw.remove(&name).await;
}
