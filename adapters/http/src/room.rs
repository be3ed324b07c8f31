//! How many bytes of replies may be in memory: made, and not taken by their readers yet.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use daybook_events::HolderId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::problem::{Kind, Problem};
use crate::seldom::Seldom;

/// The room of a page: as many bytes as are shown of it.
pub(crate) const PAGE_BYTES: usize = 1 << 20;
/// How long someone waits for room at most.
const PATIENCE: Duration = Duration::from_secs(2);
/// Replies of fewer bytes are not counted: a connection has as much anyway.
const SMALL: usize = 8 * 1024;
/// What part of the room one holder's lists may take.
const PART_OF_ONE: usize = 4;

/// The room for replies, shared by all; of lists one holder may take a part.
#[derive(Clone, Debug)]
pub(crate) struct ReplyRoom(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    all: Arc<Semaphore>,
    total: usize,
    /// For holders whose lists are being made or sent.
    holders: Mutex<HashMap<HolderId, Arc<Semaphore>>>,
    waiting: AtomicUsize,
    refused: Seldom,
}

/// Room that is taken; given back with the value.
#[derive(Debug)]
pub(crate) struct Room {
    all: OwnedSemaphorePermit,
    own: Option<OwnPart>,
}

#[derive(Debug)]
struct OwnPart {
    permit: Option<OwnedSemaphorePermit>,
    holder: HolderId,
    room: ReplyRoom,
}

impl ReplyRoom {
    /// Room for this many bytes, and for a page of each of a few holders at least.
    pub(crate) fn new(bytes: usize) -> Self {
        let total = bytes.clamp(PAGE_BYTES * PART_OF_ONE, Semaphore::MAX_PERMITS);
        Self(Arc::new(Inner {
            all: Arc::new(Semaphore::new(total)),
            total,
            holders: Mutex::default(),
            waiting: AtomicUsize::new(0),
            refused: Seldom::default(),
        }))
    }

    /// Whether someone waits for room: then those who take nothing are to be given up sooner.
    pub(crate) fn is_short(&self) -> bool {
        self.0.waiting.load(Ordering::Relaxed) > 0
    }

    /// How many bytes are taken, and how many there are.
    pub(crate) fn taken(&self) -> (usize, usize) {
        (self.0.total.saturating_sub(self.0.all.available_permits()), self.0.total)
    }

    /// How often there was no room.
    pub(crate) fn refused(&self) -> u64 {
        self.0.refused.total()
    }

    /// Takes the room of a page for a holder, before it is made.
    pub(crate) async fn page(&self, holder: HolderId) -> Result<Room, Problem> {
        let own = {
            let mut holders = self.0.holders.lock().unwrap_or_else(PoisonError::into_inner);
            let part = || Arc::new(Semaphore::new(self.0.total / PART_OF_ONE));
            Arc::clone(holders.entry(holder).or_insert_with(part))
        };
        let mut part = OwnPart { permit: None, holder, room: self.clone() };
        part.permit = Some(self.take(own, PAGE_BYTES).await?);
        let all = self.take(Arc::clone(&self.0.all), PAGE_BYTES).await?;
        Ok(Room { all, own: Some(part) })
    }

    /// Takes the room of a reply that is made; none for a small one.
    pub(crate) async fn reply(&self, bytes: usize) -> Result<Option<Room>, Problem> {
        if bytes < SMALL {
            return Ok(None);
        }
        let all = self.take(Arc::clone(&self.0.all), bytes.min(self.0.total)).await?;
        Ok(Some(Room { all, own: None }))
    }

    async fn take(
        &self,
        from: Arc<Semaphore>,
        bytes: usize,
    ) -> Result<OwnedSemaphorePermit, Problem> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if let Ok(permit) = Arc::clone(&from).try_acquire_many_owned(bytes) {
            return Ok(permit);
        }
        let _waits = Waits::begin(self);
        if let Ok(Ok(permit)) = timeout(PATIENCE, from.acquire_many_owned(bytes)).await {
            return Ok(permit);
        }
        self.0.refused.note(|count| {
            tracing::warn!(count, "replies were refused: too many are not taken yet");
        });
        Err(Problem::new(Kind::Overloaded))
    }
}

struct Waits<'a>(&'a ReplyRoom);

impl<'a> Waits<'a> {
    fn begin(room: &'a ReplyRoom) -> Self {
        room.0.waiting.fetch_add(1, Ordering::Relaxed);
        Self(room)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Room {
    /// The bytes, which keep what they take of the room until they are written; the rest is given back.
    pub(crate) fn hold(mut self, bytes: Bytes) -> Bytes {
        let keep = |permit: &mut OwnedSemaphorePermit| {
            let unused = permit.num_permits().saturating_sub(bytes.len().max(1));
            drop(permit.split(unused));
        };
        keep(&mut self.all);
        if let Some(permit) = self.own.as_mut().and_then(|own| own.permit.as_mut()) {
            keep(permit);
        }
        held(bytes, self)
    }
}

/// Bytes that keep something until the last of them is written.
pub(crate) fn held<T: Send + 'static>(bytes: Bytes, kept: T) -> Bytes {
    struct Held<T>(Bytes, T);
    impl<T> AsRef<[u8]> for Held<T> {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    Bytes::from_owner(Held(bytes, kept))
}

impl Drop for OwnPart {
    fn drop(&mut self) {
        drop(self.permit.take());
        let mut holders = self.room.0.holders.lock().unwrap_or_else(PoisonError::into_inner);
        let is_unused = |part: &Arc<Semaphore>| Arc::strong_count(part) == 1;
        if holders.get(&self.holder).is_some_and(is_unused) {
            holders.remove(&self.holder);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn holder(number: u128) -> HolderId {
        HolderId::from_uuid(Uuid::from_u128(number))
    }

    fn page() -> Bytes {
        vec![b'x'; PAGE_BYTES].into()
    }

    #[tokio::test(start_paused = true)]
    async fn one_holder_takes_a_part_and_leaves_room_for_others() {
        let room = ReplyRoom::new(8 * PAGE_BYTES);
        let mut unread = Vec::new();
        for _ in 0..2 {
            unread.push(room.page(holder(1)).await.unwrap().hold(page()));
        }
        assert!(room.page(holder(1)).await.is_err());
        unread.push(room.page(holder(2)).await.unwrap().hold(page()));
        assert_eq!(room.taken(), (3 * PAGE_BYTES, 8 * PAGE_BYTES));
        assert_eq!(room.refused(), 1);
        unread.clear();
        assert_eq!(room.taken().0, 0);
        assert!(room.0.holders.lock().unwrap().is_empty(), "holders who are gone are kept");
        assert!(room.page(holder(1)).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_keeps_what_it_takes_until_it_is_written() {
        let room = ReplyRoom::new(4 * PAGE_BYTES);
        let small = room.page(holder(1)).await.unwrap().hold(Bytes::from_static(b"[]"));
        assert_eq!(room.taken().0, 2);
        let copy = small.clone();
        drop(small);
        assert_eq!(room.taken().0, 2);
        drop(copy);
        assert_eq!(room.taken().0, 0);
        assert!(room.reply(100).await.unwrap().is_none());
        let large = room.reply(PAGE_BYTES).await.unwrap().unwrap().hold(page());
        assert_eq!(room.taken().0, large.len());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_seen_and_gets_what_is_given_back() {
        let room = ReplyRoom::new(4 * PAGE_BYTES);
        let held = room.reply(4 * PAGE_BYTES).await.unwrap();
        let waits = tokio::spawn({
            let room = room.clone();
            async move { room.page(holder(1)).await.is_ok() }
        });
        tokio::task::yield_now().await;
        assert!(room.is_short());
        drop(held);
        assert!(waits.await.unwrap());
        assert!(!room.is_short());
    }
}
