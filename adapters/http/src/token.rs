//! Bearer tokens: JWTs signed with HMAC-SHA-256 that stand for a session.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use daybook_accounts::{Session, SessionId};
use daybook_events::{HolderId, Timestamp, Version};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use lru::LruCache;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A token is valid for no longer, whatever it says.
const LONGEST: Duration = Duration::from_hours(24);
/// How far the clocks of two instances may differ.
const LEEWAY: Duration = Duration::from_secs(30);
const ISSUER: &str = "daybook";
const TYPE: &str = "JWT";

/// The secret that tokens are signed with: 32 bytes at least. Never shown.
#[derive(Clone)]
pub struct SigningKey(Box<[u8]>);

/// Why a secret can't be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeakKey {
    /// It has too few bytes.
    Short,
    /// Its bytes are not random: they repeat.
    Repetitive,
}

impl SigningKey {
    /// The fewest bytes a key may have.
    pub const MIN_BYTES: usize = 32;
    /// The fewest different bytes among them: of 32 random hexadecimal digits fewer differ once in 28
    /// million times.
    const MIN_DIFFERENT: usize = 8;

    /// Takes a secret.
    ///
    /// # Errors
    /// [`WeakKey`].
    pub fn new(secret: &[u8]) -> Result<Self, WeakKey> {
        if secret.len() < Self::MIN_BYTES {
            return Err(WeakKey::Short);
        }
        let mut different = secret.to_vec();
        different.sort_unstable();
        different.dedup();
        let repeats =
            |length: usize| secret.iter().zip(secret.iter().skip(length)).all(|(a, b)| a == b);
        if different.len() < Self::MIN_DIFFERENT || (1..=secret.len() / 2).any(repeats) {
            return Err(WeakKey::Repetitive);
        }
        Ok(Self(secret.into()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// How many tokens are remembered as checked.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4_095);

/// Makes and reads tokens.
#[derive(Clone)]
pub struct Tokens {
    sign: EncodingKey,
    check: DecodingKey,
    validation: Validation,
    /// Tokens that were checked: checking one takes longer than all else that a cached read does.
    checked: Arc<Mutex<LruCache<Box<str>, Checked>>>,
}

/// What a token that is ours stands for, from when on.
#[derive(Clone, Copy)]
struct Checked {
    session: Session,
    from: Timestamp,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(…)")
    }
}

/// The claims of RFC 7519, in seconds, and which of the holder's passwords the session is of.
#[derive(Serialize, Deserialize)]
struct Claims {
    sub: HolderId,
    iss: String,
    iat: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    exp: i64,
    jti: Uuid,
    credentials: u64,
}

impl Tokens {
    /// Signs and checks with this key.
    pub fn new(secret: &SigningKey) -> Self {
        crate::hs256::install();
        let mut validation = Validation::new(Algorithm::HS256);
        // Times are checked here, by the clock of the port.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.set_required_spec_claims(&["sub", "exp", "iss"]);
        validation.set_issuer(&[ISSUER]);
        Self {
            sign: EncodingKey::from_secret(&secret.0),
            check: DecodingKey::from_secret(&secret.0),
            validation,
            checked: Arc::new(Mutex::new(LruCache::new(REMEMBERED))),
        }
    }

    /// A token that stands for a session from now on; `None` where it can't be signed.
    pub fn issue(&self, session: &Session, now: Timestamp) -> Option<String> {
        let claims = Claims {
            sub: session.holder_id,
            iss: ISSUER.to_owned(),
            iat: now.seconds(),
            nbf: None,
            exp: session.until.seconds(),
            jti: session.id.uuid(),
            credentials: session.credentials.get(),
        };
        encode(&Header::new(Algorithm::HS256), &claims, &self.sign)
            .inspect_err(|error| tracing::error!(%error, "a token could not be signed"))
            .ok()
    }

    /// The session that a token stands for; `None` where it is not one of ours, has expired by now, or is
    /// from later than the latest time that was seen: a clock may be set back after it was issued.
    pub fn session(&self, token: &str, now: Timestamp, latest: Timestamp) -> Option<Session> {
        let remembered = self.remembered().get(token).copied();
        let checked = match remembered {
            Some(known) => known,
            None => self.check(token)?,
        };
        let is_valid = checked.from <= latest.plus(LEEWAY) && now < checked.session.until;
        is_valid.then_some(checked.session)
    }

    fn check(&self, token: &str) -> Option<Checked> {
        let decoded = decode::<Claims>(token, &self.check, &self.validation).ok()?;
        let (header, claims) = (decoded.header, decoded.claims);
        // Nothing is understood here that a token could call critical (RFC 7515, 4.1.11).
        let is_ours =
            header.crit.is_none() && header.typ.is_some_and(|typ| typ.eq_ignore_ascii_case(TYPE));
        let lasts = claims.exp.checked_sub(claims.iat)?;
        let longest = i64::try_from(LONGEST.as_secs()).ok()?;
        if !is_ours || !(1..=longest).contains(&lasts) {
            return None;
        }
        let at = |seconds: i64| Timestamp::from_micros(seconds.saturating_mul(1_000_000));
        let session = Session {
            id: SessionId::from_uuid(claims.jti),
            holder_id: claims.sub,
            credentials: Version::new(claims.credentials),
            until: at(claims.exp),
        };
        let from = at(claims.iat.max(claims.nbf.unwrap_or(i64::MIN)));
        let checked = Checked { session, from };
        self.remembered().put(token.into(), checked);
        Some(checked)
    }

    fn remembered(&self) -> MutexGuard<'_, LruCache<Box<str>, Checked>> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
