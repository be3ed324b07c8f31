//! Whether what is cached can be believed.
//!
//! While a cache is out of reach, writes succeed all the same and are not told to it. When it is back it
//! may still have what was there before. The relay that tells it of every event puts that right; until it
//! has come as far as the log was when everybody could reach the cache again, reads go to the database.
//! So it is at the start of a process: the one before may have ended between a write and telling of it,
//! or may have had no cache.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use daybook_events::JournalError;

use super::{ReadCache, Repair};

/// By then every instance that could not reach the cache has noticed that it can, and tells it of its
/// writes again.
const SETTLED: Duration = Duration::from_secs(4);
/// How often it is looked how far the relay has come.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Nothing was overcome yet, also where there was no outage.
const NOTHING: u64 = u64::MAX;

pub(super) struct Trust {
    /// How many outages of the cache have been overcome.
    overcome: AtomicU64,
    recovering: AtomicBool,
}

impl Default for Trust {
    fn default() -> Self {
        Self { overcome: AtomicU64::new(NOTHING), recovering: AtomicBool::new(false) }
    }
}

impl Trust {
    /// Whether there was no outage since the cache was last known to be right. After one, it is begun to
    /// make sure.
    pub(super) fn covers(self: &Arc<Self>, cache: &ReadCache) -> bool {
        let Some(repair) = &cache.repair else { return true };
        if cache.cache.outages() == self.overcome.load(Ordering::SeqCst) {
            return true;
        }
        if !self.recovering.swap(true, Ordering::SeqCst) {
            let (trust, cache, repair) = (Arc::clone(self), cache.clone(), repair.clone());
            // It ends with the process at the latest.
            tokio::spawn(async move { trust.recover(&cache, &repair).await });
        }
        false
    }

    async fn recover(&self, cache: &ReadCache, repair: &Repair) {
        let starting = self.overcome.load(Ordering::SeqCst) == NOTHING;
        if !starting {
            tracing::warn!("the cache was out of reach; reads are answered without it for now");
        }
        loop {
            while cache.cache.check().await.is_err() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            // The others come back to it as well, but not at the same moment.
            let outages = cache.cache.outages();
            if !starting || outages > 0 {
                tokio::time::sleep(SETTLED).await;
            }
            let same = || cache.cache.outages() == outages;
            if same() && cache.cache.check().await.is_ok() && is_caught_up(repair, same).await {
                self.overcome.store(outages, Ordering::SeqCst);
                self.recovering.store(false, Ordering::SeqCst);
                if !starting {
                    tracing::info!("the cache is right again; reads are answered from it");
                }
                return;
            }
        }
    }
}

/// Waits until the relay is as far as the log is now; false where something comes between. What another
/// log left is not believed by then.
async fn is_caught_up(repair: &Repair, undisturbed: impl Fn() -> bool) -> bool {
    if let Some(forks) = &repair.forks
        && let Err(reason) = forks.look().await
    {
        tracing::debug!(reason, "the log was not compared with what was seen of it");
        return false;
    }
    let Ok(head) = repair.journal.head().await else { return false };
    while undisturbed() {
        match is_at(repair, head).await {
            Ok(true) => return undisturbed(),
            Ok(false) => tokio::time::sleep(LOOK_EVERY).await,
            Err(_) => return false,
        }
    }
    false
}

async fn is_at(repair: &Repair, head: daybook_events::Position) -> Result<bool, JournalError> {
    Ok(repair.journal.checkpoint(repair.relay).await? >= head)
}
