//! P12: durable commands from 256 clients on `SQLite`, beside rusqlite alone.

use crate::controls::raw_sqlite;
use crate::direct;
use crate::error::BenchError;
use crate::options::Options;
use crate::report::{self, Heading};
use crate::rounds::{Turn, alternate};

pub(super) const CLIENTS: u32 = 256;
pub(super) const CONTROL: &str = "rusqlite in one thread: no HTTP, no token, no decision; an event row and an order row a command";

/// Measures and prints the figure.
pub(super) fn measure(options: &Options) -> Result<(), BenchError> {
    let result =
        alternate(options.rounds, || direct::on_sqlite(options, CLIENTS), || control(options))?;
    let heading = Heading {
        name: "P12",
        path: "durable create-order commands on SQLite, without HTTP, 256 clients",
        control: CONTROL,
        goal: Some(0.7),
        notes: vec![
            control_note(),
            "product: this program's allocator is the system's; `daybook` itself has another"
                .to_owned(),
        ],
    };
    report::comparison(&heading, &result)
}

/// One turn of the control.
pub(super) fn control(options: &Options) -> Result<Turn, BenchError> {
    let folder = options.temporary_folder()?;
    raw_sqlite::turn(&folder.path().join("control.db"), options.pace())
}

/// What a reader must know of the control.
pub(super) fn control_note() -> String {
    let batch = raw_sqlite::BATCH;
    format!(
        "control: {batch} commands a transaction, WAL, synchronous=FULL; its latencies are of whole transactions"
    )
}
