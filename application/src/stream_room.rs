//! How many bytes may be on their way to those who follow the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What one subscriber takes at a time: more than the largest message.
pub(crate) const PAGE_BYTES: u32 = 64 * 1024;

/// The room for what is on its way to subscribers, shared by all of them: what was read for one and
/// not taken by its socket yet counts, whoever the subscriber is and however slow.
#[derive(Clone, Debug)]
pub struct StreamRoom {
    bytes: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

/// Room that is taken; given back with the value.
#[derive(Debug)]
pub struct Taken(
    #[expect(dead_code, reason = "gives the room back when it is dropped")] OwnedSemaphorePermit,
);

impl StreamRoom {
    /// Room for this many bytes, and for one page at least.
    pub fn new(bytes: usize) -> Self {
        let least = usize::try_from(PAGE_BYTES).unwrap_or(usize::MAX);
        let bytes = bytes.clamp(least, Semaphore::MAX_PERMITS);
        Self { bytes: Arc::new(Semaphore::new(bytes)), waiting: Arc::default() }
    }

    /// Whether someone waits for room: then those who take nothing are to be given up sooner.
    pub fn is_short(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Takes the room of one page, once there is some. Whoever waits has nothing else of it.
    pub(crate) async fn page(&self) -> Option<PageRoom> {
        if let Ok(permit) = Arc::clone(&self.bytes).try_acquire_many_owned(PAGE_BYTES) {
            return Some(PageRoom(permit));
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _leaves = Leaves(&self.waiting);
        Arc::clone(&self.bytes).acquire_many_owned(PAGE_BYTES).await.ok().map(PageRoom)
    }
}

struct Leaves<'a>(&'a AtomicUsize);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The room of a page, before it is known what is in it.
pub(crate) struct PageRoom(OwnedSemaphorePermit);

impl PageRoom {
    /// How many bytes are left.
    pub(crate) fn left(&self) -> usize {
        self.0.num_permits()
    }

    /// Takes a part for something of this size, or all that is left of it; none where nothing is left.
    pub(crate) fn part(&mut self, bytes: usize) -> Option<Taken> {
        let part = bytes.min(self.left());
        if part == 0 {
            return None;
        }
        self.0.split(part).map(Taken)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn what_is_taken_is_room_for_nobody_else_until_it_is_given_back() {
        let room = StreamRoom::new(3 * 64 * 1024);
        let mut parts = Vec::new();
        for _ in 0..3 {
            let mut page = room.page().now_or_never().unwrap().unwrap();
            parts.push(page.part(40_000).unwrap());
        }
        // What three pages have left of theirs is one more page, and not two.
        let page = room.page().now_or_never().unwrap();
        assert!(!room.is_short());
        let mut waits = Box::pin(room.page());
        assert!(waits.as_mut().now_or_never().is_none());
        assert!(room.is_short());
        drop(page);
        assert!(waits.await.is_some());
        assert!(!room.is_short());
        drop(parts);
    }

    #[tokio::test]
    async fn something_larger_than_a_page_takes_all_of_it() {
        let room = StreamRoom::new(0);
        let mut page = room.page().await.unwrap();
        let whole = page.part(1_000_000).unwrap();
        assert!(page.part(1).is_none());
        assert!(room.page().now_or_never().is_none());
        drop((whole, page));
        assert!(room.page().now_or_never().is_some());
    }
}
