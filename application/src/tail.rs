//! The end of the log, in memory: what came a moment ago need not be read back.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use daybook_events::{EventFilter, EventId, Position, RecordedEvent};
use tokio::sync::watch;

/// The last events of the log that this process committed, or told its subscribers of. Bounded in
/// number and in bytes.
#[derive(Debug)]
pub struct Tail {
    kept: RwLock<Kept>,
    bounds: TailBounds,
    head: watch::Sender<Position>,
    /// The log has come as far as this, or had.
    reached: AtomicU64,
    in_hand: Mutex<Vec<EventId>>,
}

/// How much a [`Tail`] keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TailBounds {
    /// How many events at most.
    pub events: usize,
    /// How many bytes they may take, as [`RecordedEvent::size`] counts them.
    pub bytes: usize,
}

/// Events of the log without a gap.
#[derive(Debug, Default)]
struct Kept {
    events: VecDeque<Arc<RecordedEvent>>,
    bytes: usize,
}

/// What a reader was given of a [`Tail`].
#[derive(Debug)]
pub(crate) struct Page {
    /// The events that match, in order.
    pub events: Vec<Arc<RecordedEvent>>,
    /// Everything up to here was looked at.
    pub looked_to: Position,
}

impl Tail {
    /// An empty tail.
    pub fn new(bounds: TailBounds) -> Self {
        Self {
            kept: RwLock::default(),
            bounds,
            head: watch::Sender::new(Position::ZERO),
            reached: AtomicU64::new(0),
            in_hand: Mutex::default(),
        }
    }

    /// Adds events that come next in the log, in order.
    pub fn push(&self, events: Vec<Arc<RecordedEvent>>) {
        let Some(last) = events.last().map(|event| event.position) else { return };
        self.kept.write().unwrap_or_else(PoisonError::into_inner).add(events, self.bounds);
        self.reach(last);
        self.head.send_replace(last);
    }

    /// Notes how far the log has come, whoever committed what is there.
    pub(crate) fn reach(&self, position: Position) {
        self.reached.store(position.get(), Ordering::Relaxed);
    }

    /// How far the log is known to have come.
    pub(crate) fn reached(&self) -> Position {
        Position::new(self.reached.load(Ordering::Relaxed))
    }

    /// Begins anew at this position: what is before it is not here.
    pub(crate) fn begin_at(&self, position: Position) {
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = Kept::default();
        self.head.send_replace(position);
    }

    /// Events after `position`, of at most `limit` and about `bytes`, and one at least; `None` where
    /// they are not all here.
    pub fn after(
        &self,
        position: Position,
        limit: usize,
        bytes: usize,
    ) -> Option<Vec<Arc<RecordedEvent>>> {
        self.matching(&EventFilter::All, position, limit, bytes).map(|page| page.events)
    }

    /// As [`Tail::after`], of those events that match.
    pub(crate) fn matching(
        &self,
        filter: &EventFilter,
        position: Position,
        limit: usize,
        bytes: usize,
    ) -> Option<Page> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let first = kept.events.front()?.position;
        let skip = position.next().get().checked_sub(first.get())?;
        let skip = usize::try_from(skip).ok().filter(|skip| *skip <= kept.events.len())?;
        let mut page = Page { events: Vec::new(), looked_to: position };
        let mut taken = 0;
        for event in kept.events.iter().skip(skip) {
            if page.events.len() >= limit || taken >= bytes {
                break;
            }
            page.looked_to = event.position;
            if filter.matches(event) {
                taken += event.size();
                page.events.push(Arc::clone(event));
            }
        }
        Some(page)
    }

    /// Wakes those who wait for commits: another process may have committed something.
    pub fn nudge(&self) {
        self.head.send_modify(|_| {});
    }

    /// Tells of every commit of this process, and of those it was [nudged](Self::nudge) about.
    pub fn commits(&self) -> watch::Receiver<Position> {
        self.head.subscribe()
    }

    /// Says which events this process is about to commit: until they are added, or it is said that
    /// [nothing is in hand](Self::nothing_in_hand), the cache may not have been told of them.
    pub(crate) fn take_in_hand(&self, events: impl Iterator<Item = EventId>) {
        let mut in_hand = self.in_hand.lock().unwrap_or_else(PoisonError::into_inner);
        in_hand.clear();
        in_hand.extend(events);
    }

    /// Says that whatever was in hand is settled.
    pub(crate) fn nothing_in_hand(&self) {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Takes off what this process has committed and not yet told the cache of, and what comes after
    /// it: nobody is to hear of it sooner.
    pub(crate) fn cut_what_is_in_hand(&self, events: &mut Vec<RecordedEvent>) {
        let in_hand = self.in_hand.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = events.iter().position(|event| in_hand.contains(&event.id)) {
            events.truncate(first);
        }
    }
}

impl Kept {
    fn add(&mut self, events: Vec<Arc<RecordedEvent>>, bounds: TailBounds) {
        let follows = match (self.events.back(), events.first()) {
            (Some(before), Some(first)) => first.position == before.position.next(),
            _ => true,
        };
        // Another process wrote in between: what is here has a hole behind it.
        if !follows {
            self.events.clear();
            self.bytes = 0;
        }
        self.bytes += events.iter().map(|event| event.size()).sum::<usize>();
        self.events.extend(events);
        while self.events.len() > bounds.events || self.bytes > bounds.bytes {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.size();
        }
    }
}

#[cfg(test)]
mod tests {
    use daybook_events::{EventData, Metadata, StreamId, Timestamp, Version};
    use uuid::Uuid;

    use super::*;

    fn event(position: u64) -> Arc<RecordedEvent> {
        sized(position, 1)
    }

    fn sized(position: u64, bytes: usize) -> Arc<RecordedEvent> {
        Arc::new(RecordedEvent {
            position: Position::new(position),
            id: EventId::from_uuid(Uuid::from_u128(position.into())),
            stream: StreamId::new("order", position % 2),
            version: Version::new(1),
            event_type: "OrderCreated".into(),
            timestamp: Timestamp::from_micros(0),
            data: EventData::of(&"x".repeat(bytes)),
            owner: None,
            order_id: None,
            metadata: Metadata::default(),
        })
    }

    fn tail(events: usize, bytes: usize) -> Tail {
        Tail::new(TailBounds { events, bytes })
    }

    fn positions(tail: &Tail, after: u64, limit: usize) -> Option<Vec<u64>> {
        let events = tail.after(Position::new(after), limit, usize::MAX)?;
        Some(events.iter().map(|event| event.position.get()).collect())
    }

    #[test]
    fn answers_only_where_it_has_everything() {
        let tail = tail(3, usize::MAX);
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

    #[test]
    fn what_it_keeps_is_bounded_in_bytes() {
        let tail = tail(1_000, 100_000);
        for position in 1..=100 {
            tail.push(vec![sized(position, 30_000)]);
        }
        assert_eq!(positions(&tail, 96, 9), None);
        assert_eq!(positions(&tail, 97, 9), Some(vec![98, 99, 100]));
        // One that is larger than all there is room for is not kept at all.
        tail.push(vec![sized(101, 200_000)]);
        assert_eq!(positions(&tail, 100, 9), None);
        tail.push(vec![sized(102, 10)]);
        assert_eq!(positions(&tail, 101, 9), Some(vec![102]));
    }

    #[test]
    fn a_page_of_what_matches_is_bounded_in_bytes_and_says_how_far_it_looked() {
        let tail = tail(1_000, usize::MAX);
        tail.push((1..=9).map(|position| sized(position, 1_000)).collect());
        let odd = EventFilter::Stream(StreamId::new("order", 1));
        let page = |after, bytes| {
            let page = tail.matching(&odd, Position::new(after), 100, bytes).unwrap();
            let found: Vec<_> = page.events.iter().map(|event| event.position.get()).collect();
            (found, page.looked_to.get())
        };
        assert_eq!(page(0, 1), (vec![1], 1));
        assert_eq!(page(1, 2_000), (vec![3, 5], 5));
        assert_eq!(page(7, usize::MAX), (vec![9], 9));
        assert_eq!(page(9, usize::MAX), (vec![], 9));
    }

    #[test]
    fn what_is_in_hand_is_cut_off_with_all_behind_it() {
        let tail = tail(9, usize::MAX);
        let cut = || {
            let mut events: Vec<_> = (1..=4).map(|position| (*event(position)).clone()).collect();
            tail.cut_what_is_in_hand(&mut events);
            events.len()
        };
        assert_eq!(cut(), 4);
        tail.take_in_hand([3, 4].map(|p| EventId::from_uuid(Uuid::from_u128(p))).into_iter());
        assert_eq!(cut(), 2);
        tail.nothing_in_hand();
        assert_eq!(cut(), 4);
    }
}
