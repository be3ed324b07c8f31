//! P7: tasks go from the log to RabbitMQ, each confirmed, beside the AMQP client alone.

use super::brokered::{Brokered, control, count};
use crate::controls::raw_rabbitmq::{self, WINDOW};
use crate::direct::{self, Work};
use crate::error::BenchError;
use crate::options::Options;
use crate::report::{self, Heading};
use crate::rounds::alternate;

/// Measures and prints the figure.
pub(super) fn measure(options: &Options) -> Result<(), BenchError> {
    let (servers, count) = (Brokered::start()?, count(options));
    let product = || {
        let (database, broker) = (servers.postgres.database()?, servers.queue());
        let work = Work::Relay { broker: broker.clone(), count };
        let turn = direct::with_broker(options, &database, work)?;
        servers.expect_and_remove(&broker, count)?;
        Ok(turn)
    };
    let control = || {
        let queue = servers.queue().queue;
        control(count, raw_rabbitmq::send(servers.port(), &servers.message, &queue, count))
    };
    let result = alternate(options.rounds, product, control)?;

    let mut notes = servers.notes(options);
    notes.push(
        "product: begins with being elected, reads every event and every task from PostgreSQL, and ends with its \
         checkpoint at the head of the log"
            .to_owned(),
    );
    notes.push(format!("both: at most {WINDOW} messages unconfirmed"));
    let heading = Heading {
        name: "P7",
        path: "relay from the log on PostgreSQL to RabbitMQ, confirmed",
        control: "the AMQP client alone, sending one message of the product's over and over, confirmed",
        goal: Some(0.85),
        notes,
    };
    report::comparison(&heading, &result)
}
