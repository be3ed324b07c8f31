//! Events, before and after they are in the log.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{EventId, HolderId, Position, StreamId, Timestamp, Version};

/// The data of an event: a JSON object, kept as its text.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventData(Box<RawValue>);

impl EventData {
    /// The JSON of `data`; an empty object where it has no JSON form, which no event's data lacks.
    pub fn of(data: &impl Serialize) -> Self {
        serde_json::value::to_raw_value(data).map_or_else(|_| Self::empty(), Self)
    }

    /// Takes text that was stored.
    ///
    /// # Errors
    /// Where the text is not JSON.
    pub fn from_stored(text: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text).map(Self)
    }

    /// The JSON text.
    pub fn text(&self) -> &str {
        self.0.get()
    }

    /// The JSON value, as its text.
    pub fn raw(&self) -> &RawValue {
        &self.0
    }

    /// Reads the data as a `T`.
    ///
    /// # Errors
    /// Where it is not one.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.text())
    }

    fn empty() -> Self {
        Self(RawValue::NULL.to_owned())
    }
}

impl PartialEq for EventData {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for EventData {}

/// Who caused an entry, and what it belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Who acted, where it was a holder.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub actor: Option<HolderId>,
    /// The same for all that one request led to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub correlation_id: Option<Uuid>,
    /// The event that led to this one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub causation_id: Option<EventId>,
    /// The W3C trace context of the request.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub traceparent: Option<String>,
}

/// An event that is to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Names the event.
    pub id: EventId,
    /// The stream it goes to.
    pub stream: StreamId,
    /// Its number in the stream: one more than the stream had.
    pub version: Version,
    /// Its type: `OrderPaid`.
    pub event_type: &'static str,
    /// Its data.
    pub data: EventData,
    /// Whose it is: who may see it.
    pub owner: Option<HolderId>,
    /// The order it is about, for events of orders.
    pub order_id: Option<Uuid>,
}

/// An event in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvent {
    /// Its number in the log.
    pub position: Position,
    /// Names the event.
    pub id: EventId,
    /// The stream it is in.
    pub stream: StreamId,
    /// Its number in the stream.
    pub version: Version,
    /// Its type: `OrderPaid`.
    pub event_type: Cow<'static, str>,
    /// When it was decided.
    pub timestamp: Timestamp,
    /// Its data.
    pub data: EventData,
    /// Whose it is: who may see it.
    pub owner: Option<HolderId>,
    /// The order it is about, for events of orders.
    pub order_id: Option<Uuid>,
    /// Who caused it, and what it belongs to.
    pub metadata: Metadata,
}

/// What an event takes besides its texts: its fields, and what an allocator adds.
const FIXED_BYTES: usize = 512;

impl RecordedEvent {
    /// About how many bytes it takes in memory, or as one frame on its way to a reader.
    pub fn size(&self) -> usize {
        FIXED_BYTES + self.data.text().len() + self.stream.as_str().len()
    }
}
