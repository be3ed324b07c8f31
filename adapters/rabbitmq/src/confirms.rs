//! What is on its way to the broker and not confirmed yet.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The broker has it.
    Confirmed,
    /// The broker could not store it.
    Refused,
    /// The connection ended first: nobody knows.
    Lost,
}

/// Messages whose sender waits for all of them together.
pub(crate) struct Batch {
    state: Mutex<BatchState>,
    settled: Notify,
    abandoned: AtomicBool,
}

struct BatchState {
    open: usize,
    verdicts: Vec<Verdict>,
}

impl Batch {
    pub(crate) fn new(messages: usize) -> Self {
        let state = BatchState { open: messages, verdicts: vec![Verdict::Lost; messages] };
        Self { state: Mutex::new(state), settled: Notify::new(), abandoned: AtomicBool::new(false) }
    }

    pub(crate) fn settle(&self, index: usize, verdict: Verdict) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = state.verdicts.get_mut(index) {
            *slot = verdict;
        }
        state.open = state.open.saturating_sub(1);
        if state.open == 0 {
            self.settled.notify_one();
        }
    }

    /// What became of each message, once that is known of all.
    pub(crate) async fn verdicts(&self) -> Vec<Verdict> {
        loop {
            {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                if state.open == 0 {
                    return std::mem::take(&mut state.verdicts);
                }
            }
            self.settled.notified().await;
        }
    }

    /// Nobody waits for it any more: what was not sent need not be.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }
}

/// The messages of one channel that are not confirmed, in the order in which they were sent: the
/// broker counts them from 1.
#[derive(Default)]
pub(crate) struct Confirms {
    waiting: Mutex<Waiting>,
    room: Notify,
}

#[derive(Default)]
struct Waiting {
    /// How many went before the first that waits.
    gone: u64,
    queue: VecDeque<Option<(Arc<Batch>, usize)>>,
    ended: bool,
}

impl Confirms {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the message that is sent next; answers whether it may be sent at all. Sending it
    /// must not fail to follow, or every later count is wrong.
    pub(crate) fn expect(&self, batch: &Arc<Batch>, index: usize) -> bool {
        let mut waiting = self.lock();
        if !waiting.ended {
            waiting.queue.push_back(Some((Arc::clone(batch), index)));
        }
        !waiting.ended
    }

    /// Takes the broker's word for a message, or for all up to it.
    pub(crate) fn settle(&self, tag: u64, multiple: bool, verdict: Verdict) {
        let mut waiting = self.lock();
        let Some(last) = tag.checked_sub(waiting.gone + 1).and_then(|n| usize::try_from(n).ok())
        else {
            return;
        };
        let end = waiting.queue.len().min(last.saturating_add(1));
        let start = if multiple { 0 } else { last.min(end) };
        for slot in waiting.queue.range_mut(start..end) {
            if let Some((batch, index)) = slot.take() {
                batch.settle(index, verdict);
            }
        }
        while let Some(None) = waiting.queue.front() {
            waiting.queue.pop_front();
            waiting.gone += 1;
        }
        drop(waiting);
        self.room.notify_one();
    }

    /// Nothing will be confirmed any more.
    pub(crate) fn end(&self) {
        let mut waiting = self.lock();
        waiting.ended = true;
        for (batch, index) in waiting.queue.drain(..).flatten() {
            batch.settle(index, Verdict::Lost);
        }
        drop(waiting);
        self.room.notify_one();
    }

    /// Waits until fewer than `window` messages are on their way. For one caller at a time.
    pub(crate) async fn room(&self, window: usize) {
        while self.lock().queue.len() >= window {
            self.room.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(messages: usize) -> (Confirms, Arc<Batch>) {
        let (confirms, batch) = (Confirms::default(), Arc::new(Batch::new(messages)));
        for index in 0..messages {
            assert!(confirms.expect(&batch, index));
        }
        (confirms, batch)
    }

    #[tokio::test]
    async fn one_by_one_and_all_up_to_one() {
        use Verdict::{Confirmed, Lost, Refused};
        let (confirms, batch) = sent(6);
        confirms.settle(2, false, Refused);
        confirms.settle(3, true, Confirmed);
        confirms.settle(5, false, Confirmed);
        // Said twice, and never sent.
        confirms.settle(3, true, Refused);
        confirms.settle(99, false, Refused);
        confirms.settle(0, true, Refused);
        assert_eq!(confirms.lock().queue.len(), 3);
        confirms.end();
        assert_eq!(batch.verdicts().await, [Confirmed, Refused, Confirmed, Lost, Confirmed, Lost]);
        assert!(!confirms.expect(&batch, 0));
    }

    #[tokio::test]
    async fn there_is_room_when_the_oldest_are_confirmed() {
        let (confirms, _) = sent(4);
        confirms.settle(4, false, Verdict::Confirmed);
        assert_eq!(confirms.lock().queue.len(), 4);
        let (confirms, waits) = (Arc::new(confirms), Arc::new(AtomicBool::new(true)));
        let room = tokio::spawn({
            let (confirms, waits) = (Arc::clone(&confirms), Arc::clone(&waits));
            async move {
                confirms.room(3).await;
                assert!(!waits.load(Ordering::SeqCst));
            }
        });
        tokio::task::yield_now().await;
        waits.store(false, Ordering::SeqCst);
        confirms.settle(2, true, Verdict::Confirmed);
        room.await.unwrap();
    }
}
