//! The control of P5: one PostgreSQL connection, writing what orders cost at least, in full batches.
//!
//! No HTTP, no decision, no idempotency, no lock, nobody told: one connection, and for each batch one prepared
//! statement, which is a transaction of its own: arrays, unnested into both tables. Tables and indexes are the
//! product's.

use std::time::Instant;

use daybook_database::{Database, DatabaseSettings, Migrate, PostgresSettings};
use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::sqlx::{self, Connection};
use uuid::Uuid;

use super::order_rows::{MICROS, OrderRows};
use crate::error::{BenchError, Doing};
use crate::histogram::Histogram;
use crate::interrupt;
use crate::options::Pace;
use crate::rounds::{Turn, as_float, per_second};
use crate::servers::PostgresServer;

/// Commands in one transaction: each is an event row and an order row.
pub(crate) const BATCH: u32 = 256;

const INSERT: &str = "
    WITH event AS (
        INSERT INTO events (position, id, stream, version, event_type, entry_id, owner_id, order_id, timestamp,
                            data, metadata)
        SELECT position, id, stream, 1, 'OrderCreated', entry, $7, \"order\", $8, data, metadata
        FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::uuid[], $5::uuid[], $6::text[], $9::text[])
             AS new (position, id, stream, entry, \"order\", data, metadata)
    )
    INSERT INTO orders (id, holder_id, status, currency, lines, paid, account_id, created_at, version,
                        position)
    SELECT id, $7, 'PENDING', NULL, NULL, false, NULL, $8, 1, position
    FROM unnest($5::uuid[], $1::bigint[]) AS new (id, position)";

/// Writes batches to a new database for one turn. The latencies are those of whole transactions.
///
/// # Errors
/// Where PostgreSQL refuses, or the run was asked to end.
pub(crate) fn turn(server: &PostgresServer, pace: Pace) -> Result<Turn, BenchError> {
    let database = server.database()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.doing("starting the control")?;
    let (turn, written) = runtime.block_on(async {
        make_tables(database.url()).await?;
        let mut connection = PgConnection::connect(database.url()).await?;
        let written = write(&mut connection, pace).await?;
        connection.close().await?;
        Ok::<_, BenchError>(written)
    })?;
    let disk_bytes = Some(database.bytes()? / as_float(written.max(1)));
    Ok(Turn { disk_bytes, batch: Some(f64::from(BATCH)), ..turn })
}

/// The product's own.
async fn make_tables(url: &str) -> Result<(), BenchError> {
    let settings = PostgresSettings {
        url: url.to_owned(),
        connections: 1,
        statement_timeout: crate::load::GRACE,
    };
    let opened = Database::open(&DatabaseSettings::Postgres(settings), Migrate::Up).await;
    opened.map_err(|error| BenchError::failed(error.to_string()))?.close().await;
    Ok(())
}

/// Also how many commands were written in all.
async fn write(connection: &mut PgConnection, pace: Pace) -> Result<(Turn, u64), BenchError> {
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
        write_batch(connection, holder, written).await?;
        written += batch;
        now = Instant::now();
        if now >= start && now < end {
            latencies.record(now - begun);
            counted += batch;
        }
    }
    let rate = per_second(counted, now.min(end).saturating_duration_since(start));
    Ok((Turn { latencies, ..Turn::of_rate(rate) }, written))
}

async fn write_batch(
    connection: &mut PgConnection,
    holder: Uuid,
    written: u64,
) -> Result<(), BenchError> {
    let positions: Vec<i64> = (written + 1..).take(BATCH as usize).map(u64::cast_signed).collect();
    let rows: Vec<OrderRows> = positions.iter().map(|_| OrderRows::new(holder)).collect();
    let ids = |id: fn(&OrderRows) -> Uuid| rows.iter().map(id).collect::<Vec<_>>();
    let texts = |text: fn(&OrderRows) -> &str| rows.iter().map(text).collect::<Vec<_>>();
    let insert = sqlx::query(INSERT)
        .bind(&positions)
        .bind(ids(|rows| rows.event))
        .bind(texts(|rows| &rows.stream))
        .bind(ids(|rows| rows.entry))
        .bind(ids(|rows| rows.order))
        .bind(texts(|rows| &rows.data))
        .bind(holder)
        .bind(MICROS)
        .bind(texts(|rows| &rows.metadata));
    insert.execute(connection).await?;
    Ok(())
}

/// Writes one batch after so many events.
#[cfg(test)]
pub(crate) async fn write_one_batch(url: &str, written: u64) -> Result<(), BenchError> {
    write_batch(&mut PgConnection::connect(url).await?, Uuid::now_v7(), written).await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_turn_writes_whole_batches_to_both_tables() {
        let server = PostgresServer::start().unwrap();
        let database = server.database().unwrap();
        let pace = Pace {
            warm_up: Duration::ZERO,
            measured: Duration::from_mins(1),
            most_requests: 2 * u64::from(BATCH),
        };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (turn, written) = runtime.block_on(async {
            make_tables(database.url()).await.unwrap();
            let mut connection = PgConnection::connect(database.url()).await.unwrap();
            write(&mut connection, pace).await.unwrap()
        });
        assert_eq!((written, turn.latencies.count()), (512, 2));
        assert!(turn.rate > 0.0 && database.bytes().unwrap() > 51_200.0);
        for table in ["events", "orders"] {
            let count = format!("SELECT count(*)::float8 FROM {table}");
            assert_eq!(database.number(&count).unwrap(), Some(512.0), "{table}");
        }
    }
}
