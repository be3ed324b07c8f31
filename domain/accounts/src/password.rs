//! Passwords: which may be chosen, and in which form they are compared.

use std::fmt;

use daybook_events::is_ignorable;
use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use thiserror::Error;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// The fewest visible characters of a new password.
const FEWEST: usize = 8;
/// The most bytes of any.
const MOST_BYTES: usize = 1024;
/// How many tries a password has to withstand of someone who knows the common ones, and who the holder
/// is: the list that they are taken from has as many.
const TRIES: u64 = 30_000;
/// How many characters are looked at for that.
const LOOKED_AT: usize = 64;

/// A password as someone typed it. Never shown.
///
/// It is compared in one form, whatever device it was typed on: that of the profile `OpaqueString` of
/// PRECIS (RFC 8265), taken of the compatibility form of Unicode (NFKC). So composed and decomposed
/// letters, wide and narrow ones, and all kinds of spaces are the same; capitals are not.
#[derive(Clone)]
pub struct Password {
    given: Box<str>,
    /// None of what no profile takes.
    form: Option<Box<str>>,
}

/// The text can't be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidPassword {
    /// It is too short or too long.
    #[error("a password has at least 8 visible characters and at most 1024 bytes")]
    Length,
    /// There is something in it that nobody sees.
    #[error("a password has no control characters and none that are invisible")]
    Invisible,
}

impl Password {
    /// Takes a password that someone chooses.
    ///
    /// # Errors
    /// [`InvalidPassword`].
    pub fn new(text: &str) -> Result<Self, InvalidPassword> {
        if !(FEWEST..=MOST_BYTES).contains(&text.len()) {
            return Err(InvalidPassword::Length);
        }
        if text.chars().any(is_ignorable) {
            return Err(InvalidPassword::Invisible);
        }
        let form = form(text).ok_or(InvalidPassword::Invisible)?;
        let is_visible = |c: &char| !c.is_whitespace() && !is_combining_mark(*c);
        if form.chars().filter(is_visible).count() < FEWEST || form.len() > MOST_BYTES {
            return Err(InvalidPassword::Length);
        }
        Ok(Self { given: text.into(), form: Some(form) })
    }

    /// Takes what someone gives to log in: any text up to 1024 bytes, to be compared.
    ///
    /// # Errors
    /// [`InvalidPassword`].
    pub fn attempt(text: &str) -> Result<Self, InvalidPassword> {
        if !(1..=MOST_BYTES).contains(&text.len()) {
            return Err(InvalidPassword::Length);
        }
        Ok(Self { given: text.into(), form: form(text) })
    }

    /// Whether someone would soon hit upon it who knows the common passwords, and what is `about` its
    /// holder, such as their address. Takes some milliseconds.
    pub fn is_guessable(&self, about: &[&str]) -> bool {
        let looked_at: String = self.for_hashing().chars().take(LOOKED_AT).collect();
        zxcvbn::zxcvbn(&looked_at, about).guesses() < TRIES
    }

    /// What is hashed of a new one.
    pub fn for_hashing(&self) -> &str {
        self.form.as_deref().unwrap_or(&self.given)
    }

    /// What is compared with a hash: the form, and what was given where that is another, as before
    /// there was a form passwords were hashed as they were given.
    pub fn candidates(&self) -> impl Iterator<Item = &str> {
        let given = Some(&*self.given).filter(|given| self.form.as_deref() != Some(given));
        self.form.as_deref().into_iter().chain(given)
    }
}

fn form(text: &str) -> Option<Box<str>> {
    let compatible: String = text.nfkc().collect();
    OpaqueString::enforce(compatible).ok().map(|form| form.into_owned().into())
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(text: &str) -> Result<String, InvalidPassword> {
        Password::new(text).map(|password| password.for_hashing().to_owned())
    }

    #[test]
    fn has_eight_visible_characters_and_no_more_than_a_kilobyte() {
        assert!(chosen("pässwörd").is_ok());
        assert!(chosen("한국어비밀번호").is_err());
        assert!(chosen("한국어비밀번호임").is_ok());
        let marks = format!("a{}", "\u{323}".repeat(8));
        for text in ["seven77", "", "        ", "a b c d e f g", &marks, &"x".repeat(1025)] {
            assert_eq!(chosen(text), Err(InvalidPassword::Length), "{text:?}");
        }
        assert!(chosen(&"xy".repeat(512)).is_ok());
        assert!(Password::attempt("short").is_ok());
        assert!(Password::attempt("").is_err());
        assert!(Password::attempt(&"x".repeat(1025)).is_err());
    }

    #[test]
    fn has_nothing_that_nobody_sees() {
        let invisible = "\u{200b}".repeat(8);
        for text in [
            &invisible,
            "correct\u{ad}horse",
            "correct\thorse",
            "correct\u{feff} horse",
            "\u{7f}12345678",
        ] {
            assert_eq!(chosen(text), Err(InvalidPassword::Invisible), "{text:?}");
        }
    }

    #[test]
    fn has_one_form_however_it_is_typed() {
        for (text, other) in [
            ("caf\u{e9} cr\u{e8}me", "cafe\u{301} cre\u{300}me"),
            ("correct horse", "\u{ff43}\u{ff4f}rrect\u{3000}horse"),
            ("correct horse", "correct\u{a0}horse"),
            ("of\u{fb01}ce hours", "office hours"),
        ] {
            assert_eq!(chosen(text), chosen(other), "{text}");
        }
        assert_ne!(chosen("Correct horse"), chosen("correct horse"));
    }

    #[test]
    fn what_was_hashed_as_it_was_given_is_still_compared() {
        let candidates = |text: &str| {
            let attempt = Password::attempt(text).unwrap();
            attempt.candidates().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(candidates("correct horse"), ["correct horse"]);
        assert_eq!(candidates("cafe\u{301}"), ["caf\u{e9}", "cafe\u{301}"]);
        assert_eq!(candidates("\u{200b}"), ["\u{200b}"]);
    }

    #[test]
    fn common_ones_and_what_is_known_of_the_holder_are_guessable() {
        let about = ["ada@example.com", "ada"];
        let guessable = |text: &str| Password::new(text).unwrap().is_guessable(&about);
        for text in [
            "password",
            "password1",
            "Password1!",
            "P@ssw0rd",
            "aaaaaaaa",
            "12345678",
            "87654321",
            "qwertyuiop",
            "abcdefgh",
            "iloveyou",
            "ada@example.com",
            "Ada@Example.com",
            "letmein1",
            "\u{ff50}assword",
        ] {
            assert!(guessable(text), "{text}");
        }
        for text in ["correct horse", "xY7#kq2!", "pässwörd", "battery staple", "한국어비밀번호임"]
        {
            assert!(!guessable(text), "{text}");
        }
    }
}
