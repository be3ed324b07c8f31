//! Sessions of holders: what a token stands for, from log-in to log-out.

use daybook_events::{HolderId, Timestamp, Version};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::HolderEvent;

/// Names a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(Uuid);

impl SessionId {
    /// The session with this id.
    pub const fn from_uuid(id: Uuid) -> Self {
        Self(id)
    }

    /// The id.
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

/// What began when someone registered or logged in, and lasts until they log out, change their password
/// in another session, or it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Names it.
    pub id: SessionId,
    /// Whose it is.
    pub holder_id: HolderId,
    /// Of which of the holder's passwords it is: the version of their stream when that was set.
    pub credentials: Version,
    /// When it expires.
    pub until: Timestamp,
}

/// Which of a holder's sessions go on, but for those that were ended one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HolderStanding {
    /// The version of the holder's stream.
    pub version: Version,
    /// The version of the stream when the present password was set.
    pub credentials: Version,
    /// The session in which it was set, where it is not the first.
    pub kept_session: Option<SessionId>,
}

impl HolderStanding {
    /// Of someone who has just registered.
    pub const fn first() -> Self {
        let version = Version::new(1);
        Self { version, credentials: version, kept_session: None }
    }

    /// Whether a session is of the present password.
    pub fn has(&self, session: &Session) -> bool {
        session.credentials == self.credentials || self.kept_session == Some(session.id)
    }

    /// After an event of a holder who has registered.
    #[must_use]
    pub const fn after(self, event: &HolderEvent) -> Self {
        let version = self.version.next();
        match event {
            HolderEvent::HolderRegistered(_) | HolderEvent::SessionEnded(_) => {
                Self { version, ..self }
            }
            HolderEvent::PasswordChanged(changed) => {
                Self { version, credentials: version, kept_session: Some(changed.kept_session) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PasswordChanged, SessionEnded};

    const HOLDER: HolderId = HolderId::from_uuid(Uuid::from_u128(1));

    fn changed(kept_session: SessionId) -> HolderEvent {
        HolderEvent::PasswordChanged(PasswordChanged { holder_id: HOLDER, kept_session })
    }

    fn session(id: u128, credentials: u64) -> Session {
        Session {
            id: SessionId::from_uuid(Uuid::from_u128(id)),
            holder_id: HOLDER,
            credentials: Version::new(credentials),
            until: Timestamp::from_micros(0),
        }
    }

    #[test]
    fn a_new_password_ends_every_session_but_the_one_that_set_it() {
        let (here, elsewhere) = (session(1, 1), session(2, 1));
        let session_id = SessionId::from_uuid(Uuid::from_u128(9));
        let ended = HolderEvent::SessionEnded(SessionEnded { holder_id: HOLDER, session_id });
        let before = HolderStanding::first().after(&ended);
        assert!(before.has(&here) && before.has(&elsewhere));
        let after = before.after(&changed(here.id));
        assert!(after.has(&here) && !after.has(&elsewhere));
        // Whoever logs in then has a session of the new password.
        let newer = session(3, after.credentials.get());
        assert!(after.has(&newer));
        let last = after.after(&changed(newer.id));
        assert!(last.has(&newer) && !last.has(&here));
    }
}
