//! Hashing passwords: argon2id on a bounded number of blocking threads.

use std::sync::Arc;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash as Phc};
use daybook_accounts::{Password, PasswordHash};
use thiserror::Error;

use super::Origin;
use super::gate::{Full, Gate};

/// Hashes and checks passwords. Each takes some 20 MiB and some tens of milliseconds, so only so
/// many run at a time, those who wait take turns by where they come from, and no more wait than are
/// done in five seconds.
#[derive(Clone, Debug)]
pub struct Passwords(Arc<Gate>);

/// Why a password was not hashed or checked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PasswordError {
    /// Someone would soon hit upon it.
    #[error("the password is easy to guess")]
    Guessable,
    /// Too many wait, most of them from the same place.
    #[error("too many passwords of this client are waiting to be checked")]
    Crowding {
        /// When to come back.
        wait: Duration,
    },
    /// Too many wait.
    #[error("too many passwords are waiting to be checked")]
    Overloaded {
        /// When to come back.
        wait: Duration,
    },
    /// Hashing failed.
    #[error("a password could not be hashed: {0}")]
    Failed(String),
}

impl From<Full> for PasswordError {
    fn from(full: Full) -> Self {
        let Full { by_own, wait } = full;
        if by_own { Self::Crowding { wait } } else { Self::Overloaded { wait } }
    }
}

/// Of no one's password: what a check runs against where there is no holder.
const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$ZGF5Ym9va2RlY295c2FsdA$8mOkvqOMk0Hqj0bmFFEzJ1gOCmMCD0MBgs3bDJcBZyA";

impl Passwords {
    /// At most `at_once` at a time.
    pub fn new(at_once: usize) -> Self {
        Self(Arc::new(Gate::new(at_once)))
    }

    /// The argon2id hash of a password that someone chooses, with a salt of its own. `about` is what
    /// others may know of them, such as their address.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub async fn hash(
        &self,
        password: Password,
        about: Vec<String>,
        from: Origin,
    ) -> Result<PasswordHash, PasswordError> {
        self.run(from, move || {
            let about: Vec<&str> = about.iter().map(String::as_str).collect();
            if password.is_guessable(&about) {
                return Err(PasswordError::Guessable);
            }
            let hash = Argon2::default()
                .hash_password(password.for_hashing().as_bytes())
                .map_err(|error| PasswordError::Failed(error.to_string()))?;
            Ok(PasswordHash::from_phc(&hash.to_string()))
        })
        .await
    }

    /// Whether this is the password of that hash; never, where there is no hash, after as long.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub async fn verify(
        &self,
        password: Password,
        hash: Option<PasswordHash>,
        from: Origin,
    ) -> Result<bool, PasswordError> {
        self.run(from, move || {
            let known = hash.is_some();
            let hash = hash.unwrap_or_else(|| PasswordHash::from_phc(DECOY));
            let parsed = Phc::new(hash.expose())
                .map_err(|error| PasswordError::Failed(error.to_string()))?;
            let is_right = |candidate: &str| {
                Argon2::default().verify_password(candidate.as_bytes(), &parsed).is_ok()
            };
            let right = password.candidates().any(is_right);
            Ok(known && right)
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        from: Origin,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let turn = self.0.enter(from.block()).await?;
        // The turn goes along: a caller that gives up does not make room before the thread does.
        let work = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        });
        work.await.unwrap_or_else(|error| Err(PasswordError::Failed(error.to_string())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Origin = Origin::UNKNOWN;

    async fn hashed(text: &str) -> Result<PasswordHash, PasswordError> {
        let password = Password::new(text).unwrap();
        Passwords::new(1).hash(password, vec!["ada@example.com".to_owned()], HERE).await
    }

    #[tokio::test]
    async fn knows_the_right_password_only() {
        let hash = hashed("correct horse").await.unwrap();
        assert!(hash.expose().starts_with("$argon2id$"));
        let passwords = Passwords::new(2);
        let is_right = async |text: &str, hash: Option<&PasswordHash>| {
            let attempt = Password::attempt(text).unwrap();
            passwords.verify(attempt, hash.cloned(), HERE).await.unwrap()
        };
        assert!(is_right("correct horse", Some(&hash)).await);
        assert!(is_right("correct\u{3000}horse", Some(&hash)).await);
        assert!(!is_right("battery staple", Some(&hash)).await);
        assert!(!is_right("correct horse", None).await);
    }

    #[tokio::test]
    async fn a_password_from_before_there_was_a_form_is_known() {
        let as_given = "cafe\u{301} creme";
        let hash = Argon2::default().hash_password(as_given.as_bytes()).unwrap().to_string();
        let attempt = Password::attempt(as_given).unwrap();
        let hash = Some(PasswordHash::from_phc(&hash));
        assert!(Passwords::new(1).verify(attempt, hash, HERE).await.unwrap());
    }

    #[tokio::test]
    async fn the_same_password_has_two_hashes() {
        let (one, other) = (hashed("correct horse").await, hashed("correct horse").await);
        assert!(one.unwrap() != other.unwrap());
    }

    #[tokio::test]
    async fn what_is_easy_to_guess_is_not_taken() {
        for text in ["password", "ada@example.com", "aaaaaaaa"] {
            assert_eq!(hashed(text).await.err(), Some(PasswordError::Guessable), "{text}");
        }
    }
}
