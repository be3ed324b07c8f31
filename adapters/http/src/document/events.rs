//! Events and notifications.

use daybook_events::RecordedEvent;
use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{EXAMPLE_ID, time};
use crate::scalars::{Any, Count, DateTime};

/// An event of the log.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
pub(crate) struct Event {
    /// Its number in the log: gapless, in the order of commits.
    pub position: Count,
    /// Names the event.
    pub id: Uuid,
    /// What happened.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub kind: String,
    /// What it happened to.
    pub stream: String,
    /// Its number in its stream.
    pub version: Count,
    /// The order it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(skip_serializing_if_is_none)]
    pub order_id: Option<Uuid>,
    /// When it was decided.
    pub timestamp: DateTime,
    /// What there is to say of it; depends on the type.
    pub data: Any,
}

impl Event {
    pub(crate) fn of(event: &RecordedEvent) -> Self {
        Self {
            position: Count(event.position.get()),
            id: event.id.uuid(),
            kind: event.event_type.to_string(),
            stream: event.stream.as_str().to_owned(),
            version: Count(event.version.get()),
            order_id: event.order_id,
            timestamp: DateTime(event.timestamp.to_string()),
            data: Any(event.data.raw().to_owned()),
        }
    }
}

impl Example for Event {
    fn example() -> Self {
        let data = r#"{"account_id":"019a2f60-7c1e-7a51-9c6e-0d7e3a5b1c2d","amount":{"amount":"8.40","currency_code":"EUR"}}"#;
        Self {
            position: Count(9),
            id: EXAMPLE_ID,
            kind: "OrderPaid".to_owned(),
            stream: format!("order-{EXAMPLE_ID}"),
            version: Count(2),
            order_id: Some(EXAMPLE_ID),
            timestamp: time(),
            data: Any(RawValue::from_string(data.to_owned())
                .unwrap_or_else(|_| RawValue::NULL.to_owned())),
        }
    }
}

/// A message to be published.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields, example)]
pub(crate) struct NewNotification {
    /// The message: 1 to 32 768 bytes.
    #[oai(validator(min_length = 1, max_length = 32768))]
    pub message: String,
    /// Where: letters, digits, dots, underscores and hyphens; `notifications` where it isn't given.
    #[serde(default)]
    #[oai(skip_serializing_if_is_none)]
    #[oai(validator(min_length = 1, max_length = 64))]
    pub topic: Option<String>,
}

impl Example for NewNotification {
    fn example() -> Self {
        Self { message: "The shop is open".to_owned(), topic: Some("notifications".to_owned()) }
    }
}

/// A message that was published.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
pub(crate) struct Notification {
    /// Where it stands in the log.
    pub position: Count,
}

impl Example for Notification {
    fn example() -> Self {
        Self { position: Count(12) }
    }
}
