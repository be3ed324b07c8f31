//! Messages that go from one queue to another: put off, due, or dead.
//!
//! The new message is confirmed before the old one is acknowledged. Until then it is tried again;
//! the old message stays unacknowledged meanwhile, so that there are never more moves under way
//! than messages fetched ahead. If its connection ends, the broker hands it out again.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::deliveries::Receipt;
use crate::letter::Letter;
use crate::link::Pauses;
use crate::publisher::Publisher;

/// A letter, and what it takes the place of.
pub(crate) struct Move {
    pub letter: Letter,
    pub receipt: Receipt,
}

/// Moves messages in the background.
pub(crate) struct Moves {
    publisher: Arc<Publisher>,
    under_way: TaskTracker,
    stop: CancellationToken,
}

impl Moves {
    pub(crate) fn new(publisher: Arc<Publisher>, stop: CancellationToken) -> Self {
        Self { publisher, under_way: TaskTracker::new(), stop }
    }

    pub(crate) fn begin(&self, moves: Vec<Move>) {
        if !moves.is_empty() {
            let (publisher, stop) = (Arc::clone(&self.publisher), self.stop.clone());
            self.under_way.spawn(run(publisher, moves, stop));
        }
    }

    /// Waits until those under way are done, but no longer than so long.
    pub(crate) async fn finish(&self, patience: Duration) {
        self.under_way.close();
        if tokio::time::timeout(patience, self.under_way.wait()).await.is_err() {
            tracing::debug!("messages are still being moved; the broker hands them out again");
        }
    }
}

async fn run(publisher: Arc<Publisher>, moves: Vec<Move>, stop: CancellationToken) {
    let mut pauses = Pauses::new();
    while moves.iter().any(|moved| moved.receipt.is_valid()) {
        match publisher.send(&moves, |moved| moved.letter.clone()).await {
            Ok(()) => {
                for moved in moves {
                    moved.receipt.acknowledge().await;
                }
                return;
            }
            Err(fault) => tracing::debug!("messages could not be moved: {fault}"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pauses.next()) => {}
        }
    }
}
