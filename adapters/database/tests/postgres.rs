//! On Postgres the database adapter keeps what the ports promise.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

#[macro_use]
mod promises;

use std::sync::Arc;
use std::time::Duration;

use daybook_application::contract::task_queue::ManualClock;
use daybook_database::{Database, DatabaseQueue, DatabaseSettings, Migrate, PostgresSettings};
use uuid::Uuid;

/// A database of its own for each test, on the server that the tests share.
struct Own {
    database: Database,
    queue: DatabaseQueue,
    clock: Arc<ManualClock>,
}

impl Own {
    async fn new() -> Self {
        let server =
            daybook_services::test_postgres_url().unwrap_or_else(|error| panic!("{error}"));
        let name = format!("contract_{}", Uuid::now_v7().simple());
        let url = daybook_services::create_database_on(&server, &name).unwrap();
        let settings =
            PostgresSettings { url, connections: 8, statement_timeout: Duration::from_secs(10) };
        let settings = DatabaseSettings::Postgres(settings);
        let database = Database::open(&settings, Migrate::Up).await.unwrap();
        let clock = Arc::new(ManualClock::default());
        let queue = DatabaseQueue::new(database.clone(), clock.clone());
        Self { database, queue, clock }
    }
}

every_promise!();
