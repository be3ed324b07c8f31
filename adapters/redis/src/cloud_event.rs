//! Events as they stand on the bus: `CloudEvents` 1.0 in a JSON array.
//!
//! Whatever an event has beyond the attributes of that standard stands in extension attributes,
//! whose names are lower case letters, as the standard wants them. Numbers that may pass 2^31 are
//! strings, for the same reason.

use std::sync::Arc;

use daybook_events::{
    EventData, EventId, HolderId, InstallationId, Metadata, Position, RecordedEvent, StreamId,
    Timestamp, Version,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;
use uuid::Uuid;

/// Consecutive events.
pub(crate) type Batch = Arc<[Arc<RecordedEvent>]>;

/// How large a message may become, unless a single event is larger.
pub(crate) const MESSAGE: usize = 1024 * 1024;

const SPEC: &str = "1.0";
/// Before the identity of the installation that tells.
const SOURCE: &str = "/daybook/";
const JSON: &str = "application/json";

#[derive(Serialize)]
struct Outgoing<'a> {
    specversion: &'static str,
    id: EventId,
    source: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    subject: &'a str,
    time: Timestamp,
    datacontenttype: &'static str,
    data: &'a RawValue,
    position: Text,
    streamversion: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<HolderId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    orderid: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<HolderId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlationid: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    causationid: Option<EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
}

/// What a message tells.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    /// Events of this installation.
    Own(Batch),
    /// Events of another.
    Foreign(InstallationId),
}

#[derive(Deserialize)]
struct Incoming {
    specversion: String,
    id: EventId,
    source: String,
    #[serde(rename = "type")]
    event_type: String,
    subject: String,
    time: Timestamp,
    data: EventData,
    position: Text,
    streamversion: Text,
    owner: Option<HolderId>,
    orderid: Option<Uuid>,
    actor: Option<HolderId>,
    correlationid: Option<Uuid>,
    causationid: Option<EventId>,
    traceparent: Option<String>,
}

/// A number as a string.
struct Text(u64);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(de::Error::custom)
    }
}

/// The messages by which an installation tells of events: each a JSON array, and not larger than [`MESSAGE`] unless it
/// is of one event.
pub(crate) fn write(
    from: InstallationId,
    events: &[Arc<RecordedEvent>],
) -> Result<Vec<Vec<u8>>, serde_json::Error> {
    let source = format!("{SOURCE}{from}");
    let mut messages = Vec::new();
    let mut message = Vec::new();
    for event in events {
        let written = serde_json::to_vec(&outgoing(&source, event))?;
        let full = message.len().saturating_add(written.len()).saturating_add(2) > MESSAGE;
        if full && !message.is_empty() {
            message.push(b']');
            messages.push(std::mem::take(&mut message));
        }
        message.push(if message.is_empty() { b'[' } else { b',' });
        message.extend_from_slice(&written);
    }
    if !message.is_empty() {
        message.push(b']');
        messages.push(message);
    }
    Ok(messages)
}

/// What a message tells the installation `to`.
pub(crate) fn read(to: InstallationId, message: &[u8]) -> Result<Told, serde_json::Error> {
    let events: Vec<Incoming> = serde_json::from_slice(message)?;
    for event in &events {
        let from = event.source.strip_prefix(SOURCE).and_then(|id| Uuid::try_parse(id).ok());
        match from.map(InstallationId::from_uuid) {
            Some(from) if from == to => {}
            Some(from) => return Ok(Told::Foreign(from)),
            None => return Err(de::Error::custom("from no installation")),
        }
    }
    let events: Result<_, _> = events.into_iter().map(|e| incoming(e).map(Arc::new)).collect();
    events.map(Told::Own)
}

fn outgoing<'a>(source: &'a str, event: &'a RecordedEvent) -> Outgoing<'a> {
    Outgoing {
        specversion: SPEC,
        id: event.id,
        source,
        event_type: &event.event_type,
        subject: event.stream.as_str(),
        time: event.timestamp,
        datacontenttype: JSON,
        data: event.data.raw(),
        position: Text(event.position.get()),
        streamversion: Text(event.version.get()),
        owner: event.owner,
        orderid: event.order_id,
        actor: event.metadata.actor,
        correlationid: event.metadata.correlation_id,
        causationid: event.metadata.causation_id,
        traceparent: event.metadata.traceparent.as_deref(),
    }
}

fn incoming(event: Incoming) -> Result<RecordedEvent, serde_json::Error> {
    if event.specversion != SPEC {
        return Err(de::Error::custom("not of version 1.0"));
    }
    Ok(RecordedEvent {
        position: Position::new(event.position.0),
        id: event.id,
        stream: StreamId::from_stored(&event.subject),
        version: Version::new(event.streamversion.0),
        event_type: event.event_type.into(),
        timestamp: event.time,
        data: event.data,
        owner: event.owner,
        order_id: event.orderid,
        metadata: Metadata {
            actor: event.actor,
            correlation_id: event.correlationid,
            causation_id: event.causationid,
            traceparent: event.traceparent,
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn me() -> InstallationId {
        InstallationId::from_uuid(Uuid::from_u128(1))
    }

    /// The events of a message of this installation.
    fn of(message: &[u8]) -> Result<Batch, serde_json::Error> {
        match read(me(), message)? {
            Told::Own(events) => Ok(events),
            Told::Foreign(other) => Err(de::Error::custom(other)),
        }
    }

    #[test]
    fn what_another_installation_tells_is_known_by_its_source() {
        let message = write(me(), &[Arc::new(plain(1))]).unwrap().remove(0);
        let other = InstallationId::from_uuid(Uuid::from_u128(2));
        assert_eq!(read(other, &message).unwrap(), Told::Foreign(me()));
        let text = String::from_utf8(message).unwrap();
        let bare = text.replace("/daybook/00000000-0000-0000-0000-000000000001", "/daybook");
        assert!(read(me(), bare.as_bytes()).is_err());
    }

    fn plain(position: u64) -> RecordedEvent {
        RecordedEvent {
            position: Position::new(position),
            id: EventId::from_uuid(Uuid::from_u128(position.into())),
            stream: StreamId::new("order", position),
            version: Version::new(1),
            event_type: "OrderCreated".into(),
            timestamp: Timestamp::from_micros(1_795_392_000_123_456),
            data: EventData::of(&position),
            owner: None,
            order_id: None,
            metadata: Metadata::default(),
        }
    }

    fn full() -> RecordedEvent {
        RecordedEvent {
            position: Position::new(u64::MAX),
            version: Version::new(1 << 62),
            owner: Some(HolderId::from_uuid(Uuid::from_u128(11))),
            order_id: Some(Uuid::from_u128(12)),
            data: EventData::from_stored(r#"{"note":"\"ü\" \n", "amount": 12.300}"#.into())
                .unwrap(),
            metadata: Metadata {
                actor: Some(HolderId::from_uuid(Uuid::from_u128(13))),
                correlation_id: Some(Uuid::from_u128(14)),
                causation_id: Some(EventId::from_uuid(Uuid::from_u128(15))),
                traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
            },
            ..plain(1)
        }
    }

    #[test]
    fn an_event_comes_back_as_it_was() {
        let events: Batch = Arc::new([Arc::new(full()), Arc::new(plain(2))]);
        let messages = write(me(), &events).unwrap();
        assert_eq!(messages.len(), 1);
        assert_eq!(of(&messages[0]).unwrap(), events);
    }

    #[test]
    fn has_what_the_standard_wants() {
        let messages = write(me(), &[Arc::new(full()), Arc::new(plain(2))]).unwrap();
        let array: Value = serde_json::from_slice(&messages[0]).unwrap();
        for event in array.as_array().unwrap() {
            let event = event.as_object().unwrap();
            for required in ["specversion", "id", "source", "type"] {
                assert!(!event[required].as_str().unwrap().is_empty(), "{required}");
            }
            for (name, value) in event {
                assert!(
                    name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()),
                    "{name}"
                );
                assert!(name.len() <= 20 && (name == "data" || value.is_string()), "{name}");
            }
        }
        let event = &array[0];
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["source"], "/daybook/00000000-0000-0000-0000-000000000001");
        assert_eq!(event["type"], "OrderCreated");
        assert_eq!(event["subject"], "order-1");
        assert_eq!(event["time"], "2026-11-23T00:00:00.123456Z");
        assert_eq!(event["datacontenttype"], "application/json");
        assert_eq!(event["position"], u64::MAX.to_string());
        assert_eq!(event["streamversion"], (1_u64 << 62).to_string());
        assert_eq!(array[1].as_object().unwrap().len(), 10);
    }

    #[test]
    fn many_events_are_told_in_several_messages() {
        let large = EventData::of(&"x".repeat(300_000));
        let events: Vec<_> =
            (1..=10).map(|n| Arc::new(RecordedEvent { data: large.clone(), ..plain(n) })).collect();
        let messages = write(me(), &events).unwrap();
        assert_eq!(messages.len(), 4);
        assert!(messages.iter().all(|message| message.len() <= MESSAGE));
        let read: Vec<_> = messages.iter().flat_map(|m| of(m).unwrap().to_vec()).collect();
        assert_eq!(read, events);

        let huge = RecordedEvent { data: EventData::of(&"x".repeat(2 * MESSAGE)), ..plain(2) };
        let events = [Arc::new(plain(1)), Arc::new(huge), Arc::new(plain(3))];
        assert_eq!(write(me(), &events).unwrap().len(), 3);
        assert!(write(me(), &[]).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_event_is_refused() {
        let good =
            String::from_utf8(write(me(), &[Arc::new(plain(1))]).unwrap().remove(0)).unwrap();
        assert!(read(me(), good.as_bytes()).is_ok());
        for bad in [
            String::new(),
            "null".to_owned(),
            "[{}]".to_owned(),
            "Hello from publisher! Message #1".to_owned(),
            good.replace("\"1.0\"", "\"2.0\""),
            good.replace("\"position\":\"1\"", "\"position\":\"one\""),
            good.replace("\"subject\"", "\"object\""),
        ] {
            assert!(read(me(), bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
