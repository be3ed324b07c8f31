//! Throw-away servers for tests, measurements and developers: [`Postgres`], [`Redis`], [`RabbitMq`].
//!
//! Each is a private instance of an installed server, on a free port of 127.0.0.1 and in a temporary
//! folder of its own. It can be hurt (`kill`, `pause`, `restart`), and it ends when it is dropped or
//! when the process that owns it ends, however that happens.
//!
//! A test that needs just any server asks [`test_postgres_url`], [`test_redis_url`] or
//! [`test_amqp_url`], and keeps to a database, key prefix or queue of its own.
//!
//! To add a server: a file like `redis.rs`, which says how it is started and which line of its log
//! says that it is ready, and a function in `shared.rs`.

#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may stop at the first surprise"))]

mod account;
mod controls;
mod database;
mod error;
mod find;
mod folder;
mod port;
mod postgres;
mod proxy;
mod rabbitmq;
mod redis;
mod server;
mod shared;
mod supervisor;

pub use crate::database::{ask_database, create_database_on};
pub use crate::error::ServiceError;
pub use crate::port::free as free_port;
pub use crate::postgres::Postgres;
pub use crate::proxy::Proxy;
pub use crate::rabbitmq::RabbitMq;
pub use crate::redis::Redis;
pub use crate::shared::{
    TEST_AMQP_URL, TEST_DATABASE_URL, TEST_REDIS_URL, test_amqp_url, test_postgres_url,
    test_redis_url,
};
