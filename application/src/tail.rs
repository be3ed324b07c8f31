//! The end of the log, in memory: what was committed here a moment ago need not be read back.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use daybook_events::{Position, RecordedEvent};
use tokio::sync::watch;

/// The last events that this process committed, bounded in number.
#[derive(Debug)]
pub struct Tail {
    events: Mutex<VecDeque<Arc<RecordedEvent>>>,
    capacity: usize,
    head: watch::Sender<Position>,
}

impl Tail {
    /// An empty tail that keeps at most `capacity` events.
    pub fn new(capacity: usize) -> Self {
        Self { events: Mutex::default(), capacity, head: watch::Sender::new(Position::ZERO) }
    }

    /// Adds events that were just committed, in order.
    pub fn push(&self, committed: Vec<Arc<RecordedEvent>>) {
        let Some(last) = committed.last().map(|event| event.position) else { return };
        {
            let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
            let follows = match (events.back(), committed.first()) {
                (Some(before), Some(first)) => first.position == before.position.next(),
                _ => true,
            };
            // Another process wrote in between: what is here has a hole behind it.
            if !follows {
                events.clear();
            }
            events.extend(committed);
            let excess = events.len().saturating_sub(self.capacity);
            events.drain(..excess);
        }
        self.head.send_replace(last);
    }

    /// At most `limit` events after `position`; `None` where they are not all here.
    pub fn after(&self, position: Position, limit: usize) -> Option<Vec<Arc<RecordedEvent>>> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let first = events.front()?.position;
        let skip = position.next().get().checked_sub(first.get())?;
        let skip = usize::try_from(skip).ok()?;
        if skip > events.len() {
            return None;
        }
        Some(events.iter().skip(skip).take(limit).cloned().collect())
    }

    /// Wakes those who wait for commits: another process may have committed something.
    pub fn nudge(&self) {
        self.head.send_modify(|_| {});
    }

    /// Tells of every commit of this process, and of those it was [nudged](Self::nudge) about.
    pub fn commits(&self) -> watch::Receiver<Position> {
        self.head.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use daybook_events::{EventData, EventId, Metadata, StreamId, Timestamp, Version};
    use uuid::Uuid;

    use super::*;

    fn event(position: u64) -> Arc<RecordedEvent> {
        Arc::new(RecordedEvent {
            position: Position::new(position),
            id: EventId::from_uuid(Uuid::from_u128(position.into())),
            stream: StreamId::new("order", position),
            version: Version::new(1),
            event_type: "OrderCreated".into(),
            timestamp: Timestamp::from_micros(0),
            data: EventData::from_stored("{}".to_owned()).unwrap(),
            owner: None,
            order_id: None,
            metadata: Metadata::default(),
        })
    }

    fn positions(tail: &Tail, after: u64, limit: usize) -> Option<Vec<u64>> {
        let events = tail.after(Position::new(after), limit)?;
        Some(events.iter().map(|event| event.position.get()).collect())
    }

    #[test]
    fn answers_only_where_it_has_everything() {
        let tail = Tail::new(3);
        assert_eq!(positions(&tail, 0, 9), None);
        tail.push((1..=5).map(event).collect());
        assert_eq!(positions(&tail, 1, 9), None);
        assert_eq!(positions(&tail, 2, 9), Some(vec![3, 4, 5]));
        assert_eq!(positions(&tail, 3, 1), Some(vec![4]));
        assert_eq!(positions(&tail, 5, 9), Some(vec![]));
        assert_eq!(positions(&tail, 6, 9), None);
        tail.push(vec![event(7)]);
        assert_eq!(positions(&tail, 5, 9), None);
        assert_eq!(positions(&tail, 6, 9), Some(vec![7]));
    }
}
