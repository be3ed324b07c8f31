//! Limits of requests, per client and per holder. How often someone may guess a password, and how many
//! are checked at a time, is the use cases' matter.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Duration;

use daybook_application::{Block, Origin};
use daybook_events::HolderId;
use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::problem::{Kind, Problem};

type Keyed<K> = RateLimiter<K, DashMapStateStore<K>, DefaultClock>;

/// How many requests there may be.
#[derive(Debug)]
pub struct RateLimits {
    /// Registering and logging in, per client.
    credentials: Option<Keyed<Block>>,
    /// Everything with a token, per holder.
    holders: Option<Keyed<HolderId>>,
}

impl RateLimits {
    /// Requests per second, each with a burst of two seconds' worth; without a limit where there is none.
    pub fn new(credentials: Option<NonZeroU32>, holders: Option<NonZeroU32>) -> Self {
        let per_second =
            |rate: NonZeroU32| Quota::per_second(rate).allow_burst(rate.saturating_mul(TWO));
        Self {
            credentials: credentials.map(|rate| RateLimiter::keyed(per_second(rate))),
            holders: holders.map(|rate| RateLimiter::keyed(per_second(rate))),
        }
    }

    pub(crate) fn allow_credentials(&self, client: Origin) -> Result<(), Problem> {
        allow(self.credentials.as_ref(), &client.block())
    }

    pub(crate) fn allow_holder(&self, holder: HolderId) -> Result<(), Problem> {
        allow(self.holders.as_ref(), &holder)
    }

    /// Forgets those who have not been seen for a while.
    pub fn forget_idle(&self) {
        if let Some(limiter) = &self.credentials {
            limiter.retain_recent();
        }
        if let Some(limiter) = &self.holders {
            limiter.retain_recent();
        }
    }
}

fn allow<K: Hash + Eq + Clone>(limiter: Option<&Keyed<K>>, key: &K) -> Result<(), Problem> {
    let Some(limiter) = limiter else { return Ok(()) };
    limiter.check_key(key).map_err(|until| {
        let wait: Duration = until.wait_time_from(limiter.clock().now());
        Problem::later(Kind::RateLimited, wait)
    })
}

const TWO: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_a_limit_of_its_own() {
        let limits = RateLimits::new(NonZeroU32::new(2), None);
        let client = |last| Origin::of([127, 0, 0, last].into());
        let allowed = (0..50).filter(|_| limits.allow_credentials(client(1)).is_ok()).count();
        assert!((4..50).contains(&allowed), "{allowed}");
        assert!(limits.allow_credentials(client(2)).is_ok());
    }

    #[test]
    fn without_a_limit_everything_is_allowed() {
        let limits = RateLimits::new(None, None);
        let holder = HolderId::from_uuid(uuid::Uuid::nil());
        assert!((0..1_000).all(|_| limits.allow_holder(holder).is_ok()));
        assert!((0..1_000).all(|_| limits.allow_credentials(Origin::UNKNOWN).is_ok()));
    }
}
