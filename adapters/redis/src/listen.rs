//! Listening to the messages of a topic, whoever published them.

use std::pin::Pin;

use daybook_events::Topic;
use futures_util::{Stream, StreamExt};
use tokio_stream::wrappers::BroadcastStream;

use crate::channels::Raw;
use crate::client::Redis;

/// What is heard on a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A message. What is not UTF-8 in it is replaced.
    Message(String),
    /// Something may have been missed.
    Missed,
}

/// What is heard on a topic, until the bus goes away.
pub type Messages = Pin<Box<dyn Stream<Item = Heard> + Send>>;

/// The channel of a topic. No topic has a colon, so that none reaches the channel of anything else.
pub(crate) fn channel_of(topic: &Topic) -> String {
    if topic.as_str() == Topic::DEFAULT {
        Topic::DEFAULT.to_owned()
    } else {
        format!("{}:{topic}", Topic::DEFAULT)
    }
}

pub(crate) async fn listen(redis: &Redis, topic: &Topic) -> Messages {
    let heard = redis.listen(&redis.named(&channel_of(topic))).await;
    Box::pin(BroadcastStream::new(heard).map(|heard| match heard {
        Ok(Raw::Message(message)) => {
            Heard::Message(String::from_utf8_lossy(&message.payload).into_owned())
        }
        // The one error is that messages were dropped before they were heard.
        Ok(Raw::Missed) | Err(_) => Heard::Missed,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_has_a_channel_of_its_own() {
        let channel = |topic: &str| channel_of(&topic.parse().unwrap());
        assert_eq!(channel("notifications"), "notifications");
        assert_eq!(channel("orders.eu"), "notifications:orders.eu");
        assert_eq!(channel("daybook"), "notifications:daybook");
    }
}
