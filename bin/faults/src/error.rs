//! What a trial has found.

use std::fmt;

/// Why a trial did not pass: a promise that was broken, or something that stood in its way.
#[derive(Debug)]
pub struct Failure(String);

impl Failure {
    /// A failure, in words.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The same failure, told where it happened.
    #[must_use]
    pub fn at(self, place: impl fmt::Display) -> Self {
        Self(format!("{place}: {}", self.0))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Not an [`Error`](std::error::Error) itself, so that every error becomes one by `?`.
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// What a step of a trial gives.
pub type Outcome<T = ()> = Result<T, Failure>;

/// Fails, with these words, where something is not so.
///
/// # Errors
/// Where it is not so.
pub fn ensure(so: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if so { Ok(()) } else { Err(Failure(otherwise())) }
}
