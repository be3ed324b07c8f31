//! Account holders: register, log in and out, and change the password.

use std::time::Duration;

use daybook_accounts::{
    Email, FullName, Holder, HolderEvent, HolderStanding, Password, PasswordChanged, PasswordHash,
    Session, SessionEnded, SessionId,
};
use daybook_events::{EntryId, HolderId, Version};
use thiserror::Error;
use uuid::Uuid;

use super::Commands;
use crate::sign_in::Audited;
use crate::{
    AuditOutcome, AuditedAct, Change, Command, CommandError, Decision, Key, Origin, Outcome,
    PasswordError, Receipt, Rejection, Request, States,
};

/// How long a session lasts.
const SESSION: Duration = Duration::from_hours(24);

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

/// How a registration ended.
#[derive(Clone, Debug)]
pub struct Registered {
    /// What became of the command.
    pub outcome: Outcome,
    /// A session of the new holder; none where it was refused.
    pub session: Option<Session>,
}

/// Why someone could not log in, register or change their password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LoginError {
    /// There is no such holder, or the password is another one. Which of the two is not told.
    #[error("the email address or the password is wrong")]
    BadCredentials,
    /// The new password would soon be hit upon.
    #[error("the password is easy to guess")]
    Guessable,
    /// This client was wrong too often, or asks too much.
    #[error("too many attempts")]
    TooMany {
        /// When they may try again.
        wait: Duration,
    },
    /// Too many wait for their password to be checked.
    #[error("too many are logging in")]
    Overloaded {
        /// When to come back.
        wait: Duration,
    },
    /// Holders can't be looked up.
    #[error("holders can't be looked up: {0}")]
    Unavailable(String),
    /// The command had no outcome.
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl Commands {
    /// Registers a holder. The receipt names the holder.
    ///
    /// Whoever repeats a registration under its key shows that they know the password, as in logging
    /// in, and tries no more often than there: with another it is as if the key were new.
    ///
    /// # Errors
    /// [`LoginError`].
    pub async fn register(
        &self,
        registration: Registration,
        request: Request,
        from: Origin,
    ) -> Result<Registered, LoginError> {
        let audited = self.audited(AuditedAct::Registration, from);
        let Registration { email, password, full_name } = registration;
        let attempt = self.attempt(&audited, &email)?;
        let about = about(&email, full_name.as_ref());
        let hashed = self.passwords.hash(password.clone(), about, from).await;
        let password_hash = hashed.map_err(|error| not_checked(&audited, error))?;
        let holder = Holder {
            id: HolderId::from_uuid(self.ids.next()),
            email: email.clone(),
            full_name,
            password_hash,
            standing: HolderStanding::first(),
            created_at: self.clock.now(),
        };
        let mut outcome = self.appender.execute(Register(holder), request).await?;
        if outcome.replayed && outcome.result.is_ok() {
            let session = match self.check(&audited, &email, password).await {
                Ok((id, standing)) => {
                    attempt.right();
                    audited.note(AuditOutcome::Accepted, Some(id));
                    Some(self.session(id, standing.credentials))
                }
                Err(LoginError::BadCredentials) => {
                    attempt.wrong();
                    let result = Err(Rejection::EmailTaken);
                    outcome = Outcome { result, replayed: false, ..outcome };
                    None
                }
                Err(other) => return Err(other),
            };
            return Ok(Registered { outcome, session });
        }
        let session = if let Ok(Receipt::Registered(id)) = outcome.result {
            attempt.right();
            audited.note(AuditOutcome::Accepted, Some(id));
            Some(self.session(id, HolderStanding::first().credentials))
        } else {
            attempt.wrong();
            audited.note(AuditOutcome::Refused, None);
            None
        };
        Ok(Registered { outcome, session })
    }

    /// Begins a session for whoever logs in with this email address and password.
    ///
    /// # Errors
    /// [`LoginError`].
    pub async fn log_in(
        &self,
        email: &Email,
        password: Password,
        from: Origin,
    ) -> Result<Session, LoginError> {
        let audited = self.audited(AuditedAct::LogIn, from);
        let attempt = self.attempt(&audited, email)?;
        match self.check(&audited, email, password).await {
            Ok((id, standing)) => {
                attempt.right();
                audited.note(AuditOutcome::Accepted, Some(id));
                Ok(self.session(id, standing.credentials))
            }
            Err(error) => {
                if error == LoginError::BadCredentials {
                    attempt.wrong();
                }
                Err(error)
            }
        }
    }

    /// Ends a session.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn log_out(
        &self,
        session: Session,
        request: Request,
        from: Origin,
    ) -> Result<Outcome, CommandError> {
        let outcome = self.appender.execute(LogOut(session), request).await?;
        if outcome.result.is_ok() {
            let Session { id: session_id, holder_id, .. } = session;
            let ended = SessionEnded { holder_id, session_id };
            self.sessions.end(&HolderEvent::SessionEnded(ended));
            self.audited(AuditedAct::LogOut, from).note(AuditOutcome::Accepted, Some(holder_id));
        }
        Ok(outcome)
    }

    /// Gives a holder another password, and ends every session of theirs but this one.
    ///
    /// # Errors
    /// [`LoginError`]; that the present password is another one is bad credentials.
    pub async fn change_password(
        &self,
        session: Session,
        present: Password,
        new: Password,
        request: Request,
        from: Origin,
    ) -> Result<Outcome, LoginError> {
        let audited = self.audited(AuditedAct::PasswordChange, from);
        let found = self.holders.find(session.holder_id).await;
        let holder = found.map_err(|error| LoginError::Unavailable(error.to_string()))?;
        let holder = holder.ok_or(LoginError::BadCredentials)?;
        let attempt = self.attempt(&audited, &holder.email)?;
        if let Err(error) = self.check(&audited, &holder.email, present).await {
            if error == LoginError::BadCredentials {
                attempt.wrong();
            }
            return Err(error);
        }
        attempt.right();
        let about = about(&holder.email, holder.full_name.as_ref());
        let hashed = self.passwords.hash(new, about, from).await;
        let hash = hashed.map_err(|error| not_checked(&audited, error))?;
        let checked = holder.standing.credentials;
        let change = ChangePassword { session, checked, hash };
        let outcome = self.appender.execute(change, request).await?;
        if outcome.result.is_ok() {
            let Session { id: kept_session, holder_id, .. } = session;
            let changed = PasswordChanged { holder_id, kept_session };
            self.sessions.end(&HolderEvent::PasswordChanged(changed));
            audited.note(AuditOutcome::Accepted, Some(holder_id));
        } else {
            audited.note(AuditOutcome::Refused, Some(session.holder_id));
        }
        Ok(outcome)
    }

    /// Whose password this is, and how they stand. A wrong one is noted, and is counted by the caller.
    async fn check(
        &self,
        audited: &Audited,
        email: &Email,
        password: Password,
    ) -> Result<(HolderId, HolderStanding), LoginError> {
        let found = self.holders.find_by_email(email).await;
        let holder = found.map_err(|error| LoginError::Unavailable(error.to_string()))?;
        let (known, hash) = match holder {
            Some(holder) => (Some((holder.id, holder.standing)), Some(holder.password_hash)),
            None => (None, None),
        };
        // Without a holder the check is made all the same, so that its time tells nothing.
        let checked = self.passwords.verify(password, hash, audited.from).await;
        let right = checked.map_err(|error| not_checked(audited, error))?;
        known.filter(|_| right).ok_or_else(|| {
            audited.note(AuditOutcome::Refused, known.map(|(id, _)| id));
            LoginError::BadCredentials
        })
    }

    fn attempt(
        &self,
        audited: &Audited,
        email: &Email,
    ) -> Result<crate::sign_in::Attempt, LoginError> {
        self.guesses.begin(audited.from, email.key()).map_err(|wait| {
            audited.note(AuditOutcome::Limited, None);
            LoginError::TooMany { wait: wait.time }
        })
    }

    fn audited(&self, act: AuditedAct, from: Origin) -> Audited {
        Audited { log: self.audit.clone(), act, from }
    }

    fn session(&self, holder_id: HolderId, credentials: Version) -> Session {
        let id = SessionId::from_uuid(self.ids.next());
        Session { id, holder_id, credentials, until: self.clock.now().plus(SESSION) }
    }
}

/// What others may know of a holder.
fn about(email: &Email, full_name: Option<&FullName>) -> Vec<String> {
    let parts = std::iter::once(email.as_str()).chain(email.as_str().split('@'));
    parts.chain(full_name.map(FullName::as_str)).map(str::to_owned).collect()
}

/// Why a password was not checked; where there were too many, it is noted.
fn not_checked(audited: &Audited, error: PasswordError) -> LoginError {
    match error {
        PasswordError::Guessable => LoginError::Guessable,
        PasswordError::Crowding { wait } => {
            audited.note(AuditOutcome::Limited, None);
            LoginError::TooMany { wait }
        }
        PasswordError::Overloaded { wait } => {
            audited.note(AuditOutcome::Limited, None);
            LoginError::Overloaded { wait }
        }
        PasswordError::Failed(reason) => LoginError::Unavailable(reason),
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

struct LogOut(Session);

impl Command for LogOut {
    fn actor(&self) -> Option<HolderId> {
        Some(self.0.holder_id)
    }

    fn needs(&self) -> Vec<Key> {
        vec![Key::Holder(self.0.holder_id)]
    }

    fn decide(&self, states: &States, _entry: EntryId) -> Result<Decision, Rejection> {
        let standing = states.holder(self.0.holder_id).ok_or(Rejection::SessionOver)?;
        if !standing.has(&self.0) {
            return Err(Rejection::SessionOver);
        }
        Ok(Decision { changes: vec![Change::EndSession(self.0)], receipt: Receipt::Done })
    }
}

struct ChangePassword {
    session: Session,
    /// Of which password it is known that the holder knows it.
    checked: Version,
    hash: PasswordHash,
}

impl Command for ChangePassword {
    fn actor(&self) -> Option<HolderId> {
        Some(self.session.holder_id)
    }

    fn needs(&self) -> Vec<Key> {
        vec![Key::Holder(self.session.holder_id)]
    }

    fn decide(&self, states: &States, _entry: EntryId) -> Result<Decision, Rejection> {
        let standing = states.holder(self.session.holder_id).ok_or(Rejection::SessionOver)?;
        if standing.credentials != self.checked || !standing.has(&self.session) {
            return Err(Rejection::SessionOver);
        }
        let change = Change::Password { session: self.session, hash: self.hash.clone() };
        Ok(Decision { changes: vec![change], receipt: Receipt::Done })
    }
}
