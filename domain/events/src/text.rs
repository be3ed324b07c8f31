//! Short texts that people give to things.

use std::fmt;

use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup};
use icu_properties::{CodePointMapData, CodePointSetData};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// One line of text: 1 to `MAX` characters, of which one can be seen at least, and none ends a line
/// or turns the direction of what follows.
///
/// What was stored is read back as it is, also where it would be refused today.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Line<const MAX: usize>(Box<str>);

/// The text can't be a [`Line`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidLine {
    /// It is empty or too long.
    #[error("must have 1 to {max} characters")]
    Length {
        /// The most characters there may be.
        max: usize,
    },
    /// It holds a character that ends a line, or another that controls devices.
    #[error("must be one line, without control characters (U+{:04X})", u32::from(*.0))]
    Control(char),
    /// It holds a character that turns the direction of what follows, and so can make a text look
    /// like another.
    #[error("must not hold directional overrides, embeddings or isolates (U+{:04X})", u32::from(*.0))]
    Direction(char),
    /// It shows nothing.
    #[error("must have a character that can be seen")]
    Invisible,
}

/// What is wrong with the characters of a line, whatever its length.
///
/// # Errors
/// [`InvalidLine`].
pub fn check_line(text: &str) -> Result<(), InvalidLine> {
    match text.chars().find(|c| is_control(*c) || turns_direction(*c)) {
        Some(c) if is_control(c) => Err(InvalidLine::Control(c)),
        Some(c) => Err(InvalidLine::Direction(c)),
        None if text.chars().any(can_be_seen) => Ok(()),
        None => Err(InvalidLine::Invisible),
    }
}

/// Whether a character controls devices or ends a line: one that no line of text has.
pub fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Whether a character opens or closes an embedding, an override or an isolate. The marks that only
/// give a direction of their own (U+200E, U+200F, U+061C) do not: Hebrew and Arabic are typed with them.
pub const fn turns_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a character shows something by itself. What joins, tags or varies others, such as in an
/// emoji or a Persian word, is legal beside one that does.
fn can_be_seen(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_graphic();
    }
    // By their Unicode properties these are symbols and letters; by their shape they are blank.
    let blank = matches!(c, '\u{2800}' | '\u{fffc}' | '\u{13441}' | '\u{13442}' | '\u{1d159}');
    let nothing = GeneralCategoryGroup::Separator
        .union(GeneralCategoryGroup::Mark)
        .union(GeneralCategoryGroup::Control)
        .union(GeneralCategoryGroup::Format);
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    !(blank || is_noncharacter(c) || nothing.contains(category) || is_ignorable(c))
}

/// Whether a character is one that is not shown at all, such as a joiner or a variation selector.
pub fn is_ignorable(c: char) -> bool {
    !c.is_ascii() && CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

const fn is_noncharacter(c: char) -> bool {
    matches!(c, '\u{fdd0}'..='\u{fdef}') || (c as u32 & 0xfffe) == 0xfffe
}

impl<const MAX: usize> Line<MAX> {
    /// Takes a text.
    ///
    /// # Errors
    /// [`InvalidLine`].
    pub fn new(text: &str) -> Result<Self, InvalidLine> {
        if !(1..=MAX).contains(&text.chars().count()) {
            return Err(InvalidLine::Length { max: MAX });
        }
        check_line(text)?;
        Ok(Self(text.into()))
    }

    /// Brings back a text that was stored.
    pub fn from_stored(text: String) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> From<String> for Line<MAX> {
    fn from(text: String) -> Self {
        Self::from_stored(text)
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
        for text in ["", "123456"] {
            assert_eq!(Line::<5>::new(text), Err(InvalidLine::Length { max: 5 }), "{text:?}");
        }
    }

    #[test]
    fn what_shows_nothing_is_no_line() {
        for text in [
            " ",
            "\u{a0}",
            "\u{3000}",
            "\u{1680}",
            "\u{200b}",
            "\u{200d}",
            "\u{feff}",
            "\u{2060}",
            "\u{ad}",
            "\u{34f}",
            "\u{2800}",
            "\u{3164}",
            "\u{ffa0}",
            "\u{115f}",
            "\u{1160}",
            "\u{17b4}",
            "\u{180e}",
            "\u{200e}",
            "\u{200f}",
            "\u{61c}",
            "\u{fe0f}",
            "\u{e0100}",
            "\u{e0061}",
            "\u{301}",
            "\u{20dd}",
            "\u{903}",
            "\u{206a}",
            "\u{fff9}",
            "\u{fffc}",
            "\u{1d173}",
            "\u{1d159}",
            "\u{13441}",
            "\u{ffff}",
            "\u{fdd0}",
            "\u{10fffe}",
            "\u{2065}",
            "\u{e0fff}",
        ] {
            assert_eq!(Line::<5>::new(text), Err(InvalidLine::Invisible), "{text:?}");
            let two = format!(" {text}");
            assert_eq!(Line::<5>::new(&two), Err(InvalidLine::Invisible), "{text:?}");
        }
    }

    #[test]
    fn a_line_is_one_line() {
        for c in
            ['\n', '\r', '\t', '\0', '\u{b}', '\u{1b}', '\u{7f}', '\u{85}', '\u{2028}', '\u{2029}']
        {
            assert_eq!(Line::<5>::new(&format!("a{c}b")), Err(InvalidLine::Control(c)), "{c:?}");
        }
    }

    #[test]
    fn nothing_in_a_line_turns_its_direction() {
        for c in ('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}') {
            assert_eq!(Line::<5>::new(&format!("a{c}b")), Err(InvalidLine::Direction(c)), "{c:?}");
        }
    }

    #[test]
    fn people_write_as_they_write() {
        for text in [
            "Haushalt",
            "日常の口座",
            "می\u{200c}خواهم",
            "שלום\u{200f}!",
            "👩\u{200d}👩\u{200d}👧",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
            "❤\u{fe0f}",
            "e\u{301}te\u{301}",
            "ক্ষ",
            "€",
            ".",
            "soft\u{ad}hyphen",
            "no\u{a0}break",
        ] {
            assert!(Line::<20>::new(text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn what_was_stored_before_is_read_as_it_is() {
        for text in ["\u{200b}", "a\u{2028}b", "\u{202e}", "longer than five"] {
            let json = serde_json::to_string(text).unwrap();
            let line: Line<5> = serde_json::from_str(&json).unwrap();
            assert_eq!(line.as_str(), text);
            assert_eq!(serde_json::to_string(&line).unwrap(), json);
        }
    }
}
