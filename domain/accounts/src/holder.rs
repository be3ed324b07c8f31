//! An account holder: who registers, logs in, and owns things.

use std::fmt;
use std::str::FromStr;

use daybook_events::{
    HolderId, Line, StreamId, Timestamp, check_line, event_payload, is_ignorable,
};
use email_address::{EmailAddress, Options};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{HolderStanding, SessionId};

/// What a holder is called: one line, at most 200 characters.
pub type FullName = Line<200>;

/// Someone who registered. Personal data stands here and in no event: the log is kept for ever.
#[derive(Clone, Debug)]
pub struct Holder {
    /// Names the holder.
    pub id: HolderId,
    /// Where to reach them, and what they log in with.
    pub email: Email,
    /// What they are called.
    pub full_name: Option<FullName>,
    /// What their password is checked against.
    pub password_hash: PasswordHash,
    /// Which sessions of theirs go on.
    pub standing: HolderStanding,
    /// When they registered.
    pub created_at: Timestamp,
}

impl Holder {
    /// The stream of a holder's events.
    pub fn stream(id: HolderId) -> StreamId {
        StreamId::new("holder", id)
    }

    /// The event that says that `id` registered.
    pub const fn register(id: HolderId) -> HolderEvent {
        HolderEvent::HolderRegistered(HolderRegistered { holder_id: id })
    }
}

/// The events of a holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HolderEvent {
    /// Someone registered.
    HolderRegistered(HolderRegistered),
    /// They have another password.
    PasswordChanged(PasswordChanged),
    /// They logged out.
    SessionEnded(SessionEnded),
}

/// Someone registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderRegistered {
    /// Who.
    pub holder_id: HolderId,
}

/// A holder has another password. Every session but one is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordChanged {
    /// Who.
    pub holder_id: HolderId,
    /// The session that asked for it, which goes on.
    pub kept_session: SessionId,
}

/// A holder logged out: one session is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEnded {
    /// Who.
    pub holder_id: HolderId,
    /// Which.
    pub session_id: SessionId,
}

event_payload!(HolderEvent { HolderRegistered, PasswordChanged, SessionEnded });

/// An email address. Two that differ only in case are the same holder's.
#[derive(Clone)]
pub struct Email {
    given: Box<str>,
    key: Box<str>,
}

/// The text is not an email address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not an email address, such as ada@example.com")]
pub struct InvalidEmail;

impl Email {
    /// The most bytes an address may have: RFC 5321 has room for no longer one in its paths.
    const MAX_BYTES: usize = 254;

    /// Takes an address that is new here: one that mail can be sent to. Read with [`FromStr`], an
    /// address may also be one that was taken before it was looked at so closely.
    ///
    /// # Errors
    /// [`InvalidEmail`].
    pub fn new(text: &str) -> Result<Self, InvalidEmail> {
        let odd = |c: char| is_ignorable(c) || (!c.is_ascii() && c.is_whitespace());
        // A quoted name may hold anything, and what sends mail makes something else of it.
        let is_quoted = text.starts_with('"');
        if is_quoted
            || text.len() > Self::MAX_BYTES
            || check_line(text).is_err()
            || text.chars().any(odd)
        {
            return Err(InvalidEmail);
        }
        text.parse()
    }

    /// The address as it was given.
    pub fn as_str(&self) -> &str {
        &self.given
    }

    /// The form in which addresses are compared.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl FromStr for Email {
    type Err = InvalidEmail;

    fn from_str(text: &str) -> Result<Self, InvalidEmail> {
        let options =
            Options::default().with_required_tld().without_display_text().without_domain_literal();
        EmailAddress::parse_with_options(text, options).map_err(|_| InvalidEmail)?;
        Ok(Self { given: text.into(), key: text.to_lowercase().into() })
    }
}

impl PartialEq for Email {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Email {}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(…)")
    }
}

/// The hash of a password, in PHC string form. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Box<str>);

impl PasswordHash {
    /// The hash with this PHC string.
    pub fn from_phc(text: &str) -> Self {
        Self(text.into())
    }

    /// The PHC string, for verifying and storing.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_addresses_and_compares_them_without_case() {
        let email: Email = "Ada@Example.com".parse().unwrap();
        assert_eq!(email.as_str(), "Ada@Example.com");
        assert_eq!(email, "ada@example.COM".parse().unwrap());
        for text in [
            "",
            "ada",
            "ada@",
            "@example.com",
            "a b@example.com",
            "Ada <ada@example.com>",
            "ada@localhost",
        ] {
            assert_eq!(text.parse::<Email>().map(|_| ()), Err(InvalidEmail), "{text}");
        }
    }

    #[test]
    fn a_new_address_is_one_that_mail_can_be_sent_to() {
        for text in ["ada@example.com", "ada@bücher.example"] {
            assert!(Email::new(text).is_ok(), "{text}");
        }
        let long = format!("ada@{}.com", ["x".repeat(60).as_str(); 4].join("."));
        assert!(Email::new(&format!("a{long}")).is_ok());
        for text in [
            &format!("{}{long}", "a".repeat(8)),
            "a\u{200b}da@example.com",
            "ada@exam\u{ad}ple.com",
            "\u{202e}ada@example.com",
            "ada\u{2028}@example.com",
            "ada\u{3000}@example.com",
            "\"ada\r\nBcc: eve@example.com\"@example.com",
            "ada@example.com\0",
            "\"ada lovelace\"@example.com",
        ] {
            assert_eq!(Email::new(text).map(|_| ()), Err(InvalidEmail), "{text:?}");
        }
    }

    #[test]
    fn shows_nothing_personal_or_secret() {
        let shown = format!(
            "{:?} {:?} {:?}",
            "ada@example.com".parse::<Email>().unwrap(),
            crate::Password::new("correct horse").unwrap(),
            PasswordHash::from_phc("$argon2id$…"),
        );
        assert!(!shown.contains("ada") && !shown.contains("horse") && !shown.contains("argon2id"));
    }
}
