//! Reading past the cache: of each key one read of the database at a time.
//!
//! Whoever asks while one is under way waits for the one after it, together with all who ask until
//! that begins: what has begun already may not see a write that was acknowledged since.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use daybook_events::Cached;

use super::{Flight, Land, flight};
use crate::QueryError;

/// The keys that are being read, each with those who wait for its next read.
#[derive(Default)]
pub(super) struct Past(Mutex<HashMap<Box<str>, Option<Waiting>>>);

struct Waiting {
    land: Land,
    flight: Flight,
}

/// Reads a key for as long as somebody waits for it.
struct Lane {
    past: Arc<Past>,
    key: Box<str>,
    /// The key is off the map.
    ended: bool,
}

impl Drop for Lane {
    /// After a panic, whoever waits is told that the load failed.
    fn drop(&mut self) {
        if !self.ended {
            let waiting = self.past.with(|keys| keys.remove(&self.key));
            drop(waiting);
        }
    }
}

impl Past {
    fn with<T>(&self, f: impl FnOnce(&mut HashMap<Box<str>, Option<Waiting>>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What `load` answers when it is begun after this was called.
    pub(super) fn join<F>(
        self: &Arc<Self>,
        key: &str,
        load: impl Fn() -> F + Send + 'static,
    ) -> Flight
    where
        F: Future<Output = Result<Cached, QueryError>> + Send + 'static,
    {
        self.with(|keys| {
            if let Some(next) = keys.get_mut(key) {
                let next = next.get_or_insert_with(|| {
                    let (land, flight) = flight();
                    Waiting { land, flight }
                });
                return next.flight.clone();
            }
            let (land, flight) = flight();
            keys.insert(key.into(), None);
            let reading = Lane { past: Arc::clone(self), key: key.into(), ended: false };
            // On its own task: it ends also when every reader has gone.
            tokio::spawn(reading.run(land, load));
            flight
        })
    }
}

impl Lane {
    async fn run<F>(mut self, mut land: Land, load: impl Fn() -> F + Send)
    where
        F: Future<Output = Result<Cached, QueryError>> + Send + 'static,
    {
        loop {
            let loaded = load().await;
            let next = self.next();
            // Whoever asked may have gone.
            let _ = land.send(loaded);
            match next {
                Some(next) => land = next.land,
                None => return,
            }
        }
    }

    /// Those who came while a read was under way; where nobody did, the key is off the map.
    fn next(&mut self) -> Option<Waiting> {
        self.past.with(|keys| {
            let next = keys.get_mut(&self.key).and_then(Option::take);
            if next.is_none() {
                keys.remove(&self.key);
                self.ended = true;
            }
            next
        })
    }
}
