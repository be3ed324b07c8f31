//! The log as a client reads it, by object.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::{Failure, Outcome, ensure};
use crate::money::cents;

/// An event of an account or an order.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) position: u64,
    pub(super) kind: String,
    /// The money of it: signed for an account, the total for an order.
    pub(super) cents: i64,
    /// The order that it is about.
    pub(super) order: Option<String>,
    /// What was said.
    pub(super) text: Option<String>,
}

/// Streams by their names, each from its first event on.
#[derive(Debug, Default)]
pub(super) struct Log {
    streams: BTreeMap<String, Vec<Event>>,
    by_position: BTreeMap<u64, (String, u64)>,
}

impl Log {
    /// Reads what `GET /events` has given.
    pub(super) fn read(events: &[Value]) -> Outcome<Self> {
        let mut log = Self::default();
        for json in events {
            let (stream, version, event) = read(json)?;
            let last = log.by_position.last_key_value().map(|(position, _)| *position);
            ensure(last.is_none_or(|last| event.position == last + 1), || {
                format!("a gap or a repetition in the log: {json} behind {last:?}")
            })?;
            log.by_position.insert(event.position, (stream.clone(), version));
            let place = log.streams.entry(stream.clone()).or_default();
            // Streams that are older than this part of the log are nobody's concern here.
            if version == place.len() as u64 + 1 {
                place.push(event);
            } else {
                ensure(place.is_empty(), || format!("a gap or a repetition in {stream}: {json}"))?;
            }
        }
        Ok(log)
    }

    /// The events of a stream, in order.
    pub(super) fn stream(&self, name: &str) -> &[Event] {
        self.streams.get(name).map_or(&[], Vec::as_slice)
    }

    /// The stream and the version at a position.
    pub(super) fn at(&self, position: u64) -> Option<(&str, u64)> {
        self.by_position.get(&position).map(|(stream, version)| (stream.as_str(), *version))
    }

    /// The names of all streams that begin in this part of the log.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.streams.iter().filter(|(_, events)| !events.is_empty()).map(|(name, _)| name.as_str())
    }
}

fn read(json: &Value) -> Outcome<(String, u64, Event)> {
    let unreadable = || Failure::new(format!("an event that can't be read: {json}"));
    let text = |name: &str| json.get(name).and_then(Value::as_str).map(str::to_owned);
    let number = |name: &str| json.get(name).and_then(Value::as_u64).ok_or_else(unreadable);
    let kind = text("type").ok_or_else(unreadable)?;
    let data = json.get("data").ok_or_else(unreadable)?;
    let money = |name: &str| {
        let amount = data.get(name)?.get("amount")?.as_str()?;
        cents(amount).ok()
    };
    let cents = match kind.as_str() {
        "AccountOpened" => money("initial_balance").ok_or_else(unreadable)?,
        "MoneyDeposited" | "OrderRefundCredited" => money("amount").ok_or_else(unreadable)?,
        "MoneyWithdrawn" | "OrderPaymentDebited" => -money("amount").ok_or_else(unreadable)?,
        "OrderCreated" => money("total").unwrap_or(0),
        _ => 0,
    };
    let order = text("order_id")
        .or_else(|| data.get("order_id").and_then(Value::as_str).map(str::to_owned));
    let text_of = data.get("message").and_then(Value::as_str).map(str::to_owned);
    let event = Event { position: number("position")?, kind, cents, order, text: text_of };
    Ok((text("stream").ok_or_else(unreadable)?, number("version")?, event))
}
