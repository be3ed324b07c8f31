//! What every [`EventBus`] promises.
//!
//! Each function wants a bus of its own, on which nobody else publishes.

use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;

use daybook_events::{
    EventBus, EventData, EventId, EventSignals, HolderId, Metadata, Position, RecordedEvent,
    Signal, StreamId, Timestamp, Version,
};
use futures_util::{FutureExt, StreamExt};
use uuid::Uuid;

use super::soon;

/// More batches than a bus that is tested may keep for a subscriber that does not listen.
pub const FLOOD: u64 = 2_000;

fn event(position: u64) -> Arc<RecordedEvent> {
    Arc::new(RecordedEvent {
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
    })
}

async fn publish(bus: &dyn EventBus, positions: RangeInclusive<u64>) {
    bus.publish(positions.map(event).collect()).await.unwrap();
}

async fn subscribe(bus: &dyn EventBus) -> EventSignals {
    bus.subscribe().await.unwrap()
}

async fn next(signals: &mut EventSignals) -> Signal {
    soon("a subscriber hears something", signals.next()).await.unwrap()
}

/// Hears events up to a position, and nothing else; answers their positions.
async fn hear_up_to(signals: &mut EventSignals, last: u64) -> Vec<u64> {
    let mut heard = Vec::new();
    while heard.last().is_none_or(|position| *position < last) {
        match next(signals).await {
            Signal::Events(events) => heard.extend(events.iter().map(|e| e.position.get())),
            Signal::Missed => panic!("something was missed after {heard:?}"),
        }
    }
    heard
}

/// A subscriber that listens hears every batch published after it subscribed, in order, once.
pub async fn a_subscriber_hears_every_batch_in_order(bus: &dyn EventBus) {
    let mut signals = subscribe(bus).await;
    for first in (1..=40).step_by(4) {
        publish(bus, first..=first).await;
        publish(bus, first + 1..=first + 3).await;
        let expected: Vec<_> = (first..=first + 3).collect();
        assert_eq!(hear_up_to(&mut signals, first + 3).await, expected);
    }
}

/// An event is heard with all that it was published with.
pub async fn an_event_is_heard_as_it_was_published(bus: &dyn EventBus) {
    let holder = HolderId::from_uuid(Uuid::from_u128(11));
    let full = RecordedEvent {
        owner: Some(holder),
        order_id: Some(Uuid::from_u128(12)),
        data: EventData::from_stored(r#"{"note":"\"ü\" \n 12.30","n":1.0}"#.to_owned()).unwrap(),
        metadata: Metadata {
            actor: Some(holder),
            correlation_id: Some(Uuid::from_u128(13)),
            causation_id: Some(EventId::from_uuid(Uuid::from_u128(14))),
            traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
        },
        ..(*event(1)).clone()
    };
    let published: Arc<[_]> = Arc::new([Arc::new(full), event(2)]);
    let mut signals = subscribe(bus).await;
    bus.publish(Arc::clone(&published)).await.unwrap();
    let mut heard = Vec::new();
    while heard.len() < published.len() {
        match next(&mut signals).await {
            Signal::Events(events) => heard.extend(events.iter().cloned()),
            Signal::Missed => panic!("something was missed after {heard:?}"),
        }
    }
    assert_eq!(heard, *published);
}

/// Every subscriber hears everything, whatever the others do.
pub async fn every_subscriber_hears_every_batch(bus: &dyn EventBus) {
    let (mut first, mut second) = (subscribe(bus).await, subscribe(bus).await);
    publish(bus, 1..=2).await;
    assert_eq!(hear_up_to(&mut first, 2).await, [1, 2]);
    drop(first);
    publish(bus, 3..=3).await;
    assert_eq!(hear_up_to(&mut second, 3).await, [1, 2, 3]);
}

/// Nothing is remembered: a subscriber hears what is published after it subscribed.
pub async fn a_subscriber_hears_nothing_from_before(bus: &dyn EventBus) {
    let mut witness = subscribe(bus).await;
    publish(bus, 1..=3).await;
    assert_eq!(hear_up_to(&mut witness, 3).await, [1, 2, 3]);
    let mut late = subscribe(bus).await;
    publish(bus, 4..=5).await;
    assert_eq!(hear_up_to(&mut late, 5).await, [4, 5]);
}

/// Publishing succeeds also where nobody listens.
pub async fn nobody_has_to_listen(bus: &dyn EventBus) {
    publish(bus, 1..=1).await;
    drop(subscribe(bus).await);
    publish(bus, 2..=2).await;
}

/// A subscriber that does not listen holds up neither those who publish nor those who listen.
pub async fn a_subscriber_that_does_not_listen_holds_up_nobody(bus: &dyn EventBus) {
    let deaf = subscribe(bus).await;
    let mut awake = subscribe(bus).await;
    for position in 1..=FLOOD {
        soon("publishing goes on", publish(bus, position..=position)).await;
        assert_eq!(hear_up_to(&mut awake, position).await, [position]);
    }
    drop(deaf);
}

/// A subscriber that did not listen for too long is told that it missed something, in the place of
/// what it missed. `bus` keeps less than [`FLOOD`] batches.
pub async fn there_is_never_a_silent_gap(bus: &dyn EventBus) {
    let mut signals = subscribe(bus).await.peekable();
    for position in 1..=FLOOD {
        publish(bus, position..=position).await;
    }
    let (mut published, mut heard) = (FLOOD, 0);
    let (mut told, mut missed) = (false, 0);
    while heard < published {
        match soon("a subscriber hears something", signals.next()).await.unwrap() {
            Signal::Events(events) => {
                for position in events.iter().map(|event| event.position.get()) {
                    assert!(position > heard, "{position} was heard after {heard}");
                    assert!(told || position == heard + 1, "nobody told what is before {position}");
                    (heard, told) = (position, false);
                }
            }
            Signal::Missed => {
                (told, missed) = (true, missed + 1);
                // The last one may be among what was missed: here is one for which there is room.
                if Pin::new(&mut signals).peek().now_or_never().is_none() {
                    published += 1;
                    publish(bus, published..=published).await;
                }
            }
        }
    }
    assert!(missed > 0, "the bus kept everything, without a bound");
}
