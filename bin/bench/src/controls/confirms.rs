//! What the broker has not confirmed yet, counted as plainly as it can be.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use amqprs::callbacks::ChannelCallback;
use amqprs::channel::Channel;
use amqprs::error::Error;
use amqprs::{Ack, BasicProperties, Cancel, CloseChannel, Nack, Return};
use async_trait::async_trait;
use tokio::sync::Notify;

use crate::error::BenchError;

/// Messages of one channel on their way, in the order in which they were sent.
#[derive(Default)]
pub(super) struct Confirms {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Default)]
struct Waiting {
    /// How many went before the first that waits.
    gone: u64,
    /// Of each that was sent since, whether it is confirmed.
    confirmed: VecDeque<bool>,
    refused: bool,
}

impl Confirms {
    /// What the channel has to call.
    pub(super) fn listener(self: &Arc<Self>) -> impl ChannelCallback + Send + 'static {
        Listener(Arc::clone(self))
    }

    /// Counts the message that is sent next.
    pub(super) fn expect(&self) {
        self.lock().confirmed.push_back(false);
    }

    /// Waits until fewer than `window` messages are on their way.
    ///
    /// # Errors
    /// Where the broker refused one.
    pub(super) async fn room(&self, window: usize) -> Result<(), BenchError> {
        loop {
            {
                let waiting = self.lock();
                if waiting.refused {
                    return Err(BenchError::failed("the broker refused a message"));
                }
                if waiting.confirmed.len() < window {
                    return Ok(());
                }
            }
            self.changed.notified().await;
        }
    }

    fn settle(&self, tag: u64, multiple: bool) {
        let mut waiting = self.lock();
        let Some(index) = tag.checked_sub(waiting.gone + 1) else { return };
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let from = if multiple { 0 } else { index };
        let count = index.saturating_add(1).saturating_sub(from);
        waiting.confirmed.iter_mut().skip(from).take(count).for_each(|it| *it = true);
        while waiting.confirmed.front() == Some(&true) {
            waiting.confirmed.pop_front();
            waiting.gone += 1;
        }
        drop(waiting);
        self.changed.notify_one();
    }

    fn refuse(&self) {
        self.lock().refused = true;
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Listener(Arc<Confirms>);

#[async_trait]
impl ChannelCallback for Listener {
    async fn close(&mut self, _: &Channel, _: CloseChannel) -> Result<(), Error> {
        self.0.refuse();
        Ok(())
    }

    async fn cancel(&mut self, _: &Channel, _: Cancel) -> Result<(), Error> {
        Ok(())
    }

    async fn flow(&mut self, _: &Channel, active: bool) -> Result<bool, Error> {
        Ok(active)
    }

    async fn publish_ack(&mut self, _: &Channel, ack: Ack) {
        self.0.settle(ack.delivery_tag(), ack.mutiple());
    }

    async fn publish_nack(&mut self, _: &Channel, _: Nack) {
        self.0.refuse();
    }

    async fn publish_return(&mut self, _: &Channel, _: Return, _: BasicProperties, _: Vec<u8>) {
        self.0.refuse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(messages: usize) -> Confirms {
        let confirms = Confirms::default();
        (0..messages).for_each(|_| confirms.expect());
        confirms
    }

    fn on_their_way(confirms: &Confirms) -> usize {
        confirms.lock().confirmed.len()
    }

    #[test]
    fn one_by_one_and_all_up_to_one() {
        let confirms = sent(6);
        confirms.settle(2, false);
        assert_eq!(on_their_way(&confirms), 6);
        confirms.settle(1, false);
        assert_eq!(on_their_way(&confirms), 4);
        confirms.settle(5, true);
        assert_eq!(on_their_way(&confirms), 1);
        confirms.settle(3, true);
        confirms.settle(99, false);
        assert_eq!(on_their_way(&confirms), 1);
        confirms.settle(6, false);
        assert_eq!(on_their_way(&confirms), 0);
    }

    #[tokio::test]
    async fn a_refusal_ends_the_wait() {
        let confirms = sent(2);
        confirms.settle(1, false);
        confirms.room(2).await.unwrap();
        confirms.refuse();
        assert!(confirms.room(1).await.is_err());
    }
}
