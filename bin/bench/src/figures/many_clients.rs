//! P4: durable commands from 256 clients on PostgreSQL, beside pgbench inserting one row a transaction.

use std::time::Duration;

use super::create_orders_on;
use crate::controls::pgbench::Pgbench;
use crate::direct::{self, Work};
use crate::error::BenchError;
use crate::options::Options;
use crate::report::{self, Heading};
use crate::rounds::{Comparison, Turn, alternate};
use crate::servers::PostgresServer;

pub(super) const CLIENTS: u32 = 256;
const CONNECTIONS: u32 = 64;
const CONTROL: &str =
    "pgbench, 64 connections, prepared: one row of an id and the text of an event a transaction";
/// What 99 of 100 commands are to be answered within, where that is more than so many commits.
const PATIENCE: Duration = Duration::from_millis(30);
const COMMITS: u32 = 4;

/// Measures and prints the figure.
pub(super) fn measure(options: &Options) -> Result<(), BenchError> {
    let (pgbench, server) = (Pgbench::find()?, PostgresServer::start()?);
    let commit = pgbench.commit(options, &server)?;
    let product = || turn(options, &server);
    let result =
        alternate(options.rounds, product, || pgbench.inserts(options, &server, CONNECTIONS))?;
    let heading = Heading {
        name: "P4",
        path: "durable create-order commands on PostgreSQL, without HTTP, 256 clients",
        control: CONTROL,
        goal: Some(2.0),
        notes: notes(options, &server, commit),
    };
    print(&heading, &result, commit)
}

/// What it comes to over HTTP: no goal of its own, but for how long it takes.
pub(super) fn measure_over_http(options: &Options) -> Result<(), BenchError> {
    let (pgbench, server) = (Pgbench::find()?, PostgresServer::start()?);
    let commit = pgbench.commit(options, &server)?;
    let product = || create_orders_on(options, &server, CLIENTS);
    let result =
        alternate(options.rounds, product, || pgbench.inserts(options, &server, CONNECTIONS))?;
    let heading = Heading {
        name: "p4-http",
        path: "the same over HTTP: durable POST /orders on PostgreSQL, 256 clients",
        control: CONTROL,
        goal: None,
        notes: notes(options, &server, commit),
    };
    print(&heading, &result, commit)
}

/// One turn of the product without HTTP, on a new database.
pub(super) fn turn(options: &Options, server: &PostgresServer) -> Result<Turn, BenchError> {
    direct::on_postgres(options, &server.database()?, Work::Orders { clients: CLIENTS })
}

fn notes(options: &Options, server: &PostgresServer, commit: Duration) -> Vec<String> {
    let mut notes = server.notes(options);
    let micros = commit.as_micros();
    notes.push(format!("one commit takes {micros} µs, as pgbench sees it with one connection"));
    notes
}

fn print(heading: &Heading<'_>, result: &Comparison, commit: Duration) -> Result<(), BenchError> {
    let printed = report::comparison(heading, result);
    let goal = PATIENCE.max(commit * COMMITS).as_secs_f64() * 1e3;
    report::below("p99 of the product", "ms", result.product.percentile_millis(99), goal);
    printed
}
