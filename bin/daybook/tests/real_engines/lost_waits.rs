//! What a broker has lost while it waited for its time is put on the queue again: the record has it.

use std::sync::Arc;
use std::time::Duration;

use daybook_application::{Relay, Search, Tail, TailBounds, TaskDispatch};
use daybook_database::{Database, DatabaseQueue, DatabaseSettings, Migrate, SqliteSettings};
use daybook_events::{
    Clock, NewTask, Origin, Priority, Room, TaskId, TaskKind, TaskQueue, Timestamp,
};
use daybook_rabbitmq::{RabbitQueue, RabbitSettings};
use daybook_services::test_amqp_url;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

struct Now;

impl Clock for Now {
    fn now(&self) -> Timestamp {
        let (seconds, nanos) = Uuid::now_v7().get_timestamp().unwrap().to_unix();
        Timestamp::from_micros(
            i64::try_from(seconds * 1_000_000 + u64::from(nanos / 1_000)).unwrap(),
        )
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_was_lost_while_it_waited_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("daybook.db");
    let settings = DatabaseSettings::Sqlite(SqliteSettings { file, readers: 2 });
    let database = Database::open(&settings, Migrate::Up).await.unwrap();
    let clock: Arc<dyn Clock> = Arc::new(Now);
    let records = DatabaseQueue::new(database.clone(), Arc::clone(&clock));
    let amqp = test_amqp_url().unwrap_or_else(|error| panic!("{error}"));
    let rabbit = RabbitSettings {
        queue: format!("tasks-{}", Uuid::now_v7().simple()),
        ..RabbitSettings::new(amqp)
    };
    let queue = RabbitQueue::new(
        &rabbit,
        Some(Arc::new(records.clone())),
        Arc::clone(&clock),
        Arc::new(Notify::new()),
    );
    let queue = Arc::new(queue.unwrap());
    queue.connect_patiently().await.unwrap();
    // In the record, to be done in half a second, and not on the broker.
    let task = NewTask {
        id: TaskId::from_uuid(Uuid::now_v7()),
        owner: None,
        kind: TaskKind::text(),
        payload: serde_json::value::to_raw_value("lost").unwrap(),
        run_at: clock.now().plus(Duration::from_millis(500)),
        created_at: clock.now(),
        priority: Priority::Normal,
        unique: None,
        history: Vec::new(),
        origin: Origin::Outside,
    };
    records.enqueue(std::slice::from_ref(&task)).await.unwrap();
    let search = Search { every: Duration::from_millis(100), overdue: Duration::from_millis(200) };
    let database = Arc::new(database);
    let dispatch = TaskDispatch::new(
        Arc::clone(&database) as _,
        Arc::clone(&queue) as _,
        Arc::clone(&clock),
        search,
    );
    let tail = Arc::new(Tail::new(TailBounds { events: 8, bytes: 8 << 20 }));
    let relay = Relay::new(
        "tasks",
        Arc::clone(&database) as _,
        Arc::clone(&database) as _,
        Arc::new(dispatch),
        tail,
    );
    let stop = CancellationToken::new();
    let relaying = tokio::spawn(relay.run(stop.clone()));
    let leased = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            if let Some(lease) =
                queue.lease(&Room::of(1), Duration::from_secs(30)).await.unwrap().pop()
            {
                return lease;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let lease = leased.await.unwrap();
    assert_eq!((lease.task_id, lease.attempt), (task.id, 1));
    assert!(clock.now() >= task.run_at.plus(search.overdue));
    queue.complete(&lease).await.unwrap().unwrap();
    stop.cancel();
    relaying.await.unwrap();
    queue.close().await;
}
