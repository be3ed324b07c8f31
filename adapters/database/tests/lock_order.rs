//! Rows of tasks are locked in the order of their ids, so that nobody waits for each other.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::Arc;
use std::time::Duration;

use daybook_application::contract::task_queue::{ManualClock, task};
use daybook_database::{Database, DatabaseQueue, DatabaseSettings, Migrate, PostgresSettings};
use daybook_events::{Room, TaskQueue};
use futures_util::future::join_all;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, Statement, TransactionTrait,
};
use uuid::Uuid;

const TASKS: u128 = 30;

/// Has the row of a task until it ends.
async fn holder_of(db: &DatabaseConnection, number: u128) -> DatabaseTransaction {
    let holder = db.begin().await.unwrap();
    let id = Uuid::from_u128(number);
    let lock = format!("SELECT FROM tasks WHERE id = '{id}' FOR UPDATE");
    holder.execute_unprepared(&lock).await.unwrap();
    holder
}

/// Waits until a session of this database waits for a lock.
async fn somebody_waits(db: &DatabaseConnection) {
    let waits = "SELECT FROM pg_stat_activity \
                 WHERE datname = current_database() AND wait_event_type = 'Lock'";
    for _ in 0..1_000 {
        let waits = Statement::from_string(db.get_database_backend(), waits);
        if !db.query_all_raw(waits).await.unwrap().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody waits for a lock");
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
    let queue = Arc::new(DatabaseQueue::new(database.clone(), Arc::new(ManualClock::default())));
    // Leased one by one they lie on the disk the other way round, and are so few that all are read.
    let mut leases = Vec::new();
    for number in (1..=TASKS + 1).rev() {
        queue.enqueue(&[task(number, 0)]).await.unwrap();
        leases.extend(queue.lease(&Room::of(1), Duration::from_mins(5)).await.unwrap());
    }
    other.execute_unprepared("ANALYZE tasks").await.unwrap();

    // While one is held up, all others gather behind it.
    let ahead = leases.remove(0);
    let (first, plug) = (holder_of(&other, 1).await, holder_of(&other, TASKS + 1).await);
    let one = Arc::clone(&queue);
    let ahead = tokio::spawn(async move { one.complete(&ahead).await });
    somebody_waits(&other).await;
    let all =
        tokio::spawn(
            async move { join_all(leases.iter().map(|lease| queue.complete(lease))).await },
        );
    tokio::time::sleep(Duration::from_millis(500)).await;
    plug.commit().await.unwrap();
    ahead.await.unwrap().unwrap().unwrap();
    somebody_waits(&other).await;
    // Who waits for the first has none of the others.
    let rest = "SELECT id FROM tasks WHERE state = 'running' FOR UPDATE NOWAIT";
    let rest = Statement::from_string(other.get_database_backend(), rest);
    let free = first.query_all_raw(rest).await.unwrap();
    assert_eq!(u128::try_from(free.len()).unwrap(), TASKS);
    first.commit().await.unwrap();
    for noted in all.await.unwrap() {
        noted.unwrap().unwrap();
    }
    other.close().await.unwrap();
    database.close().await;
}
