//! What comes from the queues on the broker.

use amqprs::channel::{BasicConsumeArguments, BasicQosArguments, Channel, ConsumerMessage};
use daybook_events::Priority;
use tokio::sync::mpsc;

use crate::fault::Fault;
use crate::line::Line;

/// What comes from the queues of tasks.
pub(crate) struct Work {
    pub(crate) high: Inlet,
    pub(crate) normal: Inlet,
    pub(crate) low: Inlet,
}

impl Work {
    /// The next message, of whichever priority; `None` where a queue has ended.
    pub(crate) async fn next(&mut self) -> Option<(Priority, Channel, ConsumerMessage)> {
        let Self { high, normal, low } = self;
        let (priority, inlet, message) = tokio::select! {
            message = high.messages.recv() => (Priority::High, high, message),
            message = normal.messages.recv() => (Priority::Normal, normal, message),
            message = low.messages.recv() => (Priority::Low, low, message),
        };
        Some((priority, inlet.channel.clone(), message?))
    }

    pub(crate) fn each(&mut self) -> [(Priority, &mut Inlet); 3] {
        [
            (Priority::High, &mut self.high),
            (Priority::Normal, &mut self.normal),
            (Priority::Low, &mut self.low),
        ]
    }
}

/// What comes from one queue: never more than was asked for ahead.
pub(crate) struct Inlet {
    pub(crate) channel: Channel,
    pub(crate) consumer: String,
    pub(crate) messages: mpsc::UnboundedReceiver<ConsumerMessage>,
}

/// Takes messages from a queue, so many ahead.
pub(crate) async fn inlet(
    line: &Line,
    channel: Channel,
    queue: &str,
    ahead: u16,
) -> Result<Inlet, Fault> {
    line.step(None, channel.basic_qos(BasicQosArguments::new(0, ahead, false))).await?;
    let arguments = BasicConsumeArguments::new(queue, "");
    let (consumer, messages) = line.step(Some(queue), channel.basic_consume_rx(arguments)).await?;
    Ok(Inlet { channel, consumer, messages })
}
