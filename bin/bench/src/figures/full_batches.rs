//! P5: durable commands from 256 clients on PostgreSQL, beside one connection that writes full batches.

use super::many_clients;
use crate::controls::raw_postgres;
use crate::error::BenchError;
use crate::options::Options;
use crate::report::{self, Heading};
use crate::rounds::alternate;
use crate::servers::PostgresServer;

/// Measures and prints the figure.
pub(super) fn measure(options: &Options) -> Result<(), BenchError> {
    let server = PostgresServer::start()?;
    let product = || many_clients::turn(options, &server);
    let control = || raw_postgres::turn(&server, options.pace());
    let result = alternate(options.rounds, product, control)?;
    let batch = raw_postgres::BATCH;
    let mut notes = server.notes(options);
    notes.push(format!(
        "control: {batch} commands a transaction, in one prepared statement of arrays; its latencies are of whole \
         transactions"
    ));
    let heading = Heading {
        name: "P5",
        path: "durable create-order commands on PostgreSQL, without HTTP, 256 clients",
        control: "one connection: no HTTP, no token, no decision; an event row and an order row a command, in the \
                  product's tables",
        goal: Some(0.5),
        notes,
    };
    report::comparison(&heading, &result)
}
