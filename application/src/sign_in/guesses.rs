//! Guessing passwords, slowed down.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use super::Origin;

/// How often someone may be wrong before they have to wait.
const FREE: u32 = 5;
/// How long they wait then; twice as long each time.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_mins(15);
/// After so long without an attempt all is as if there had been none.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(24);
/// How many pairs are remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(65_535);

/// Who was wrong how often: by client **and** account, so that nobody is kept out by what another does
/// elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Guesses(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    hasher: RandomState,
    tries: Mutex<LruCache<u64, Tries>>,
}

#[derive(Clone, Copy, Debug)]
struct Tries {
    wrong: u32,
    under_way: u32,
    /// No attempt before.
    next: Instant,
    last: Instant,
}

/// Someone has to wait before they may try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    pub time: Duration,
}

/// An attempt under way. One that is dropped without an outcome counts as none.
#[derive(Debug)]
pub(crate) struct Attempt {
    guesses: Guesses,
    pair: u64,
}

impl Guesses {
    pub(crate) fn new() -> Self {
        let tries = Mutex::new(LruCache::new(REMEMBERED));
        Self(Arc::new(Inner { hasher: RandomState::new(), tries }))
    }

    /// Begins an attempt of a client at an account, whether there is one or not. Those under way count
    /// as if they were wrong: who tries many at once has no more tries.
    pub(crate) fn begin(&self, client: Origin, account: &str) -> Result<Attempt, Wait> {
        let now = Instant::now();
        let pair = self.0.hasher.hash_one((client.block(), account));
        let mut all = self.tries();
        let tries =
            all.get_or_insert_mut(pair, || Tries { wrong: 0, under_way: 0, next: now, last: now });
        if now.duration_since(tries.last) >= FORGOTTEN_AFTER {
            tries.wrong = 0;
        }
        if now < tries.next {
            return Err(Wait { time: tries.next - now });
        }
        if tries.under_way > 0 && tries.wrong.saturating_add(tries.under_way) >= FREE {
            return Err(Wait { time: FIRST_DELAY });
        }
        tries.under_way += 1;
        tries.last = now;
        Ok(Attempt { guesses: self.clone(), pair })
    }

    fn tries(&self) -> MutexGuard<'_, LruCache<u64, Tries>> {
        self.0.tries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt {
    /// The password was right.
    pub(crate) fn right(self) {
        if let Some(tries) = self.guesses.tries().peek_mut(&self.pair) {
            tries.wrong = 0;
        }
    }

    /// It was another.
    pub(crate) fn wrong(self) {
        if let Some(tries) = self.guesses.tries().peek_mut(&self.pair) {
            tries.wrong = tries.wrong.saturating_add(1);
            if let Some(over) = tries.wrong.checked_sub(FREE) {
                let delay = FIRST_DELAY.saturating_mul(1 << over.min(16));
                tries.next = Instant::now() + delay.min(LONGEST_DELAY);
            }
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(tries) = self.guesses.tries().peek_mut(&self.pair) {
            tries.under_way = tries.under_way.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: [u8; 4] = [192, 0, 2, 1];
    const ELSEWHERE: [u8; 4] = [192, 0, 2, 2];

    fn begin(guesses: &Guesses, from: [u8; 4]) -> Result<Attempt, u64> {
        let waits = |wait: Wait| wait.time.as_secs();
        guesses.begin(Origin::of(from.into()), "ada@example.com").map_err(waits)
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_wrong_again_and_again_waits_longer_and_longer() {
        let guesses = Guesses::new();
        for _ in 0..FREE {
            begin(&guesses, HERE).unwrap().wrong();
        }
        for delay in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
            assert_eq!(begin(&guesses, HERE).err(), Some(delay));
            tokio::time::sleep(Duration::from_secs(delay - 1)).await;
            assert_eq!(begin(&guesses, HERE).err(), Some(1));
            tokio::time::sleep(Duration::from_secs(1)).await;
            begin(&guesses, HERE).unwrap().wrong();
        }
        // Others, and other accounts, have nothing to do with it.
        begin(&guesses, ELSEWHERE).unwrap().right();
        assert!(guesses.begin(Origin::of(HERE.into()), "bob@example.com").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_right_password_makes_up_for_the_wrong_ones() {
        let guesses = Guesses::new();
        for _ in 0..3 {
            for _ in 0..FREE - 1 {
                begin(&guesses, HERE).unwrap().wrong();
            }
            begin(&guesses, HERE).unwrap().right();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_at_once_are_no_more_tries() {
        let guesses = Guesses::new();
        let attempts: Vec<_> = (0..20).filter_map(|_| begin(&guesses, HERE).ok()).collect();
        assert_eq!(attempts.len(), FREE as usize);
        // Given up, they count for nothing.
        drop(attempts);
        for _ in 0..FREE {
            begin(&guesses, HERE).unwrap().wrong();
        }
        tokio::time::sleep(FIRST_DELAY).await;
        let one = begin(&guesses, HERE).unwrap();
        assert!(begin(&guesses, HERE).is_err());
        drop(one);
        assert!(begin(&guesses, HERE).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_day_it_is_forgotten() {
        let guesses = Guesses::new();
        for _ in 0..FREE {
            begin(&guesses, HERE).unwrap().wrong();
        }
        tokio::time::sleep(FORGOTTEN_AFTER).await;
        for _ in 0..FREE {
            begin(&guesses, HERE).unwrap().wrong();
        }
    }
}
