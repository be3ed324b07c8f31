//! Account holders: register and log in.

use daybook_accounts::{Email, FullName, Holder, Password};
use daybook_events::{EntryId, HolderId};
use thiserror::Error;
use uuid::Uuid;

use super::Commands;
use crate::{
    Change, Command, CommandError, Decision, Key, Outcome, PasswordError, Receipt, Rejection,
    Request, States,
};

/// Someone who wants to register.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Where to reach them.
    pub email: Email,
    /// What they will log in with.
    pub password: Password,
    /// What they are called.
    pub full_name: Option<FullName>,
}

/// Why someone could not log in.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LoginError {
    /// There is no such holder, or the password is another one. Which of the two is not told.
    #[error("the email address or the password is wrong")]
    BadCredentials,
    /// Too many wait for their password to be checked.
    #[error("too many are logging in")]
    Overloaded,
    /// Holders can't be looked up.
    #[error("holders can't be looked up: {0}")]
    Unavailable(String),
}

impl Commands {
    /// Registers a holder. The receipt names the holder.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn register(
        &self,
        registration: Registration,
        request: Request,
    ) -> Result<Outcome, CommandError> {
        let Registration { email, password, full_name } = registration;
        let password_hash = self.passwords.hash(password).await.map_err(|error| match error {
            PasswordError::Overloaded => CommandError::Overloaded,
            PasswordError::Failed(reason) => CommandError::Unavailable(reason),
        })?;
        let holder = Holder {
            id: HolderId::from_uuid(self.ids.next()),
            email,
            full_name,
            password_hash,
            created_at: self.clock.now(),
        };
        self.appender.execute(Register(holder), request).await
    }

    /// Says who logs in with this email address and password.
    ///
    /// # Errors
    /// [`LoginError`].
    pub async fn log_in(&self, email: &Email, password: Password) -> Result<HolderId, LoginError> {
        let holder = self
            .holders
            .find_by_email(email)
            .await
            .map_err(|error| LoginError::Unavailable(error.to_string()))?;
        let (id, hash) = match holder {
            Some(holder) => (Some(holder.id), Some(holder.password_hash)),
            None => (None, None),
        };
        // Without a holder the check is made all the same, so that its time tells nothing.
        let right = self.passwords.verify(password, hash).await.map_err(|error| match error {
            PasswordError::Overloaded => LoginError::Overloaded,
            PasswordError::Failed(reason) => LoginError::Unavailable(reason),
        })?;
        id.filter(|_| right).ok_or(LoginError::BadCredentials)
    }
}

/// The namespace of the scopes of keys that addresses have.
const ADDRESSES: Uuid = Uuid::from_u128(0x5d0c_1f3e_6a0b_4c58_9e51_2f1d_9a7c_3b64);

struct Register(Holder);

impl Command for Register {
    fn actor(&self) -> Option<HolderId> {
        None
    }

    /// Callers without a token are told apart by the address they register: two strangers who hit
    /// upon the same key make two requests.
    fn key_scope(&self) -> Option<HolderId> {
        let address = self.0.email.key().as_bytes();
        Some(HolderId::from_uuid(Uuid::new_v5(&ADDRESSES, address)))
    }

    fn needs(&self) -> Vec<Key> {
        vec![Key::Email(self.0.email.key().into())]
    }

    fn decide(&self, states: &States, _entry: EntryId) -> Result<Decision, Rejection> {
        if states.email_taken(self.0.email.key()) {
            return Err(Rejection::EmailTaken);
        }
        let receipt = Receipt::Registered(self.0.id);
        Ok(Decision { changes: vec![Change::Holder(Box::new(self.0.clone()))], receipt })
    }
}
