use std::path::Path;

use rusqlite::Connection;

use super::*;
use crate::controls::raw_postgres;
use crate::servers::PostgresServer;

fn pace(most_requests: u64) -> Pace {
    Pace { warm_up: Duration::ZERO, measured: Duration::from_mins(1), most_requests }
}

fn put(store: Store, pace: Pace, work: Work) -> load::Outcome {
    let job = serde_json::to_string(&Job { store, pace, work }).unwrap();
    let job: Job = serde_json::from_str(&job).unwrap();
    let ran = tokio::runtime::Runtime::new().unwrap().block_on(job.put()).unwrap();
    let Ran { outcome, .. } = serde_json::from_str(&serde_json::to_string(&ran).unwrap()).unwrap();
    assert_eq!(outcome.failures.count, 0, "{:?}", outcome.failures);
    outcome
}

fn create_orders(file: &Path, clients: u32, pace: Pace) -> load::Outcome {
    put(Store::Sqlite(file.to_owned()), pace, Work::Orders { clients })
}

#[test]
fn every_answered_command_is_an_order_in_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("daybook.db");
    let outcome = create_orders(&file, 16, pace(8 * 16));
    assert_eq!((outcome.answers, outcome.latencies.count()), (128, 128));

    let connection = Connection::open(&file).unwrap();
    for table in ["events", "orders"] {
        let count = format!("SELECT count(*) FROM {table}");
        let rows: u32 = connection.query_row(&count, [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 128, "{table}");
    }
    assert!(raw_sqlite::average_batch(&file).unwrap().unwrap() >= 1.0);
}

#[test]
fn every_payment_comes_from_the_one_account() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("daybook.db");
    let outcome = put(Store::Sqlite(file.clone()), pace(40), Work::Payments { at_once: 20 });
    assert_eq!((outcome.answers, outcome.latencies.count()), (40, 40));

    let connection = Connection::open(&file).unwrap();
    let paid = "SELECT count(*) FROM orders JOIN accounts ON accounts.id = account_id WHERE paid";
    let paid: u32 = connection.query_row(paid, [], |row| row.get(0)).unwrap();
    let spent = "SELECT initial_balance - balance FROM accounts";
    let spent: u32 = connection.query_row(spent, [], |row| row.get(0)).unwrap();
    assert_eq!((paid, spent), (40, 40 * 100));
}

/// The control writes to the same tables, and rows as large.
#[test]
fn the_control_on_sqlite_is_made_like_the_product() {
    let folder = tempfile::tempdir().unwrap();
    let [product, control] = ["daybook.db", "control.db"].map(|name| folder.path().join(name));
    create_orders(&product, 1, pace(1));
    raw_sqlite::turn(&control, pace(1)).unwrap();

    let schema = "SELECT group_concat(sql, ';') FROM (SELECT sql FROM sqlite_master \
                  WHERE tbl_name IN ('events', 'orders') AND sql IS NOT NULL ORDER BY name)";
    let event = "SELECT concat_ws(' ', typeof(id), length(stream), version, event_type, \
                 typeof(entry_id), typeof(owner_id), typeof(order_id), typeof(timestamp), \
                 length(json_remove(data, '$.created_at')), length(metadata)) FROM events LIMIT 1";
    let order = "SELECT concat_ws(' ', typeof(id), typeof(holder_id), status, typeof(currency), \
                 typeof(lines), paid, typeof(account_id), typeof(created_at), version) \
                 FROM orders LIMIT 1";
    for query in [schema, event, order] {
        let [product, control] = [&product, &control].map(|file| {
            let connection = Connection::open(file).unwrap();
            let told: String = connection.query_row(query, [], |row| row.get(0)).unwrap();
            told.split_whitespace().collect::<Vec<_>>().join(" ")
        });
        assert_eq!(product, control);
    }
}

/// So it does on PostgreSQL, where the tables are made by the product's own migrations.
#[test]
fn the_control_on_postgres_writes_what_the_product_writes() {
    let server = PostgresServer::start().unwrap();
    let database = server.database().unwrap();
    let store = Store::Postgres(database.url().to_owned());
    put(store, pace(1), Work::Orders { clients: 1 });
    // A row of the control beside that of the product; the control's turns take databases of their own.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(raw_postgres::write_one_batch(database.url(), 1)).unwrap();

    let alike = [
        "SELECT count(DISTINCT (length(stream), version, event_type, owner_id IS NULL, \
         order_id IS NULL, length((data::jsonb - 'created_at')::text), length(metadata))) FROM events",
        "SELECT count(DISTINCT (status, currency, lines, paid, account_id, version)) FROM orders",
        "SELECT count(*) / 257 FROM events JOIN orders ON orders.id = order_id",
    ];
    for query in alike {
        let query = format!("SELECT ({query})::float8");
        assert_eq!(database.number(&query).unwrap(), Some(1.0), "{query}");
    }
}
