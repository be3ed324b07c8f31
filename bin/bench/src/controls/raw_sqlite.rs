//! The control of P12: rusqlite alone, writing what an order costs at least, in full batches.
//!
//! No HTTP, no decision, no idempotency, no second thread: one connection, one transaction per batch, one prepared
//! statement per row, WAL, `synchronous = FULL`.

use std::path::Path;
use std::time::Instant;

use rusqlite::{Connection, OpenFlags, Transaction, params};
use uuid::Uuid;

use crate::error::BenchError;
use crate::histogram::Histogram;
use crate::interrupt;
use crate::load::Failures;
use crate::options::Pace;
use crate::rounds::{Turn, as_float, per_second};

/// Commands in one transaction: each is an event row and an order row.
pub(crate) const BATCH: u32 = 256;

const SCHEMA: &str = "
    CREATE TABLE event (
        position INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        stream TEXT NOT NULL,
        version INTEGER NOT NULL,
        event_type TEXT NOT NULL,
        timestamp TEXT NOT NULL,
        owner TEXT,
        order_id TEXT,
        data TEXT NOT NULL,
        metadata TEXT NOT NULL,
        UNIQUE (stream, version)
    );
    CREATE TABLE orders (
        id TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        status TEXT NOT NULL,
        payment_status TEXT NOT NULL,
        currency_code TEXT,
        total INTEGER NOT NULL,
        lines TEXT NOT NULL,
        created_at TEXT NOT NULL,
        version INTEGER NOT NULL,
        position INTEGER NOT NULL
    );";
const INSERT_EVENT: &str =
    "INSERT INTO event VALUES (NULL, ?1, ?2, 1, 'OrderCreated', ?3, ?4, ?5, ?6, ?7)";
const INSERT_ORDER: &str =
    "INSERT INTO orders VALUES (?1, ?2, 'PENDING', 'UNPAID', NULL, 0, '[]', ?3, 1, ?4)";
const TIMESTAMP: &str = "2026-01-01T00:00:00.000000Z";

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
        write_batch(&transaction, holder)?;
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
    Ok(Turn {
        rate,
        latencies,
        failures: Failures::default(),
        server_time: None,
        generator_busy: None,
        disk_bytes,
    })
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

fn open(database: &Path) -> Result<Connection, BenchError> {
    let connection = Connection::open(database)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(SCHEMA)?;
    Ok(connection)
}

fn write_batch(transaction: &Transaction<'_>, holder: Uuid) -> Result<(), BenchError> {
    let mut insert_event = transaction.prepare_cached(INSERT_EVENT)?;
    let mut insert_order = transaction.prepare_cached(INSERT_ORDER)?;
    let owner = holder.to_string();
    for _ in 0..BATCH {
        let order = Uuid::now_v7().to_string();
        let stream = format!("order-{order}");
        let data = format!(r#"{{"holder":"{holder}","currency_code":null,"lines":[]}}"#);
        let metadata = format!(r#"{{"actor":"{holder}","correlation_id":"{order}"}}"#);
        let event = Uuid::now_v7().to_string();
        insert_event.execute(params![event, stream, TIMESTAMP, owner, order, data, metadata])?;
        let position = transaction.last_insert_rowid();
        insert_order.execute(params![order, owner, TIMESTAMP, position])?;
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
        for table in ["event", "orders"] {
            let count = format!("SELECT count(*) FROM {table}");
            let rows: u32 = connection.query_row(&count, [], |row| row.get(0)).unwrap();
            assert_eq!(rows, 2 * BATCH, "{table}");
        }
    }
}
