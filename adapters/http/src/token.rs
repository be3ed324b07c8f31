//! Bearer tokens: JWTs signed with HMAC-SHA-256 that name their holder for 24 hours.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use daybook_events::{HolderId, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use lru::LruCache;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// How long a token is valid.
const LIFETIME: Duration = Duration::from_hours(24);
const ISSUER: &str = "daybook";

/// The secret that tokens are signed with: 32 bytes at least. Never shown.
#[derive(Clone)]
pub struct SigningKey(Box<[u8]>);

impl SigningKey {
    /// The fewest bytes a key may have.
    pub const MIN_BYTES: usize = 32;

    /// Takes a secret; `None` where it is too short.
    pub fn new(secret: &[u8]) -> Option<Self> {
        (secret.len() >= Self::MIN_BYTES).then(|| Self(secret.into()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// How many tokens are remembered as checked.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4_095);

/// Tokens with whom they name and when they expire.
type Checked = LruCache<Box<str>, (HolderId, i64)>;

/// Makes and reads tokens.
#[derive(Clone)]
pub struct Tokens {
    sign: EncodingKey,
    check: DecodingKey,
    validation: Validation,
    secret: SigningKey,
    /// Whom tokens that were checked name, and when they expire: checking one takes longer than
    /// all else that a cached read does.
    checked: Arc<Mutex<Checked>>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(…)")
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: HolderId,
    iss: String,
    iat: i64,
    exp: i64,
}

impl Tokens {
    /// Signs and checks with this key.
    pub fn new(secret: SigningKey) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        // Expiry is checked here, by the clock of the port.
        validation.validate_exp = false;
        validation.set_required_spec_claims(&["sub", "exp", "iss"]);
        validation.set_issuer(&[ISSUER]);
        Self {
            sign: EncodingKey::from_secret(&secret.0),
            check: DecodingKey::from_secret(&secret.0),
            validation,
            secret,
            checked: Arc::new(Mutex::new(LruCache::new(REMEMBERED))),
        }
    }

    /// A token that names `holder` from now on; `None` where it can't be signed.
    pub fn issue(&self, holder: HolderId, now: Timestamp) -> Option<String> {
        let claims = Claims {
            sub: holder,
            iss: ISSUER.to_owned(),
            iat: now.seconds(),
            exp: now.plus(LIFETIME).seconds(),
        };
        encode(&Header::new(Algorithm::HS256), &claims, &self.sign)
            .inspect_err(|error| tracing::error!(%error, "a token could not be signed"))
            .ok()
    }

    /// Whom a token names, and until when; `None` where it is not one of ours or has expired.
    pub fn holder(&self, token: &str, now: Timestamp) -> Option<(HolderId, Timestamp)> {
        let remembered = self.remembered().get(token).copied();
        let (holder, expiry) = match remembered {
            Some(known) => known,
            None => self.check(token)?,
        };
        let until = Timestamp::from_micros(expiry.saturating_mul(1_000_000));
        (expiry > now.seconds()).then_some((holder, until))
    }

    fn check(&self, token: &str) -> Option<(HolderId, i64)> {
        let claims = decode::<Claims>(token, &self.check, &self.validation).ok()?.claims;
        let known = (claims.sub, claims.exp);
        self.remembered().put(token.into(), known);
        Some(known)
    }

    fn remembered(&self) -> MutexGuard<'_, Checked> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A digest of something secret that tells nothing to those who don't have the key.
    pub(crate) fn keyed_digest(&self, parts: &[&[u8]]) -> Option<[u8; 32]> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret.0).ok()?;
        for part in parts {
            mac.update(part);
            mac.update(b"\0");
        }
        Some(mac.finalize().into_bytes().into())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn tokens(secret: u8) -> Tokens {
        Tokens::new(SigningKey::new(&[secret; 32]).unwrap())
    }

    #[test]
    fn a_token_names_its_holder_for_a_day() {
        let (ada, now) = (
            HolderId::from_uuid(Uuid::from_u128(1)),
            Timestamp::from_micros(1_700_000_000_000_000),
        );
        let token = tokens(1).issue(ada, now).unwrap();
        let after = |hours: u64| now.plus(Duration::from_secs(hours * 3_600));
        let tokens = tokens(1);
        for _ in 0..2 {
            assert_eq!(tokens.holder(&token, after(23)), Some((ada, after(24))));
            assert_eq!(tokens.holder(&token, after(24)), None);
        }
    }

    #[test]
    fn other_tokens_name_nobody() {
        let (ada, now) = (HolderId::from_uuid(Uuid::from_u128(1)), Timestamp::from_micros(0));
        let token = tokens(1).issue(ada, now).unwrap();
        assert_eq!(tokens(2).holder(&token, now), None);
        let (head, _) = token.rsplit_once('.').unwrap();
        for forged in ["", "x", "a.b.c", head, &format!("{head}."), &format!("{token}x")] {
            assert_eq!(tokens(1).holder(forged, now), None, "{forged}");
        }
        // {"alg":"none","typ":"JWT"}
        let payload = token.split('.').nth(1).unwrap();
        let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.");
        assert_eq!(tokens(1).holder(&none, now), None);
    }

    #[test]
    fn a_short_key_is_no_key() {
        assert!(SigningKey::new(&[0; 31]).is_none());
    }
}
