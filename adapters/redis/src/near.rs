//! What this process keeps for itself of what it read from Redis.
//!
//! Redis is asked to remember which keys this connection read, and says which of them changed since
//! (`CLIENT TRACKING`). That word may overtake the task that asked: what it read is old before it
//! is kept. So the place of an answer is made before it is asked for, and is gone if the key changed
//! in between; then the answer is used once and not kept. The client's own cache of this kind keeps
//! it, and keeps a value and its guard apart, which is why it is not used.
//!
//! It belongs to one connection and goes with it: after a break nobody knows what changed.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use daybook_events::{Cached, InstallationId};
use lru::LruCache;
use redis::{FromRedisValue, PushInfo, PushKind, RedisResult, Value};

use crate::cache::is_of_another_type;
use crate::guard::{self, LARGEST};
use crate::link::Link;

/// What this process keeps for itself, bounded by a number of replies; what was not asked for
/// longest goes first.
pub(crate) struct Near {
    places: Mutex<Places>,
}

struct Places {
    by_key: LruCache<Box<str>, Place>,
    made: u64,
    /// Whose replies they are.
    of: Option<InstallationId>,
}

impl Places {
    /// Another installation believes nothing of what was kept before.
    fn are_of(&mut self, id: InstallationId) {
        if self.of.replace(id) != Some(id) {
            self.by_key.clear();
        }
    }
}

enum Place {
    /// Made for the answer to the question of this number.
    Made(u64),
    Taken {
        cached: Cached,
        until: Instant,
    },
}

/// What a value and its guard are, as they were read.
pub(crate) type Pair = (Option<Vec<u8>>, Option<Vec<u8>>);

impl Near {
    pub(crate) fn new(entries: NonZeroUsize) -> Self {
        Self { places: Mutex::new(Places { by_key: LruCache::new(entries), made: 0, of: None }) }
    }

    /// What this installation keeps of a key.
    pub(crate) fn get(&self, key: &str, of: InstallationId) -> Option<Cached> {
        let mut places = self.places();
        places.are_of(of);
        match places.by_key.get(key)? {
            Place::Taken { cached, until } if Instant::now() < *until => Some(cached.clone()),
            Place::Taken { .. } | Place::Made(_) => None,
        }
    }

    /// Makes the place of an answer that is about to be asked for.
    pub(crate) fn make(&self, key: &str, of: InstallationId) -> u64 {
        let mut places = self.places();
        places.are_of(of);
        places.made = places.made.wrapping_add(1);
        let number = places.made;
        places.by_key.put(key.into(), Place::Made(number));
        number
    }

    /// Keeps an answer, where its place is still there.
    pub(crate) fn take(&self, key: &str, number: u64, cached: &Cached, until: Instant) {
        if let Some(place) = self.places().by_key.peek_mut(key)
            && matches!(place, Place::Made(made) if *made == number)
        {
            *place = Place::Taken { cached: cached.clone(), until };
        }
    }

    /// Forgets a key: it changed.
    pub(crate) fn forget(&self, key: &str) {
        self.places().by_key.pop(key);
    }

    /// Forgets what Redis says has changed.
    pub(crate) fn hear(&self, push: &PushInfo) {
        if push.kind != PushKind::Invalidate {
            return;
        }
        match push.data.first() {
            Some(Value::Array(keys)) => {
                for key in keys {
                    if let Ok(key) = String::from_redis_value_ref(key) {
                        self.forget(guard::guarded_key(&key).unwrap_or(&key));
                    }
                }
            }
            // Everything, as after FLUSHALL.
            _ => self.places().by_key.clear(),
        }
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a value, its guard, and for how long they stay, so that Redis tells of their changes.
pub(crate) async fn read_tracked(
    link: &mut Link,
    key: &str,
    guard: &str,
) -> RedisResult<(Pair, Option<Duration>)> {
    let mut commands = redis::pipe();
    commands.cmd("CLIENT").arg("CACHING").arg("YES").ignore();
    ask_for_both(&mut commands, key, guard);
    commands.cmd("PTTL").arg(guard);
    match commands.query_async(link).await {
        Err(error) if is_of_another_type(&error) => Ok(((None, None), None)),
        read => {
            let (value, guard, millis): (_, _, i64) = read?;
            // Negative where there is no such key, or where it stays for ever, which no guard does.
            Ok((pair(value, guard), u64::try_from(millis).ok().map(Duration::from_millis)))
        }
    }
}

/// A part of nothing is empty: whether it stands for nothing, its guard says.
pub(crate) fn pair(value: Vec<u8>, guard: Option<Vec<u8>>) -> Pair {
    let is_value = guard.as_ref().is_some_and(|guard| guard.starts_with(b"v:"));
    ((is_value || !value.is_empty()).then_some(value), guard)
}

/// Asks for a value, for no more of it than a reply may have, and for its guard.
pub(crate) fn ask_for_both(commands: &mut redis::Pipeline, key: &str, guard: &str) {
    commands.cmd("GETRANGE").arg(key).arg(0).arg(LARGEST - 1);
    commands.cmd("GET").arg(guard);
}

#[cfg(test)]
mod tests {
    use daybook_events::Version;

    use super::*;

    fn near() -> Near {
        Near::new(NonZeroUsize::new(2).unwrap())
    }

    fn me() -> InstallationId {
        InstallationId::from_uuid(uuid::Uuid::from_u128(1))
    }

    #[test]
    fn a_new_identity_keeps_nothing_of_the_old() {
        let near = near();
        near.take("a", near.make("a", me()), &cached(1), later());
        let new = InstallationId::from_uuid(uuid::Uuid::from_u128(2));
        assert_eq!(near.get("a", new), None);
        assert_eq!(near.get("a", me()), None);
    }

    fn cached(version: u64) -> Cached {
        Cached { version: Version::new(version), value: None }
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_mins(1)
    }

    fn changed(keys: &[&str]) -> PushInfo {
        let keys = keys.iter().map(|key| Value::BulkString(key.as_bytes().to_vec())).collect();
        PushInfo { kind: PushKind::Invalidate, data: vec![Value::Array(keys)] }
    }

    #[test]
    fn an_answer_is_kept_until_its_time() {
        let near = near();
        near.take("a", near.make("a", me()), &cached(1), later());
        assert_eq!(near.get("a", me()), Some(cached(1)));
        near.take("a", near.make("a", me()), &cached(1), Instant::now());
        assert_eq!(near.get("a", me()), None);
    }

    #[test]
    fn a_change_of_the_value_or_of_its_guard_is_a_change_of_the_key() {
        for key in ["a", "{a}:guard"] {
            let near = near();
            near.take("a", near.make("a", me()), &cached(1), later());
            near.hear(&changed(&["b", key]));
            assert_eq!(near.get("a", me()), None, "{key}");
        }
        let near = near();
        near.take("a", near.make("a", me()), &cached(1), later());
        near.hear(&PushInfo { kind: PushKind::Invalidate, data: vec![Value::Nil] });
        assert_eq!(near.get("a", me()), None);
    }

    #[test]
    fn an_answer_that_a_change_overtook_is_not_kept() {
        let near = near();
        let asked = near.make("a", me());
        near.hear(&changed(&["a"]));
        near.take("a", asked, &cached(1), later());
        assert_eq!(near.get("a", me()), None);

        let first = near.make("a", me());
        near.hear(&changed(&["a"]));
        let second = near.make("a", me());
        near.take("a", first, &cached(1), later());
        assert_eq!(near.get("a", me()), None);
        near.take("a", second, &cached(2), later());
        assert_eq!(near.get("a", me()), Some(cached(2)));
    }

    #[test]
    fn what_was_not_asked_for_longest_goes_first() {
        let near = near();
        for (key, version) in [("a", 1), ("b", 2)] {
            near.take(key, near.make(key, me()), &cached(version), later());
        }
        assert_eq!(near.get("a", me()), Some(cached(1)));
        near.take("c", near.make("c", me()), &cached(3), later());
        assert_eq!(near.get("b", me()), None);
        assert_eq!(near.get("a", me()), Some(cached(1)));
        assert_eq!(near.get("c", me()), Some(cached(3)));
    }
}
