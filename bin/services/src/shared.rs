//! One server of each kind for all the tests of a process.

use std::env;
use std::sync::{Mutex, PoisonError};

use crate::{Postgres, RabbitMq, Redis, ServiceError};

/// The variable with the URL of a PostgreSQL server for tests, whose user may create databases.
pub const TEST_DATABASE_URL: &str = "TEST_DATABASE_URL";
/// The variable with the URL of a Redis server for tests.
pub const TEST_REDIS_URL: &str = "TEST_REDIS_URL";
/// The variable with the URL of a RabbitMQ server for tests.
pub const TEST_AMQP_URL: &str = "TEST_AMQP_URL";

/// The PostgreSQL server for tests: what `TEST_DATABASE_URL` says, or else one that this process starts once.
///
/// Tests share it; each creates a database of its own, by [`create_database_on`](crate::create_database_on).
///
/// # Errors
/// Where the variable isn't set and PostgreSQL is not installed or does not start.
pub fn test_postgres_url() -> Result<String, ServiceError> {
    static SHARED: Mutex<Option<Postgres>> = Mutex::new(None);
    shared(TEST_DATABASE_URL, &SHARED, Postgres::start, Postgres::url)
}

/// The Redis server for tests: what `TEST_REDIS_URL` says, or else one that this process starts once.
///
/// Tests share it; each has a key prefix of its own.
///
/// # Errors
/// Where the variable isn't set and Redis is not installed or does not start.
pub fn test_redis_url() -> Result<String, ServiceError> {
    static SHARED: Mutex<Option<Redis>> = Mutex::new(None);
    shared(TEST_REDIS_URL, &SHARED, Redis::start, Redis::url)
}

/// The RabbitMQ server for tests: what `TEST_AMQP_URL` says, or else one that this process starts once.
///
/// Tests share it; each has exchanges and queues of its own.
///
/// # Errors
/// Where the variable isn't set and RabbitMQ is not installed or does not start.
pub fn test_amqp_url() -> Result<String, ServiceError> {
    static SHARED: Mutex<Option<RabbitMq>> = Mutex::new(None);
    shared(TEST_AMQP_URL, &SHARED, RabbitMq::start, RabbitMq::url)
}

/// A static is never dropped; its server ends because its supervisor sees this process end.
fn shared<S>(
    variable: &str,
    server: &Mutex<Option<S>>,
    start: fn() -> Result<S, ServiceError>,
    url: fn(&S) -> String,
) -> Result<String, ServiceError> {
    if let Some(given) = env::var(variable).ok().filter(|it| !it.is_empty()) {
        return Ok(given);
    }
    let mut server = server.lock().unwrap_or_else(PoisonError::into_inner);
    let server = match server.take() {
        Some(running) => server.insert(running),
        None => server.insert(start()?),
    };
    Ok(url(server))
}
