//! How far a log had come, as those who share its identity saw it.

use std::hash::Hasher as _;
use std::time::Duration;

use async_trait::async_trait;
use daybook_application::PresentIdentity;
use daybook_events::{EventId, Head, Identity, Position, Witness, WitnessError};
use siphasher::sip128::{Hasher128 as _, SipHasher24};
use uuid::Uuid;

use crate::cache::is_of_another_type;
use crate::client::Redis;
use crate::trouble::RedisTrouble;

/// How long it is remembered. What is cached is gone long before.
const KEPT: Duration = Duration::from_hours(24 * 30);

/// What the keys of witnesses begin with.
pub(crate) const KEYS: &str = "daybook:witness:";

/// The witness of this installation: `position:event:proof` under its id. Who does not know the secret
/// of the identity can remove it, and say nothing by it.
#[derive(Clone, Debug)]
pub struct RedisWitness {
    redis: Redis,
    identity: PresentIdentity,
}

impl RedisWitness {
    /// The witness of this installation on a connection.
    pub fn new(redis: Redis, identity: PresentIdentity) -> Self {
        Self { redis, identity }
    }

    fn key(&self, identity: Identity) -> String {
        self.redis.named(&format!("{KEYS}{}", identity.id)).into_owned()
    }
}

#[async_trait]
impl Witness for RedisWitness {
    async fn seen(&self) -> Result<Option<Head>, WitnessError> {
        let identity = self.identity.get();
        let key = &self.key(identity);
        let limit = self.redis.command_timeout();
        let asked = self.redis.call(limit, false, |mut link| async move {
            let mut get = redis::cmd("GETRANGE");
            match get.arg(key).arg(0).arg(255).query_async::<Vec<u8>>(&mut link).await {
                // Somebody else's; it is written over by what is told next.
                Err(error) if is_of_another_type(&error) => Ok(Vec::new()),
                read => read,
            }
        });
        Ok(read(identity, &asked.await.map_err(unavailable)?))
    }

    async fn tell(&self, head: Head) -> Result<(), WitnessError> {
        let identity = self.identity.get();
        let (key, said) = (&self.key(identity), &written(identity, head));
        let limit = self.redis.command_timeout();
        let told = self.redis.call(limit, false, |mut link| async move {
            let mut set = redis::cmd("SET");
            set.arg(key).arg(said).arg("EX").arg(KEPT.as_secs()).query_async::<()>(&mut link).await
        });
        told.await.map_err(unavailable)
    }
}

fn written(identity: Identity, head: Head) -> String {
    let said = format!("{}:{}", head.position, head.event);
    let proof = proof(identity, &said);
    format!("{said}:{proof:032x}")
}

/// What was written with this identity, where it was.
fn read(identity: Identity, text: &[u8]) -> Option<Head> {
    let text = std::str::from_utf8(text).ok()?;
    let (said, proven) = text.rsplit_once(':')?;
    if proven != format!("{:032x}", proof(identity, said)) {
        return None;
    }
    let (position, event) = said.split_once(':')?;
    let event = EventId::from_uuid(Uuid::try_parse(event).ok()?);
    Some(Head { position: Position::new(position.parse().ok()?), event })
}

fn proof(identity: Identity, said: &str) -> u128 {
    let mut hasher = SipHasher24::new_with_key(&identity.secret);
    for part in [KEYS, &identity.id.to_string(), said] {
        hasher.write(part.as_bytes());
        hasher.write(b"\0");
    }
    hasher.finish128().as_u128()
}

#[expect(clippy::needless_pass_by_value, reason = "the form in which errors are mapped")]
fn unavailable(trouble: RedisTrouble) -> WitnessError {
    WitnessError(trouble.to_string())
}

#[cfg(test)]
mod tests {
    use daybook_events::InstallationId;

    use super::*;

    fn identity(number: u128, secret: u8) -> Identity {
        Identity { id: InstallationId::from_uuid(Uuid::from_u128(number)), secret: [secret; 16] }
    }

    #[test]
    fn only_who_knows_the_secret_is_believed() {
        let event = EventId::from_uuid(Uuid::from_u128(5));
        let head = Head { position: Position::new(7), event };
        let told = written(identity(1, 1), head);
        assert_eq!(read(identity(1, 1), told.as_bytes()), Some(head));
        assert_eq!(read(identity(1, 2), told.as_bytes()), None);
        assert_eq!(read(identity(2, 1), told.as_bytes()), None);
        assert_eq!(read(identity(1, 1), told.replace("7:", "8:").as_bytes()), None);
        for other in ["", ":", "7", "7:x:y", "::::", "é"] {
            assert_eq!(read(identity(1, 1), other.as_bytes()), None, "{other}");
        }
    }
}
