//! Limits of requests, per client address and per holder.

use std::net::IpAddr;
use std::num::NonZeroU32;

use daybook_events::HolderId;
use governor::clock::DefaultClock;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

type Keyed<K> = RateLimiter<K, DashMapStateStore<K>, DefaultClock>;

/// How many requests there may be.
#[derive(Debug)]
pub struct RateLimits {
    /// Registering and logging in, per client address.
    credentials: Option<Keyed<IpAddr>>,
    /// Logging in, per email address.
    logins: Keyed<String>,
    /// Everything with a token, per holder.
    holders: Option<Keyed<HolderId>>,
}

/// Whoever guesses a password gets this many tries at once, and then one every two seconds.
const LOGINS_AT_ONCE: NonZeroU32 = NonZeroU32::MIN.saturating_add(59);
const LOGINS_PER_MINUTE: NonZeroU32 = NonZeroU32::MIN.saturating_add(29);

impl RateLimits {
    /// Requests per second, each with a burst of two seconds' worth; without a limit where there is none.
    pub fn new(credentials: Option<NonZeroU32>, holders: Option<NonZeroU32>) -> Self {
        let per_second =
            |rate: NonZeroU32| Quota::per_second(rate).allow_burst(rate.saturating_mul(TWO));
        Self {
            credentials: credentials.map(|rate| RateLimiter::keyed(per_second(rate))),
            logins: RateLimiter::keyed(
                Quota::per_minute(LOGINS_PER_MINUTE).allow_burst(LOGINS_AT_ONCE),
            ),
            holders: holders.map(|rate| RateLimiter::keyed(per_second(rate))),
        }
    }

    pub(crate) fn allow_credentials(&self, client: Option<IpAddr>) -> bool {
        match (&self.credentials, client) {
            (Some(limiter), Some(client)) => limiter.check_key(&client).is_ok(),
            _ => true,
        }
    }

    pub(crate) fn allow_holder(&self, holder: HolderId) -> bool {
        self.holders.as_ref().is_none_or(|limiter| limiter.check_key(&holder).is_ok())
    }

    pub(crate) fn allow_login(&self, email_key: &str) -> bool {
        self.logins.check_key(&email_key.to_owned()).is_ok()
    }

    /// Forgets those who have not been seen for a while.
    pub fn forget_idle(&self) {
        if let Some(limiter) = &self.credentials {
            limiter.retain_recent();
        }
        if let Some(limiter) = &self.holders {
            limiter.retain_recent();
        }
        self.logins.retain_recent();
    }
}

const TWO: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_a_limit_of_its_own() {
        let limits = RateLimits::new(NonZeroU32::new(2), None);
        let (a, b): (IpAddr, IpAddr) = ([127, 0, 0, 1].into(), [127, 0, 0, 2].into());
        let allowed = (0..50).filter(|_| limits.allow_credentials(Some(a))).count();
        assert!((4..50).contains(&allowed), "{allowed}");
        assert!(limits.allow_credentials(Some(b)));
    }

    #[test]
    fn guessing_a_password_comes_to_an_end() {
        let limits = RateLimits::new(None, None);
        let allowed = (0..200).filter(|_| limits.allow_login("ada@example.com")).count();
        assert!((60..70).contains(&allowed), "{allowed}");
        assert!(limits.allow_login("bob@example.com"));
    }

    #[test]
    fn without_a_limit_everything_is_allowed() {
        let limits = RateLimits::new(None, None);
        let holder = HolderId::from_uuid(uuid::Uuid::nil());
        assert!((0..1_000).all(|_| limits.allow_holder(holder)));
    }
}
