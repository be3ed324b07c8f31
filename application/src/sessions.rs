//! Which sessions go on, as this process knows it.
//!
//! A session is looked up in the database once, and believed from then on: what ends one is in the log,
//! and the announcer of each process tells of it.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use daybook_accounts::{HolderEvent, HolderRepository, Session, SessionId};
use daybook_events::{
    EventFilter, EventPayload, HolderId, Journal, JournalError, Position, RecordedEvent, Timestamp,
};
use lru::LruCache;
use tokio_util::sync::CancellationToken;

use crate::{QueryError, Row};

/// How many sessions are known to go on.
const KNOWN: NonZeroUsize = NonZeroUsize::MIN.saturating_add(16_383);

/// Knows which sessions go on, and ends what lasts as long as they do.
#[derive(Clone)]
pub struct Sessions(Arc<Inner>);

struct Inner {
    holders: Arc<dyn HolderRepository>,
    limits: StreamLimits,
    state: Mutex<State>,
    /// The latest time that was seen, by the clock or in the log, in microseconds.
    latest: AtomicI64,
}

struct State {
    live: LruCache<SessionId, Session>,
    /// Counts what ended: what was looked up before that is not believed.
    ended: u64,
    streams: HashMap<HolderId, HashMap<u64, Stream>>,
    open: usize,
    /// The number of the next stream.
    next: u64,
}

struct Stream {
    session: SessionId,
    over: CancellationToken,
}

/// How many streams there may be.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// Of one holder.
    pub of_one: usize,
    /// Of all.
    pub of_all: usize,
}

impl StreamLimits {
    /// Of a program that streams nothing.
    pub const NONE: Self = Self { of_one: 0, of_all: 0 };
}

/// There are too many streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooManyStreams {
    /// Of this holder's.
    OfOne,
    /// Of everyone's.
    OfAll,
}

/// A stream that is open; another may be in its place once it is dropped.
pub struct OpenStream {
    sessions: Sessions,
    holder: HolderId,
    number: u64,
    over: CancellationToken,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for OpenStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenStream").finish_non_exhaustive()
    }
}

impl Sessions {
    /// Sessions of these holders, and at most so many streams.
    pub fn new(holders: Arc<dyn HolderRepository>, limits: StreamLimits) -> Self {
        let state = State {
            live: LruCache::new(KNOWN),
            ended: 0,
            streams: HashMap::new(),
            open: 0,
            next: 0,
        };
        let latest = AtomicI64::new(i64::MIN);
        Self(Arc::new(Inner { holders, limits, state: Mutex::new(state), latest }))
    }

    /// Whether a session goes on. When it expires is not looked at.
    ///
    /// # Errors
    /// [`QueryError`] where that is not known yet and can't be looked up.
    pub async fn is_live(&self, session: &Session) -> Result<bool, QueryError> {
        let ended = {
            let mut state = self.state();
            if state.live.get(&session.id) == Some(session) {
                return Ok(true);
            }
            state.ended
        };
        let is_live = self.0.holders.is_live(session).await?;
        let mut state = self.state();
        if is_live && state.ended == ended {
            state.live.put(session.id, *session);
        }
        Ok(is_live)
    }

    /// Opens a stream that lasts no longer than a session, which is to be looked at again then: it may
    /// have ended meanwhile.
    ///
    /// # Errors
    /// [`TooManyStreams`].
    pub fn open_stream(&self, session: &Session) -> Result<OpenStream, TooManyStreams> {
        let StreamLimits { of_one, of_all } = self.0.limits;
        let mut state = self.state();
        if state.streams.get(&session.holder_id).map_or(0, HashMap::len) >= of_one {
            return Err(TooManyStreams::OfOne);
        }
        if state.open >= of_all {
            return Err(TooManyStreams::OfAll);
        }
        let (number, over) = (state.next, CancellationToken::new());
        state.next += 1;
        state.open += 1;
        let stream = Stream { session: session.id, over: over.clone() };
        state.streams.entry(session.holder_id).or_default().insert(number, stream);
        Ok(OpenStream { sessions: self.clone(), holder: session.holder_id, number, over })
    }

    /// How many streams are open, and how many may be.
    pub fn streams(&self) -> (usize, usize) {
        (self.state().open, self.0.limits.of_all)
    }

    /// The latest time that this process has seen, by this clock or in the log, whichever instance wrote it:
    /// it does not go back where the clock does.
    pub fn latest(&self, now: Timestamp) -> Timestamp {
        let before = self.0.latest.fetch_max(now.micros(), Ordering::Relaxed);
        now.max(Timestamp::from_micros(before))
    }

    /// Looks how late it is by the log, before anyone asks: the clock may have been set back since the last
    /// process ended.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn begin(&self, journal: &dyn Journal<Row>) -> Result<(), JournalError> {
        let head = journal.head().await?;
        let before = Position::new(head.get().saturating_sub(1));
        let last = journal.read(&EventFilter::All, before, 1).await?;
        // What ended by it is over anyway.
        self.hear(&last.into_iter().map(Arc::new).collect::<Vec<_>>());
        Ok(())
    }

    /// Hears of what happened, in any process.
    pub fn hear(&self, events: &[Arc<RecordedEvent>]) {
        if let Some(latest) = events.iter().map(|event| event.timestamp).max() {
            self.latest(latest);
        }
        for event in events.iter().filter(|event| event.stream.as_str().starts_with("holder-")) {
            match HolderEvent::from_stored(&event.event_type, &event.data) {
                Ok(event) => self.end(&event),
                Err(error) => {
                    tracing::error!(%error, position = %event.position, "an event can't be read");
                    self.doubt();
                }
            }
        }
    }

    /// Believes nothing that was looked up before now: what ended meanwhile was not told of.
    pub fn doubt(&self) {
        let mut state = self.state();
        state.ended += 1;
        state.live.clear();
    }

    /// Ends the sessions that an event ends, and their streams.
    pub(crate) fn end(&self, event: &HolderEvent) {
        match event {
            HolderEvent::HolderRegistered(_) => {}
            HolderEvent::PasswordChanged(changed) => {
                self.end_all(changed.holder_id, |session| session != changed.kept_session);
            }
            HolderEvent::SessionEnded(ended) => {
                self.end_all(ended.holder_id, |session| session == ended.session_id);
            }
        }
    }

    fn end_all(&self, holder: HolderId, is_over: impl Fn(SessionId) -> bool) {
        let mut state = self.state();
        state.ended += 1;
        let over: Vec<_> = state
            .live
            .iter()
            .filter(|(id, session)| session.holder_id == holder && is_over(**id))
            .map(|(id, _)| *id)
            .collect();
        for id in over {
            state.live.pop(&id);
        }
        for stream in state.streams.get(&holder).into_iter().flat_map(HashMap::values) {
            if is_over(stream.session) {
                stream.over.cancel();
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenStream {
    /// Waits until its session is over.
    pub async fn over(&self) {
        self.over.cancelled().await;
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut state = self.sessions.state();
        state.open -= 1;
        if let Some(streams) = state.streams.get_mut(&self.holder) {
            streams.remove(&self.number);
            if streams.is_empty() {
                state.streams.remove(&self.holder);
            }
        }
    }
}

#[cfg(test)]
mod tests;
