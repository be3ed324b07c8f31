//! P12: durable commands from 256 clients on `SQLite`, beside rusqlite alone.

use super::create_orders;
use crate::controls::raw_sqlite;
use crate::error::BenchError;
use crate::options::Options;
use crate::report::{self, Heading};
use crate::rounds::alternate;

const CLIENTS: u32 = 256;

/// Measures and prints the figure.
pub(super) fn measure(options: &Options) -> Result<(), BenchError> {
    let product = || create_orders(options, CLIENTS);
    let control = || {
        let folder = options.temporary_folder()?;
        raw_sqlite::turn(&folder.path().join("control.db"), options.pace())
    };
    let result = alternate(options.rounds, product, control)?;
    let batch = raw_sqlite::BATCH;
    let heading = Heading {
        name: "P12",
        path: "durable POST /orders on SQLite over HTTP, 256 clients",
        control: "rusqlite in one thread: no HTTP, no token, no decision; an event row and an order row a command",
        goal: 0.7,
        notes: vec![format!(
            "control: {batch} commands a transaction, WAL, synchronous=FULL; its latencies are of whole transactions"
        )],
    };
    report::comparison(&heading, &result)
}
