//! The database adapter: the journal, the read models and the task queue, through sea-orm.
//!
//! On SQLite it is one file with one connection that writes. On Postgres, 15 and later, several
//! instances share a server: a lock held for each batch gives events their order, and a batch is one
//! step to the server and back. What an engine wants otherwise stands in `sqlite.rs`, in
//! `postgres/` and in the placeholders of `insert.rs`; all else is the same on both.
//!
//! To add a read model: a migration, an entity under `entities/`, its rows in `journal/rows.rs` and
//! in the function that the last migration of `daybook_append` makes, the repository that finds it,
//! what `books/` compares it by, and its table beside the live one in `shadow/`.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may stop at the first surprise"))]

mod accounts;
mod books;
mod completions;
mod database;
mod diagnosis;
mod entities;
mod error;
mod holders;
mod insert;
mod installation;
mod journal;
mod leasing;
mod list;
#[cfg(test)]
mod list_plans;
mod orders;
mod owners;
mod pool;
mod postgres;
mod schedule_records;
mod shadow;
mod sqlite;
mod task_records;
mod task_repository;
mod task_rows;
mod tasks;
mod watch;

pub use database::{Database, DatabaseSettings, Migrate, OpenError};
pub use postgres::PostgresSettings;
pub use sqlite::SqliteSettings;
pub use tasks::DatabaseQueue;
pub use watch::{Heard, Watch};
