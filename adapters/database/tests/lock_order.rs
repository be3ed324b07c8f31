//! Rows of tasks are locked in the order of their ids, so that nobody waits for each other.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::Arc;
use std::time::Duration;

use daybook_application::contract::task_queue::ManualClock;
use daybook_database::{Database, DatabaseQueue, DatabaseSettings, Migrate, PostgresSettings};
use daybook_events::{NewTask, Origin, Priority, Room, TaskId, TaskKind, TaskQueue, Timestamp};
use futures_util::future::join_all;
use sea_orm::{ConnectionTrait, Statement, TransactionTrait};
use uuid::Uuid;

const TASKS: u128 = 30;

fn task(number: u128) -> NewTask {
    NewTask {
        id: TaskId::from_uuid(Uuid::from_u128(number)),
        owner: None,
        kind: TaskKind::text(),
        payload: serde_json::value::RawValue::from_string("\"x\"".to_owned()).unwrap(),
        run_at: Timestamp::from_micros(0),
        created_at: Timestamp::from_micros(0),
        priority: Priority::Normal,
        unique: None,
        history: Vec::new(),
        origin: Origin::Recorded,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_that_are_done_together_are_locked_in_the_order_of_their_ids() {
    let server = daybook_services::test_postgres_url().unwrap_or_else(|error| panic!("{error}"));
    let name = format!("lock_order_{}", Uuid::now_v7().simple());
    let url = daybook_services::create_database_on(&server, &name).unwrap();
    let other = sea_orm::Database::connect(&url).await.unwrap();
    let settings =
        PostgresSettings { url, connections: 4, statement_timeout: Duration::from_secs(20) };
    let database =
        Database::open(&DatabaseSettings::Postgres(settings), Migrate::Up).await.unwrap();
    let queue = DatabaseQueue::new(database.clone(), Arc::new(ManualClock::default()));
    // Leased one by one they lie on the disk the other way round, and are so few that all are read.
    let mut leases = Vec::new();
    for number in (1..=TASKS).rev() {
        queue.enqueue(&[task(number)]).await.unwrap();
        leases.extend(queue.lease(&Room::of(1), Duration::from_mins(5)).await.unwrap());
    }
    assert_eq!(leases.last().unwrap().task_id, task(1).id);

    other.execute_unprepared("ANALYZE tasks").await.unwrap();
    let holder = other.begin().await.unwrap();
    let first = "SELECT FROM tasks WHERE id = '00000000-0000-0000-0000-000000000001' FOR UPDATE";
    holder.execute_unprepared(first).await.unwrap();
    let queue = Arc::new(queue);
    let noting =
        tokio::spawn(
            async move { join_all(leases.iter().map(|lease| queue.complete(lease))).await },
        );
    let waits = "SELECT count(*) AS waiting FROM pg_stat_activity \
                 WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let mut waiting = 0;
    for _ in 0..500 {
        let statement = Statement::from_string(other.get_database_backend(), waits);
        let row = other.query_one_raw(statement).await.unwrap().unwrap();
        waiting = row.try_get::<i64>("", "waiting").unwrap();
        if waiting > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(waiting, 1, "who notes waits for the first");
    // Who waits for the first has none of the others.
    let rest = "SELECT id FROM tasks WHERE state = 'running' FOR UPDATE NOWAIT";
    let rest = Statement::from_string(other.get_database_backend(), rest);
    let free = holder.query_all_raw(rest).await.unwrap().len();
    assert!(free > 2, "only {free} were noted together");
    holder.commit().await.unwrap();
    for noted in noting.await.unwrap() {
        noted.unwrap().unwrap();
    }
    other.close().await.unwrap();
    database.close().await;
}
