//! Notifications: messages to whoever listens on a topic.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{StreamId, event_payload};

/// A topic: 1 to 64 of `a`–`z`, `A`–`Z`, `0`–`9`, `.`, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Topic(Box<str>);

/// The text can't be a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a topic has 1 to 64 letters, digits, dots, underscores or hyphens")]
pub struct InvalidTopic;

impl Topic {
    /// The topic that is meant where none is named.
    pub const DEFAULT: &str = "notifications";

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The stream its notifications are in.
    pub fn stream(&self) -> StreamId {
        StreamId::new("notification", self)
    }
}

impl Default for Topic {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

impl FromStr for Topic {
    type Err = InvalidTopic;

    fn from_str(text: &str) -> Result<Self, InvalidTopic> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(legal);
        if fits { Ok(Self(text.into())) } else { Err(InvalidTopic) }
    }
}

impl TryFrom<String> for Topic {
    type Error = InvalidTopic;

    fn try_from(text: String) -> Result<Self, InvalidTopic> {
        text.parse()
    }
}

impl From<Topic> for String {
    fn from(topic: Topic) -> Self {
        topic.0.into()
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text of a notification: 1 to 32 768 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Message(String);

impl Message {
    /// The most bytes a message may have.
    pub const MAX_BYTES: usize = 32_768;

    /// Takes a text; `None` where it is empty or too long.
    pub fn new(text: String) -> Option<Self> {
        (1..=Self::MAX_BYTES).contains(&text.len()).then_some(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The events of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotificationEvent {
    /// A message was published.
    NotificationPublished(NotificationPublished),
}

/// A message was published on a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotificationPublished {
    /// The topic.
    pub topic: Topic,
    /// The message.
    pub message: Message,
}

event_payload!(NotificationEvent { NotificationPublished });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_a_plain_name() {
        assert!("notifications".parse::<Topic>().is_ok());
        assert!("orders.eu_1-a".parse::<Topic>().is_ok());
        for text in ["", "a b", "a/b", "ä", &"t".repeat(65)] {
            assert_eq!(text.parse::<Topic>(), Err(InvalidTopic), "{text}");
        }
    }

    #[test]
    fn a_message_is_neither_empty_nor_huge() {
        assert!(Message::new("x".repeat(Message::MAX_BYTES)).is_some());
        assert!(Message::new(String::new()).is_none());
        assert!(Message::new("x".repeat(Message::MAX_BYTES + 1)).is_none());
    }
}
