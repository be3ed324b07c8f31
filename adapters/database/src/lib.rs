//! The database adapter: the journal, the read models and the task queue, through sea-orm.
//!
//! Today on SQLite: one file, write-ahead log, every commit synced to disk before it is
//! acknowledged, one connection that writes and a pool of connections that read. SQL that an
//! engine wants otherwise stands in [`connect`](self::DatabaseSettings) and `insert.rs`; all else
//! is sea-orm's.
//!
//! To add a read model: a migration, an entity under `entities/`, its rows in `journal/rows.rs`,
//! and the repository that finds it.

mod accounts;
mod connect;
mod entities;
mod error;
mod holders;
mod insert;
mod journal;
mod orders;
mod tasks;

pub use connect::{Database, DatabaseSettings, OpenError};
pub use tasks::DatabaseQueue;
