//! P3: one durable command after the other from one client on PostgreSQL, beside pgbench inserting one row after the
//! other.

use super::create_orders_on;
use crate::controls::pgbench::Pgbench;
use crate::direct::{self, Work};
use crate::error::BenchError;
use crate::options::Options;
use crate::report::{self, Heading};
use crate::rounds::alternate;
use crate::servers::PostgresServer;

const CONTROL: &str =
    "pgbench, one connection, prepared: one row of an id and the text of an event a transaction";

/// Measures and prints the figure.
pub(super) fn measure(options: &Options) -> Result<(), BenchError> {
    let (pgbench, server) = (Pgbench::find()?, PostgresServer::start()?);
    let product = || direct::on_postgres(options, &server.database()?, Work::Orders { clients: 1 });
    let result = alternate(options.rounds, product, || pgbench.inserts(options, &server, 1))?;
    let heading = Heading {
        name: "P3",
        path: "durable create-order commands on PostgreSQL, without HTTP, one client",
        control: CONTROL,
        goal: Some(0.9),
        notes: notes(options, &server),
    };
    report::comparison(&heading, &result)
}

/// What it comes to over HTTP: no goal of its own.
pub(super) fn measure_over_http(options: &Options) -> Result<(), BenchError> {
    let (pgbench, server) = (Pgbench::find()?, PostgresServer::start()?);
    let product = || create_orders_on(options, &server, 1);
    let result = alternate(options.rounds, product, || pgbench.inserts(options, &server, 1))?;
    let heading = Heading {
        name: "p3-http",
        path: "the same over HTTP: durable POST /orders on PostgreSQL, one client",
        control: CONTROL,
        goal: None,
        notes: notes(options, &server),
    };
    report::comparison(&heading, &result)
}

fn notes(options: &Options, server: &PostgresServer) -> Vec<String> {
    let mut notes = server.notes(options);
    notes.push(
        "product: an event row with four indexes and an order row with two a command".to_owned(),
    );
    notes
}
