//! A broker that dies, stands still or is cut off: nothing that was acknowledged is lost, nobody
//! waits without end, and who lost a task changes nothing any more.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod support;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use daybook_events::{
    Lease, LeaseLost, NewTask, Overdue, Room, TaskQueue, TaskRepository, TaskState, Timestamp,
};
use daybook_rabbitmq::{RabbitQueue, RabbitSettings};
use daybook_services::RabbitMq;
use support::proxy::Proxy;
use support::{Raw, Record, at_once, sender, task, until};

const TERM: Duration = Duration::from_mins(1);
/// After so long a task counts as lost.
const LATE: Duration = Duration::from_secs(5);

async fn broker() -> Arc<RabbitMq> {
    Arc::new(tokio::task::spawn_blocking(RabbitMq::start).await.unwrap().unwrap())
}

/// Does something to the broker that takes a while.
async fn hurt<E: std::fmt::Debug + Send + 'static>(
    broker: &Arc<RabbitMq>,
    how: fn(&RabbitMq) -> Result<(), E>,
) {
    let broker = Arc::clone(broker);
    tokio::task::spawn_blocking(move || how(&broker).unwrap()).await.unwrap();
}

async fn lease(queue: &RabbitQueue) -> Lease {
    until("a lease", async || queue.lease(&Room::of(1), TERM).await.ok()?.pop()).await
}

/// Sends until told to stop; answers the ids of what was acknowledged.
async fn send(queue: Arc<RabbitQueue>, from: u128, stop: Arc<AtomicBool>) -> HashSet<String> {
    let (mut acknowledged, mut next) = (HashSet::new(), from);
    while !stop.load(Ordering::SeqCst) {
        let tasks: Vec<_> =
            (next..next + 20).map(|n| task(n, "hello", Timestamp::from_micros(0))).collect();
        next += 20;
        if queue.enqueue(&tasks).await.is_ok() {
            acknowledged.extend(tasks.iter().map(|task| task.id.to_string()));
        }
    }
    acknowledged
}

async fn sent_tasks_survive(quorum: bool) {
    let broker = broker().await;
    let settings = RabbitSettings {
        quorum,
        confirm_timeout: Duration::from_secs(3),
        ..RabbitSettings::new(broker.url())
    };
    let queue = Arc::new(sender(&settings));
    queue.connect_patiently().await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..4)
        .map(|n| tokio::spawn(send(Arc::clone(&queue), n << 64, Arc::clone(&stop))))
        .collect();
    // A quorum queue that is killed right after it was first declared may not come back.
    for millis in if quorum { [5_000, 700] } else { [700, 700] } {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        hurt(&broker, RabbitMq::kill).await;
        hurt(&broker, RabbitMq::restart).await;
        until("a connection", async || queue.check().await.ok()).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.store(true, Ordering::SeqCst);
    let mut acknowledged = HashSet::new();
    for sender in senders {
        acknowledged.extend(sender.await.unwrap());
    }
    queue.close().await;
    assert!(acknowledged.len() > 100);
    let raw = Raw::connect(&settings.url).await;
    for (properties, body) in raw.all("tasks").await {
        assert_eq!(body, b"hello");
        acknowledged.remove(properties.message_id().unwrap());
    }
    assert!(acknowledged.is_empty(), "{} tasks were lost", acknowledged.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_killed_broker() {
    sent_tasks_survive(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_killed_broker_on_quorum_queues() {
    sent_tasks_survive(true).await;
}

/// Tasks whose time is far survive a killed broker in their waits. What falls out of its wait in the
/// instant may not: that is the record's to notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_that_wait_survive_a_killed_broker() {
    let (broker, record) = (broker().await, Record::new().await);
    let settings = RabbitSettings::new(broker.url());
    let queue = record.on(&settings);
    // Each in a wait of its own, none of which ends before the broker is back.
    let at = |n: u64| at_once(&record).plus(Duration::from_secs(40 << n));
    let tasks: Vec<_> = (0..6).map(|n| task(n.into(), "x", at(n))).collect();
    queue.connect_patiently().await.unwrap();
    // A broker may write down a little later that a queue was declared.
    tokio::time::sleep(Duration::from_secs(2)).await;
    queue.enqueue(&tasks).await.unwrap();
    hurt(&broker, RabbitMq::kill).await;
    hurt(&broker, RabbitMq::restart).await;
    let raw = Raw::connect(&settings.url).await;
    for power in 15..=20 {
        let name = format!("tasks.wait.{}", 1_u64 << power);
        until("every task waits", async || raw.get(&name).await).await;
    }
    queue.close().await;
}

/// Messages under way when the broker goes are sent again when it is back, and the caller is told
/// of success.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_confirmed_is_sent_again() {
    let broker = broker().await;
    let settings = RabbitSettings {
        confirm_timeout: Duration::from_mins(1),
        ..RabbitSettings::new(broker.url())
    };
    let queue = sender(&settings);
    queue.connect_patiently().await.unwrap();
    hurt(&broker, RabbitMq::pause).await;
    let tasks: Vec<_> = (0..3_000).map(|n| task(n, "x", Timestamp::from_micros(0))).collect();
    let (sent, ()) = tokio::join!(queue.enqueue(&tasks), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        hurt(&broker, RabbitMq::kill).await;
        hurt(&broker, RabbitMq::restart).await;
    });
    sent.unwrap();
    queue.close().await;
    let (raw, mut ids) = (Raw::connect(&settings.url).await, HashSet::new());
    for (properties, _) in raw.all("tasks").await {
        ids.insert(properties.message_id().unwrap().clone());
    }
    assert_eq!(ids.len(), tasks.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_without_end_for_a_broker_that_stands_still() {
    let (broker, record) = (broker().await, Record::new().await);
    let settings = RabbitSettings {
        confirm_timeout: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(5),
        heartbeat: Duration::from_secs(2),
        ..RabbitSettings::new(broker.url())
    };
    let queue = record.on(&settings);
    queue.enqueue(&[task(1, "a", at_once(&record))]).await.unwrap();
    let held = lease(&queue).await;
    hurt(&broker, RabbitMq::pause).await;
    let began = Instant::now();
    let tasks: Vec<_> = (2..5_000).map(|n| task(n, "b", at_once(&record))).collect();
    for tasks in [tasks.get(..1).unwrap(), &tasks] {
        let error = queue.enqueue(tasks).await.unwrap_err().to_string();
        assert!(error.contains("did not confirm in time"), "{error}");
    }
    assert!(began.elapsed() < Duration::from_secs(9));
    queue.complete(&held).await.unwrap().unwrap();
    // It is noticed, and the queue says so.
    until("it is noticed", async || queue.check().await.err()).await;
    hurt(&broker, RabbitMq::resume).await;
    until("it is back", async || queue.check().await.ok()).await;
    // The record decided: what was done is not done again.
    queue.enqueue(&[task(9_999, "last", at_once(&record))]).await.unwrap();
    loop {
        let held = lease(&queue).await;
        assert_ne!(held.payload.get(), "\"a\"");
        queue.complete(&held).await.unwrap().unwrap();
        if held.payload.get() == "\"last\"" {
            break;
        }
    }
    let began = Instant::now();
    hurt(&broker, RabbitMq::pause).await;
    queue.close().await;
    assert!(began.elapsed() < Duration::from_secs(30));
    hurt(&broker, RabbitMq::resume).await;
}

/// A broker short of memory or disk says nothing and just doesn't read what is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_without_end_for_a_broker_that_takes_nothing_in() {
    let full = || RabbitMq::start_with(&["vm_memory_high_watermark.absolute = 1MB"]);
    let broker = tokio::task::spawn_blocking(full).await.unwrap().unwrap();
    let settings = RabbitSettings {
        confirm_timeout: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(2),
        ..RabbitSettings::new(broker.url())
    };
    let queue = sender(&settings);
    queue.connect_patiently().await.unwrap();
    let began = Instant::now();
    let error = queue.enqueue(&[task(1, "a", Timestamp::from_micros(0))]).await.unwrap_err();
    assert!(error.to_string().contains("did not confirm in time"), "{error}");
    queue.close().await;
    assert!(began.elapsed() < Duration::from_secs(10));
}

/// Who is cut off from the broker and works on keeps its task; who gives it up changes nothing more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_cut_off_has_its_task_as_long_as_its_lease() {
    const TERM: Duration = Duration::from_secs(3);
    let (broker, record) = (broker().await, Record::new().await);
    let (near, url) = (Proxy::to(broker.port()).await, broker.url());
    let cut = url.replace(&broker.port().to_string(), &near.port.to_string());
    // Fetched one at a time: the other one has nothing before the first is cut off.
    let one = record.on(&RabbitSettings { prefetch: 1, ..RabbitSettings::new(cut) });
    let other = record.on(&RabbitSettings { prefetch: 1, ..RabbitSettings::new(url.clone()) });
    one.enqueue(&[task(1, "a", at_once(&record))]).await.unwrap();
    let lost = until("a lease", async || one.lease(&Room::of(1), TERM).await.ok()?.pop()).await;
    assert!(other.lease(&Room::of(1), TERM).await.unwrap().is_empty());
    near.cut();
    // The broker hands the message to either of them at once. Nobody gets the task.
    for _ in 0..6 {
        tokio::time::sleep(TERM / 4).await;
        assert_eq!(one.extend(&lost, TERM).await.unwrap(), Ok(()));
        for queue in [&other, &one] {
            assert!(queue.lease(&Room::of(1), TERM).await.unwrap_or_default().is_empty());
        }
    }
    // It does not go on.
    let (holder, taken) = until("it is taken over", async || {
        for queue in [&other, &one] {
            if let Some(lease) = queue.lease(&Room::of(1), TERM).await.ok()?.pop() {
                return Some((queue, lease));
            }
        }
        None
    })
    .await;
    assert_eq!((taken.task_id, taken.attempt), (lost.task_id, 2));
    assert_eq!(one.extend(&lost, TERM).await.unwrap(), Err(LeaseLost));
    assert_eq!(one.complete(&lost).await.unwrap(), Err(LeaseLost));
    assert_eq!(one.retry(&lost, "late", at_once(&record)).await.unwrap(), Err(LeaseLost));
    assert_eq!(one.bury(&lost, "late").await.unwrap(), Err(LeaseLost));
    assert_eq!(one.release(&lost).await.unwrap(), Err(LeaseLost));
    let known = record.database.find(lost.task_id).await.unwrap().unwrap();
    assert_eq!((known.state, known.attempts), (TaskState::Running, 2));
    assert_eq!(holder.complete(&taken).await.unwrap(), Ok(()));
    one.close().await;
    other.close().await;
    assert_eq!(Raw::connect(&url).await.declare("tasks").await, 0);
}

/// Settled while the connection is gone: the record has it, the broker hands it out again, and it
/// is dropped, or comes when it is to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_settled_without_the_broker_is_settled() {
    let (broker, record) = (broker().await, Record::new().await);
    let queue = record.on(&RabbitSettings::new(broker.url()));
    let tasks = [1, 2, 3].map(|n| task(n, &n.to_string(), Timestamp::from_micros(0)));
    queue.enqueue(&tasks).await.unwrap();
    let (done, failed, dead) = (lease(&queue).await, lease(&queue).await, lease(&queue).await);
    hurt(&broker, RabbitMq::kill).await;
    let at = at_once(&record).plus(Duration::from_secs(1));
    queue.complete(&done).await.unwrap().unwrap();
    queue.retry(&failed, "no luck", at).await.unwrap().unwrap();
    queue.bury(&dead, "hopeless").await.unwrap().unwrap();
    hurt(&broker, RabbitMq::restart).await;
    let again = lease(&queue).await;
    assert!(at_once(&record) >= at);
    assert_eq!((again.task_id, again.attempt), (failed.task_id, 2));
    queue.complete(&again).await.unwrap().unwrap();
    // Copies that were sent twice are dropped.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(1) {
        assert!(queue.lease(&Room::of(9), TERM).await.unwrap().is_empty());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    queue.close().await;
    let raw = Raw::connect(&broker.url()).await;
    assert_eq!(raw.declare("tasks").await, 0);
}

/// Tasks that were to be tried again some time ago.
async fn overdue_pauses(record: &Record) -> Vec<NewTask> {
    let before = at_once(record).minus(LATE);
    let overdue = Overdue { before, put_back_before: before, doubled: None };
    let overdue = record.database.overdue(&overdue, 100).await.unwrap();
    let paused = overdue.iter().filter(|task| task.attempts > 0);
    paused.map(|one| task(one.id.uuid().as_u128(), "x", one.run_at)).collect()
}

/// Workers go on while the broker is killed again and again; each task is done in the end, and
/// its effect counts once. A pause that was just ending when the broker died may be lost with its
/// message; the record has it, and it is put back as whoever dispatches tasks does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_task_is_done_however_often_the_broker_dies() {
    const TASKS: u128 = 400;
    let (broker, record) = (broker().await, Arc::new(Record::new().await));
    let queue = Arc::new(record.on(&RabbitSettings::new(broker.url())));
    let now = at_once(&record);
    let tasks: Vec<_> = (0..TASKS).map(|n| task(n, "x", now)).collect();
    queue.enqueue(&tasks).await.unwrap();
    let worker = tokio::spawn({
        let (queue, record) = (Arc::clone(&queue), Arc::clone(&record));
        async move {
            let (mut done, mut failed) = (HashSet::new(), HashSet::new());
            let (began, mut searched) = (Instant::now(), Instant::now());
            while done.len() < tasks.len() {
                assert!(began.elapsed() < Duration::from_secs(90), "{} done", done.len());
                if searched.elapsed() > LATE {
                    searched = Instant::now();
                    let lost = overdue_pauses(&record).await;
                    // Where the broker is away it is done the next time.
                    let _ = queue.enqueue(&lost).await;
                }
                for lease in queue.lease(&Room::of(4), TERM).await.unwrap_or_default() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    // Every third fails at first.
                    if lease.task_id.uuid().as_u128() % 3 == 0 && failed.insert(lease.task_id) {
                        let at = at_once(&record).plus(Duration::from_millis(100));
                        let _ = queue.retry(&lease, "no luck", at).await.unwrap();
                    } else if queue.complete(&lease).await.unwrap().is_ok() {
                        assert!(done.insert(lease.task_id), "done twice");
                    }
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(800)).await;
        hurt(&broker, RabbitMq::kill).await;
        hurt(&broker, RabbitMq::restart).await;
    }
    worker.await.unwrap();
    queue.close().await;
}
