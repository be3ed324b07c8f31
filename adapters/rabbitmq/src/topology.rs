//! The queues on the broker.

use std::time::Duration;

use amqprs::channel::{Channel, QueueDeclareArguments};
use amqprs::{FieldTable, FieldValue};
use daybook_events::Priority;

use crate::fault::Fault;
use crate::line::Line;
use crate::settings::RabbitSettings;

/// The shortest wait is 2⁶ ms, the longest 2²⁶ ms: some 18 hours.
const SHORTEST: u8 = 6;
const LONGEST: u8 = 26;
/// How many dead letters are kept, and how many bytes of them.
const DEAD_LETTERS: i64 = 100_000;
const DEAD_BYTES: i64 = 1 << 30;

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// To whoever is free, among the tasks that are as urgent.
    Work(Priority),
    /// To the dead letters.
    Dead,
    /// To wait for this power of two of milliseconds.
    Wait(u8),
    /// To a queue that is not there: the broker says that it took it, and drops it.
    Nowhere,
}

impl Route {
    /// Where a task goes that is to be done after so long: to the longest wait that does not make
    /// it late, or to the shortest.
    pub(crate) fn after(wait: Duration, priority: Priority) -> Self {
        if wait.is_zero() {
            return Self::Work(priority);
        }
        let power = wait.as_millis().checked_ilog2().and_then(|power| u8::try_from(power).ok());
        Self::Wait(power.unwrap_or(SHORTEST).clamp(SHORTEST, LONGEST))
    }
}

/// The queues' names and kinds.
#[derive(Clone, Debug)]
pub(crate) struct Topology {
    queue: String,
    quorum: bool,
}

impl Topology {
    pub(crate) fn new(settings: &RabbitSettings) -> Self {
        Self { queue: settings.queue.clone(), quorum: settings.quorum }
    }

    /// The queue that tasks of this priority are taken from.
    pub(crate) fn work(&self, priority: Priority) -> String {
        self.name(Route::Work(priority))
    }

    /// The queue of tasks whose wait has ended.
    pub(crate) fn due(&self) -> String {
        format!("{}.due", self.queue)
    }

    pub(crate) fn name(&self, route: Route) -> String {
        match route {
            Route::Work(Priority::Normal) => self.queue.clone(),
            Route::Work(urgency) => format!("{}.{}", self.queue, urgency.as_str()),
            Route::Dead => format!("{}.dead", self.queue),
            Route::Nowhere => format!("{}.nowhere", self.queue),
            Route::Wait(power) => format!("{}.wait.{}", self.queue, 1_u64 << power),
        }
    }

    /// Declares the queues that every process needs.
    pub(crate) async fn declare(&self, line: &Line, channel: &Channel) -> Result<(), Fault> {
        let (mut work, mut dead) = (FieldTable::new(), FieldTable::new());
        // Without quorum they are declared without a word about it, as the known programs do.
        if self.quorum {
            insert(&mut work, "x-queue-type", "quorum".into());
            insert(&mut dead, "x-queue-type", "quorum".into());
            // Newer brokers give up on a message after so many deliveries: then not without a trace.
            dead_letter_to(&mut work, self.name(Route::Dead));
        }
        insert(&mut dead, "x-max-length", FieldValue::l(DEAD_LETTERS));
        insert(&mut dead, "x-max-length-bytes", FieldValue::l(DEAD_BYTES));
        for priority in Priority::ALL {
            declare(line, channel, self.work(priority), work.clone()).await?;
        }
        declare(line, channel, self.name(Route::Dead), dead).await?;
        declare(line, channel, self.due(), handing_on_to(self.queue.clone(), self.quorum)).await
    }

    /// How many messages are on the queues of tasks that nobody has fetched.
    pub(crate) async fn backlog(&self, line: &Line, channel: &Channel) -> Result<u64, Fault> {
        let mut backlog = 0;
        for priority in Priority::ALL {
            let queue = self.work(priority);
            let passive = QueueDeclareArguments::new(&queue).passive(true).finish();
            let declared = line.step(Some(&queue), channel.queue_declare(passive)).await?;
            backlog += declared.map_or(0, |(_, messages, _)| u64::from(messages));
        }
        Ok(backlog)
    }

    /// Declares the queue at the end of a route that few processes need.
    pub(crate) async fn declare_wait(
        &self,
        line: &Line,
        channel: &Channel,
        power: u8,
    ) -> Result<(), Fault> {
        let mut wait = handing_on_to(self.due(), self.quorum);
        insert(&mut wait, "x-message-ttl", FieldValue::l(1_i64 << power));
        declare(line, channel, self.name(Route::Wait(power)), wait).await
    }
}

/// A queue that gives its messages up to another. A quorum queue forgets them when that has stored
/// them; a classic one at once, and a broker that dies in that instant has neither.
fn handing_on_to(queue: String, quorum: bool) -> FieldTable {
    let mut arguments = FieldTable::new();
    if quorum {
        insert(&mut arguments, "x-queue-type", "quorum".into());
        insert(&mut arguments, "x-dead-letter-strategy", "at-least-once".into());
        insert(&mut arguments, "x-overflow", "reject-publish".into());
    }
    dead_letter_to(&mut arguments, queue);
    arguments
}

fn dead_letter_to(arguments: &mut FieldTable, queue: String) {
    insert(arguments, "x-dead-letter-exchange", "".into());
    insert(arguments, "x-dead-letter-routing-key", queue.into());
}

/// Sets a value. The names are ours and short; the library counts a replaced value twice.
pub(crate) fn insert(table: &mut FieldTable, name: &'static str, value: FieldValue) {
    if let Ok(name) = name.try_into() {
        table.remove(&name);
        table.insert(name, value);
    }
}

async fn declare(
    line: &Line,
    channel: &Channel,
    queue: String,
    arguments: FieldTable,
) -> Result<(), Fault> {
    let declaration =
        QueueDeclareArguments::durable_client_named(&queue).arguments(arguments).finish();
    line.step(Some(&queue), channel.queue_declare(declaration)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_never_too_long_except_for_the_shortest() {
        let normal = |wait| Route::after(wait, Priority::Normal);
        let after = |millis| normal(Duration::from_millis(millis));
        assert_eq!(after(0), Route::Work(Priority::Normal));
        assert_eq!(normal(Duration::from_micros(1)), Route::Wait(6));
        assert_eq!([1, 64, 127].map(after), [Route::Wait(6); 3]);
        assert_eq!(after(128), Route::Wait(7));
        assert_eq!(after(1_500), Route::Wait(10));
        assert_eq!(normal(Duration::MAX), Route::Wait(26));
        let queue = "tasks".to_owned();
        let names = Topology { queue, quorum: false };
        assert_eq!(names.name(after(1_500)), "tasks.wait.1024");
        let queues = Priority::ALL.map(|priority| names.work(priority));
        assert_eq!(queues, ["tasks.high", "tasks", "tasks.low"]);
    }
}
