//! What an aggregate is: state that its events, applied in order, lead to.

use thiserror::Error;

use crate::EventPayload;

/// The state of one stream. Decisions are methods of the aggregate itself: plain functions of the
/// state that answer events or a rejection.
pub trait Aggregate: Sized {
    /// The events of its stream.
    type Event: EventPayload;

    /// The state after `event`, where `current` is the state before it (`None` before the first).
    ///
    /// # Errors
    /// [`ImpossibleHistory`] where the event can't follow: the log is damaged.
    fn evolve(current: Option<Self>, event: &Self::Event) -> Result<Self, ImpossibleHistory>;

    /// The state that a whole stream leads to; `None` for a stream without events.
    ///
    /// # Errors
    /// As [`Aggregate::evolve`].
    fn fold<'a>(
        events: impl IntoIterator<Item = &'a Self::Event>,
    ) -> Result<Option<Self>, ImpossibleHistory>
    where
        Self::Event: 'a,
    {
        events.into_iter().try_fold(None, |state, event| Self::evolve(state, event).map(Some))
    }
}

/// An event that can't follow the ones before it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{event_type} can't follow the events before it: {reason}")]
pub struct ImpossibleHistory {
    /// The type of the event.
    pub event_type: &'static str,
    /// Why it can't follow.
    pub reason: &'static str,
}

impl ImpossibleHistory {
    /// `event` can't follow, because of `reason`.
    pub fn new(event: &impl EventPayload, reason: &'static str) -> Self {
        Self { event_type: event.event_type(), reason }
    }
}
