//! P8: tasks are put on RabbitMQ, done, recorded and acknowledged, beside the AMQP client sending and receiving alone.

use super::brokered::{Brokered, control, count};
use crate::controls::raw_rabbitmq::{self, WINDOW};
use crate::direct::{self, Work, prefetch};
use crate::error::BenchError;
use crate::options::Options;
use crate::report::{self, Heading};
use crate::rounds::{alternate, as_float};

/// As many at a time as someone would set for short tasks, where `DAYBOOK_TASKS` does not say otherwise. The product's
/// own default is 8.
const CONCURRENCY: u32 = 128;

/// Measures and prints the figure.
pub(super) fn measure(options: &Options) -> Result<(), BenchError> {
    let concurrency = options.daybook_number("DAYBOOK_TASKS")?.unwrap_or(CONCURRENCY);
    let (servers, count) = (Brokered::start()?, count(options));
    let product = || {
        let (database, broker) = (servers.postgres.database()?, servers.queue());
        let work = Work::Tasks { broker: broker.clone(), count, concurrency };
        let turn = direct::with_broker(options, &database, work)?;
        servers.expect_and_remove(&broker, 0)?;
        let open = "SELECT count(*)::float8 FROM tasks WHERE state <> 'done' OR attempts <> 1";
        let all = "SELECT count(*)::float8 FROM tasks";
        if database.number(open)? != Some(0.0) || database.number(all)? != Some(as_float(count)) {
            return Err(BenchError::failed(
                "not every task is recorded as done at the first attempt",
            ));
        }
        Ok(turn)
    };
    let ahead = prefetch(concurrency);
    let control = || {
        let queue = servers.queue().queue;
        let (port, message) = (servers.port(), &servers.message);
        control(count, raw_rabbitmq::send_and_receive(port, message, &queue, count, ahead))
    };
    let result = alternate(options.rounds, product, control)?;

    let mut notes = servers.notes(options);
    notes.push(format!(
        "product: {concurrency} tasks at a time; each is recorded as running and as done, and acknowledged alone"
    ));
    notes.push(format!(
        "control: up to 64 messages acknowledged together; both: {ahead} fetched ahead, at most {WINDOW} unconfirmed"
    ));
    let heading = Heading {
        name: "P8",
        path: "task on RabbitMQ, done, recorded on PostgreSQL, acknowledged",
        control: "the AMQP client alone, sending (confirmed) and receiving at the same time",
        goal: Some(0.4),
        notes,
    };
    report::comparison(&heading, &result)
}
