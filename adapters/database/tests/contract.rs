//! On SQLite the database adapter keeps what the ports promise.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

#[macro_use]
mod promises;

use std::sync::Arc;

use daybook_application::contract::task_queue::ManualClock;
use daybook_database::{Database, DatabaseQueue, DatabaseSettings, Migrate, SqliteSettings};
use tempfile::TempDir;

/// A database of its own for each test.
struct Own {
    database: Database,
    queue: DatabaseQueue,
    clock: Arc<ManualClock>,
    _folder: TempDir,
}

impl Own {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("daybook.db");
        let settings = DatabaseSettings::Sqlite(SqliteSettings { file, readers: 2 });
        let database = Database::open(&settings, Migrate::Up).await.unwrap();
        let clock = Arc::new(ManualClock::default());
        let queue = DatabaseQueue::new(database.clone(), clock.clone());
        Self { database, queue, clock, _folder: folder }
    }
}

every_promise!();
