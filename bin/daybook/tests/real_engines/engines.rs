//! The engines of these tests: servers, shared by two instances and two workers.

use std::path::Path;
use std::process::Command;

use daybook_services::{Redis, create_database_on, test_amqp_url, test_postgres_url};
use uuid::Uuid;

/// A database and a queue of its own on servers that the tests share, and a Redis of its own: its
/// channels have the names that everyone knows.
pub(crate) struct Engines {
    database: String,
    redis: Redis,
    amqp: String,
    queue: String,
}

impl Engines {
    /// How many instances serve.
    pub(crate) const SERVERS: usize = 2;
    /// How many work beside them.
    pub(crate) const WORKERS: usize = 2;

    /// New ones.
    pub(crate) fn new(_: &Path) -> Self {
        let missing = |error| -> ! { panic!("{error}") };
        let name = Uuid::now_v7().simple().to_string();
        let server = test_postgres_url().unwrap_or_else(|error| missing(error));
        Self {
            database: create_database_on(&server, &format!("real_{name}")).unwrap(),
            redis: Redis::start().unwrap_or_else(|error| missing(error)),
            amqp: test_amqp_url().unwrap_or_else(|error| missing(error)),
            queue: format!("tasks-{name}"),
        }
    }

    /// Changes the database behind everyone's back.
    #[track_caller]
    pub(crate) fn execute(&self, sql: &str) {
        let psql = Command::new("psql")
            .args([&self.database, "-qX", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .status();
        assert!(psql.unwrap().success(), "{sql}");
    }

    /// The Redis.
    pub(crate) fn redis(&self) -> &Redis {
        &self.redis
    }

    /// What tells a process of them.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        [
            ("DATABASE_URL", self.database.clone()),
            ("REDIS_URL", self.redis.url()),
            ("AMQP_URL", self.amqp.clone()),
            ("DAYBOOK_TASK_QUEUE", self.queue.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }
}
