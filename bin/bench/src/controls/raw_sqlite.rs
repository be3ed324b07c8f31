//! The control of P12: rusqlite alone, writing what an order costs at least, in full batches.
//!
//! No HTTP, no decision, no idempotency, no second thread: one connection, one transaction per batch, one prepared
//! statement per row. Tables, indexes, rows and the settings of the connection are the product's.

use std::path::Path;
use std::time::Instant;

use rusqlite::{Connection, OpenFlags, Transaction, params};
use uuid::Uuid;

use super::order_rows::{MICROS, OrderRows};
use crate::error::BenchError;
use crate::histogram::Histogram;
use crate::interrupt;
use crate::options::Pace;
use crate::rounds::{Turn, as_float, per_second};

/// Commands in one transaction: each is an event row and an order row.
pub(crate) const BATCH: u32 = 256;

/// Word by word what the migrations make of these two tables.
const SCHEMA: &str = r#"
    CREATE TABLE "events" (
        "position" integer NOT NULL PRIMARY KEY,
        "id" uuid_text NOT NULL,
        "stream" text NOT NULL,
        "version" integer NOT NULL,
        "event_type" text NOT NULL,
        "entry_id" uuid_text NOT NULL,
        "owner_id" uuid_text NULL,
        "order_id" uuid_text NULL,
        "timestamp" integer NOT NULL,
        "data" text NOT NULL,
        "metadata" text NOT NULL
    );
    CREATE UNIQUE INDEX "events_by_stream" ON "events" ("stream", "version");
    CREATE INDEX "events_by_owner" ON "events" ("owner_id", "position");
    CREATE INDEX events_by_transfer ON events (json_extract(data, '$.transfer_id'))
        WHERE event_type = 'TransferSent';
    CREATE TABLE "orders" (
        "id" uuid_text NOT NULL PRIMARY KEY,
        "holder_id" uuid_text NOT NULL,
        "status" text NOT NULL,
        "currency" text NULL,
        "lines" text NULL,
        "paid" boolean NOT NULL,
        "account_id" uuid_text NULL,
        "created_at" integer NOT NULL,
        "version" integer NOT NULL ,
        "position" integer NOT NULL DEFAULT 0) WITHOUT ROWID;
    CREATE INDEX orders_pending_of_holder ON orders (holder_id, position) WHERE status = 'PENDING';
    CREATE INDEX orders_pending ON orders (position) WHERE status = 'PENDING';
    CREATE INDEX orders_paid_of_holder ON orders (holder_id, position) WHERE status = 'PAID';
    CREATE INDEX orders_paid ON orders (position) WHERE status = 'PAID';
    CREATE INDEX orders_canceled_of_holder ON orders (holder_id, position) WHERE status = 'CANCELED';
    CREATE INDEX orders_canceled ON orders (position) WHERE status = 'CANCELED';"#;
const INSERT_EVENT: &str =
    "INSERT INTO events VALUES (?1, ?2, ?3, 1, 'OrderCreated', ?4, ?5, ?6, ?7, ?8, ?9)";
const INSERT_ORDER: &str =
    "INSERT INTO orders VALUES (?1, ?2, 'PENDING', NULL, NULL, 0, NULL, ?3, 1, ?4)";

/// Writes batches to a new database for one turn. The latencies are those of whole transactions.
///
/// # Errors
/// Where `SQLite` refuses, or the run was asked to end.
pub(crate) fn turn(database: &Path, pace: Pace) -> Result<Turn, BenchError> {
    let mut connection = open(database)?;
    let holder = Uuid::now_v7();
    let start = Instant::now() + pace.warm_up;
    let end = start + pace.measured;
    let mut latencies = Histogram::new();
    let (mut written, mut counted) = (0, 0);
    let batch = u64::from(BATCH);
    let mut now = Instant::now();
    while now < end && written < pace.most_requests {
        interrupt::check()?;
        let begun = now;
        let transaction = connection.transaction()?;
        write_batch(&transaction, holder, written)?;
        transaction.commit()?;
        written += batch;
        now = Instant::now();
        if now >= start && now < end {
            latencies.record(now - begun);
            counted += batch;
        }
    }
    let rate = per_second(counted, now.min(end).saturating_duration_since(start));
    drop(connection);
    let disk_bytes = Some(as_float(database_bytes(database)?) / as_float(written.max(1)));
    Ok(Turn { latencies, disk_bytes, batch: Some(f64::from(BATCH)), ..Turn::of_rate(rate) })
}

/// The size of a database that nobody writes to, with its write-ahead log taken in.
///
/// # Errors
/// Where there is none, or it cannot be opened.
pub(crate) fn database_bytes(database: &Path) -> Result<u64, BenchError> {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    let pages: u32 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    let page_size: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    Ok(u64::from(pages) * u64::from(page_size))
}

/// Commands that the product committed together, on average: those of one transaction were decided at one instant.
///
/// # Errors
/// Where there is no such database.
pub(crate) fn average_batch(database: &Path) -> Result<Option<f64>, BenchError> {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let average = "SELECT CAST(count(*) AS REAL) / count(DISTINCT timestamp) FROM events";
    Ok(connection.query_row(average, [], |row| row.get(0))?)
}

fn open(database: &Path) -> Result<Connection, BenchError> {
    let connection = Connection::open(database)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -16_384)?;
    connection.pragma_update(None, "wal_autocheckpoint", 4_000)?;
    connection.execute_batch(SCHEMA)?;
    Ok(connection)
}

fn write_batch(
    transaction: &Transaction<'_>,
    holder: Uuid,
    written: u64,
) -> Result<(), BenchError> {
    let mut insert_event = transaction.prepare_cached(INSERT_EVENT)?;
    let mut insert_order = transaction.prepare_cached(INSERT_ORDER)?;
    let owner = holder.as_bytes();
    for position in (written + 1..).take(BATCH as usize) {
        let rows = OrderRows::new(holder);
        insert_event.execute(params![
            position.cast_signed(),
            rows.event.as_bytes(),
            rows.stream,
            rows.entry.as_bytes(),
            owner,
            rows.order.as_bytes(),
            MICROS,
            rows.data,
            rows.metadata
        ])?;
        let order = params![rows.order.as_bytes(), owner, MICROS, position.cast_signed()];
        insert_order.execute(order)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_turn_writes_whole_batches_durably() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("control.db");
        let pace = Pace {
            warm_up: Duration::ZERO,
            measured: Duration::from_mins(1),
            most_requests: 2 * u64::from(BATCH),
        };
        let turn = turn(&database, pace).unwrap();
        assert_eq!(turn.latencies.count(), 2);
        assert!(turn.rate > 0.0 && turn.disk_bytes.unwrap() > 100.0);

        let connection = Connection::open(&database).unwrap();
        let mode: String =
            connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
        for table in ["events", "orders"] {
            let count = format!("SELECT count(*) FROM {table}");
            let rows: u32 = connection.query_row(&count, [], |row| row.get(0)).unwrap();
            assert_eq!(rows, 2 * BATCH, "{table}");
        }
    }
}
