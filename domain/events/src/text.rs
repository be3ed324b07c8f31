//! Short texts that people give to things.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// One line of text: 1 to `MAX` characters, not all white space, no control characters.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Line<const MAX: usize>(Box<str>);

/// The text can't be a [`Line`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must have 1 to {max} characters, not all white space and no control characters")]
pub struct InvalidLine {
    /// The most characters there may be.
    pub max: usize,
}

impl<const MAX: usize> Line<MAX> {
    /// Takes a text.
    ///
    /// # Errors
    /// [`InvalidLine`].
    pub fn new(text: &str) -> Result<Self, InvalidLine> {
        let blank = text.trim().is_empty();
        if blank || text.chars().count() > MAX || text.chars().any(char::is_control) {
            return Err(InvalidLine { max: MAX });
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> TryFrom<String> for Line<MAX> {
    type Error = InvalidLine;

    fn try_from(text: String) -> Result<Self, InvalidLine> {
        Self::new(&text)
    }
}

impl<const MAX: usize> From<Line<MAX>> for String {
    fn from(line: Line<MAX>) -> Self {
        line.0.into()
    }
}

impl<const MAX: usize> fmt::Debug for Line<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_visible_and_short() {
        assert!(Line::<5>::new("a é b").is_ok());
        for text in ["", "  ", "a\nb", "\u{7f}", "123456"] {
            assert_eq!(Line::<5>::new(text), Err(InvalidLine { max: 5 }), "{text:?}");
        }
    }
}
