//! The bus between instances.

use std::time::Duration;

use async_trait::async_trait;
use daybook_application::PresentIdentity;
use daybook_events::{
    BusError, EventBus, EventSignals, NotificationPublished, RecordedEvent, Signal,
};
use futures_util::{StreamExt, future};
use tokio_stream::wrappers::BroadcastStream;
use tracing::warn;

use crate::channels::{Message, Raw};
use crate::client::Redis;
use crate::cloud_event::{self, Batch, Told};
use crate::listen::channel_of;
use crate::trouble::RedisTrouble;

/// How long publishing a batch may take.
const PUBLISHING: Duration = Duration::from_secs(2);

/// The bus between instances: Redis' publish and subscribe.
///
/// Events go to one channel, as `CloudEvents`; the text of a notification goes to the channel of its
/// topic besides. What is published while a subscriber is cut off from Redis is lost to it, and it
/// hears that it missed something once it is back. What another installation says is not listened to.
#[derive(Clone, Debug)]
pub struct RedisBus {
    redis: Redis,
    identity: PresentIdentity,
}

impl RedisBus {
    /// The bus of this installation on a connection.
    pub fn new(redis: Redis, identity: PresentIdentity) -> Self {
        Self { redis, identity }
    }

    fn messages(&self, events: &Batch) -> Result<Vec<(String, Vec<u8>)>, BusError> {
        let written = cloud_event::write(self.identity.id(), events);
        let written = written.map_err(|error| BusError(error.to_string()))?;
        let channel = self.redis.events_channel();
        let told = written.into_iter().map(|message| (channel.to_owned(), message));
        let notified = events.iter().filter_map(|event| notification(event));
        let notified = notified.map(|(channel, text)| (self.redis.named(&channel).into(), text));
        Ok(told.chain(notified).collect())
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
        let published = published.await;
        self.redis.note_publishing(published.as_ref().map(drop));
        published.map_err(unavailable)
    }

    async fn subscribe(&self) -> Result<EventSignals, BusError> {
        let heard = self.redis.listen(self.redis.events_channel()).await;
        let identity = self.identity.clone();
        Ok(Box::pin(BroadcastStream::new(heard).filter_map(move |heard| {
            future::ready(match heard {
                Ok(Raw::Message(message)) => signal(&message, &identity),
                // The one error is that messages were dropped before they were heard.
                Ok(Raw::Missed) | Err(_) => Some(Signal::Missed),
            })
        })))
    }

    async fn check(&self) -> Result<(), BusError> {
        self.redis.check_bus().await.map_err(unavailable)
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

/// What a message tells, read by whoever hears it first; nothing where it is another's.
fn signal(message: &Message, identity: &PresentIdentity) -> Option<Signal> {
    let told = message.events.get_or_init(|| {
        let told = cloud_event::read(identity.id(), &message.payload);
        told.inspect_err(|error| {
            warn!(%error, "a message on the events channel of Redis can't be read");
        })
        .ok()
    });
    match told {
        None => Some(Signal::Missed),
        Some(Told::Own(events)) if events.is_empty() => None,
        Some(Told::Own(events)) => Some(Signal::Events(events.clone())),
        Some(Told::Foreign(other)) => {
            identity.has_met("bus", &other.to_string());
            None
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the form in which errors are mapped")]
fn unavailable(trouble: RedisTrouble) -> BusError {
    BusError(trouble.to_string())
}
