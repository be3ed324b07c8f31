//! P6: 256 orders at once are paid from one account on PostgreSQL, beside P4's own turn, where nothing is shared.

use super::many_clients::{self, CLIENTS};
use crate::direct::{self, Work};
use crate::error::BenchError;
use crate::options::Options;
use crate::report::{self, Heading};
use crate::rounds::alternate;
use crate::servers::PostgresServer;

/// Measures and prints the figure.
pub(super) fn measure(options: &Options) -> Result<(), BenchError> {
    let server = PostgresServer::start()?;
    let product = || {
        let work = Work::Payments { at_once: CLIENTS };
        // Creating the orders is no part of the turn, and would be in the average.
        let turn = direct::on_postgres(options, &server.database()?, work)?;
        Ok(crate::rounds::Turn { batch: None, disk_bytes: None, ..turn })
    };
    let result = alternate(options.rounds, product, || many_clients::turn(options, &server))?;
    let mut notes = server.notes(options);
    notes.push(
        "product: the orders are there before; 256 are paid at once, then the next 256, and only paying is measured"
            .to_owned(),
    );
    notes.push(
        "product: a payment is two events, two postings, the order and the account; the control's command is one \
         event and an order, and each of its 256 clients goes on as soon as it is answered"
            .to_owned(),
    );
    let heading = Heading {
        name: "P6",
        path: "pay 256 orders at once from one account on PostgreSQL, without HTTP",
        control: "P4's product: create-order commands, without HTTP, 256 clients",
        goal: Some(0.8),
        notes,
    };
    report::comparison(&heading, &result)
}
