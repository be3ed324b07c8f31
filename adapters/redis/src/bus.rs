//! The bus between instances.

use std::time::Duration;

use async_trait::async_trait;
use daybook_events::{
    BusError, EventBus, EventSignals, NotificationPublished, RecordedEvent, Signal, Topic,
};
use futures_util::StreamExt;
use tokio_stream::wrappers::BroadcastStream;
use tracing::warn;

use crate::channels::{Message, Raw};
use crate::client::Redis;
use crate::cloud_event::{self, Batch};
use crate::listen::{self, Messages, channel_of};
use crate::trouble::RedisTrouble;

/// How long publishing a batch may take.
const PUBLISHING: Duration = Duration::from_secs(2);

/// The bus between instances: Redis' publish and subscribe.
///
/// Events go to one channel, as `CloudEvents`; the text of a notification goes to the channel of its
/// topic besides. What is published while a subscriber is cut off from Redis is lost to it, and it
/// hears that it missed something once it is back.
#[derive(Clone, Debug)]
pub struct RedisBus {
    redis: Redis,
}

impl RedisBus {
    /// The bus on a connection.
    pub fn new(redis: Redis) -> Self {
        Self { redis }
    }

    /// Listens on a topic from now on, to whoever publishes there: also to those who know nothing
    /// of Daybook. Where Redis can't be reached it hears a [`crate::Heard::Missed`] once it can, and
    /// what is published from then on. Who does not listen is kept a bounded number of messages.
    pub async fn listen(&self, topic: &Topic) -> Messages {
        listen::listen(&self.redis, topic).await
    }

    fn messages(&self, events: &Batch) -> Result<Vec<(String, Vec<u8>)>, BusError> {
        let written = cloud_event::write(events).map_err(|error| BusError(error.to_string()))?;
        let channel = self.redis.events_channel();
        let told = written.into_iter().map(|message| (channel.to_owned(), message));
        Ok(told.chain(events.iter().filter_map(|event| notification(event))).collect())
    }
}

#[async_trait]
impl EventBus for RedisBus {
    async fn publish(&self, events: Batch) -> Result<(), BusError> {
        if events.is_empty() {
            return Ok(());
        }
        let messages = self.messages(&events)?;
        let published = self.redis.call(PUBLISHING, true, |mut link| {
            let messages = &messages;
            async move { link.publish(messages).await }
        });
        published.await.map_err(unavailable)
    }

    async fn subscribe(&self) -> Result<EventSignals, BusError> {
        let heard = self.redis.listen(self.redis.events_channel()).await;
        Ok(Box::pin(BroadcastStream::new(heard).map(|heard| match heard {
            Ok(Raw::Message(message)) => signal(&message),
            // The one error is that messages were dropped before they were heard.
            Ok(Raw::Missed) | Err(_) => Signal::Missed,
        })))
    }

    async fn check(&self) -> Result<(), BusError> {
        self.redis.check().await.map_err(unavailable)
    }
}

/// Where a notification goes, and its text.
fn notification(event: &RecordedEvent) -> Option<(String, Vec<u8>)> {
    if event.event_type != "NotificationPublished" {
        return None;
    }
    match event.data.read::<NotificationPublished>() {
        Ok(NotificationPublished { topic, message }) => {
            Some((channel_of(&topic), message.as_str().as_bytes().to_vec()))
        }
        Err(error) => {
            warn!(%error, position = %event.position, "a notification can't be read");
            None
        }
    }
}

/// What a message tells, read by whoever hears it first.
fn signal(message: &Message) -> Signal {
    let events = message.events.get_or_init(|| match cloud_event::read(&message.payload) {
        Ok(events) => Some(events),
        Err(error) => {
            warn!(%error, "a message on the events channel of Redis can't be read");
            None
        }
    });
    events.clone().map_or(Signal::Missed, Signal::Events)
}

#[expect(clippy::needless_pass_by_value, reason = "the form in which errors are mapped")]
fn unavailable(trouble: RedisTrouble) -> BusError {
    BusError(trouble.to_string())
}
