//! Hashing passwords: argon2id on a bounded number of blocking threads.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash as Phc};
use daybook_accounts::{Password, PasswordHash};
use thiserror::Error;
use tokio::sync::Semaphore;

/// Hashes and checks passwords. Each takes some 20 MiB and some tens of milliseconds, so only so
/// many run at a time, and only so many wait.
#[derive(Clone, Debug)]
pub struct Passwords {
    running: Arc<Semaphore>,
    taken: Arc<Semaphore>,
}

/// Why a password was not hashed or checked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PasswordError {
    /// Too many wait.
    #[error("too many passwords are waiting to be checked")]
    Overloaded,
    /// Hashing failed.
    #[error("a password could not be hashed: {0}")]
    Failed(String),
}

/// Of no one's password: what a check runs against where there is no holder.
const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$ZGF5Ym9va2RlY295c2FsdA$8mOkvqOMk0Hqj0bmFFEzJ1gOCmMCD0MBgs3bDJcBZyA";

impl Passwords {
    /// At most `running` at a time, and `waiting` more that wait.
    pub fn new(running: usize, waiting: usize) -> Self {
        let (at_once, taken) =
            (Semaphore::new(running), Semaphore::new(running.saturating_add(waiting)));
        Self { running: Arc::new(at_once), taken: Arc::new(taken) }
    }

    /// The argon2id hash of a password, with a salt of its own.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub async fn hash(&self, password: Password) -> Result<PasswordHash, PasswordError> {
        self.run(move || {
            let hash = Argon2::default()
                .hash_password(password.expose().as_bytes())
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
    ) -> Result<bool, PasswordError> {
        self.run(move || {
            let known = hash.is_some();
            let hash = hash.unwrap_or_else(|| PasswordHash::from_phc(DECOY));
            let parsed = Phc::new(hash.expose())
                .map_err(|error| PasswordError::Failed(error.to_string()))?;
            let right =
                Argon2::default().verify_password(password.expose().as_bytes(), &parsed).is_ok();
            Ok(known && right)
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let _taken = self.taken.try_acquire().map_err(|_| PasswordError::Overloaded)?;
        let running = Arc::clone(&self.running).acquire_owned().await;
        let running = running.map_err(|error| PasswordError::Failed(error.to_string()))?;
        // The permit goes along: a caller that gives up does not make room before the thread does.
        let work = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(running);
            result
        });
        work.await.unwrap_or_else(|error| Err(PasswordError::Failed(error.to_string())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn knows_the_right_password_only() {
        let passwords = Passwords::new(2, 2);
        let hash = passwords.hash(Password::new("correct horse").unwrap()).await.unwrap();
        assert!(hash.expose().starts_with("$argon2id$"));
        let attempt = |text: &str| Password::attempt(text).unwrap();
        assert!(passwords.verify(attempt("correct horse"), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify(attempt("battery staple"), Some(hash)).await.unwrap());
        assert!(!passwords.verify(attempt("correct horse"), None).await.unwrap());
    }

    #[tokio::test]
    async fn the_same_password_has_two_hashes() {
        let passwords = Passwords::new(1, 1);
        let password = Password::new("correct horse").unwrap();
        let (a, b) = (
            passwords.hash(password.clone()).await.unwrap(),
            passwords.hash(password).await.unwrap(),
        );
        assert!(a != b);
    }

    #[tokio::test]
    async fn refuses_at_once_what_could_only_wait_too_long() {
        let passwords = Passwords::new(1, 0);
        let password = Password::new("correct horse").unwrap();
        let (first, second) =
            tokio::join!(passwords.hash(password.clone()), passwords.hash(password));
        assert!(first.is_ok());
        assert_eq!(second.map(|_| ()), Err(PasswordError::Overloaded));
    }
}
