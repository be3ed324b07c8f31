//! What P12 comes to over HTTP: no goal of its own, but what a client sees.

use super::create_orders;
use super::durable_orders::{CLIENTS, CONTROL, control, control_note};
use crate::error::BenchError;
use crate::options::Options;
use crate::report::{self, Heading};
use crate::rounds::alternate;

/// Measures and prints the figure.
pub(super) fn measure(options: &Options) -> Result<(), BenchError> {
    let result =
        alternate(options.rounds, || create_orders(options, CLIENTS), || control(options))?;
    let heading = Heading {
        name: "p12-http",
        path: "the same over HTTP: durable POST /orders on SQLite, 256 clients",
        control: CONTROL,
        goal: None,
        notes: vec![control_note()],
    };
    report::comparison(&heading, &result)
}
