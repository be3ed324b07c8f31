//! Instants, in microseconds.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// An instant: microseconds since 1970-01-01T00:00:00Z. As text it is RFC 3339 in UTC, always with
/// six digits of a second's fraction: all have one length, and sort as text as they do in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

/// The text is not an RFC 3339 date and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not an RFC 3339 date and time, such as 2026-11-23T10:00:00Z")]
pub struct InvalidTimestamp;

impl Timestamp {
    /// The instant this many microseconds after the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Reads RFC 3339 text; what is finer than a microsecond is cut off.
    ///
    /// # Errors
    /// [`InvalidTimestamp`].
    pub fn parse(text: &str) -> Result<Self, InvalidTimestamp> {
        let instant = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| InvalidTimestamp)?;
        // A year past 9999 could be reached by its offset, and could not be written again.
        let instant = instant.checked_to_offset(UtcOffset::UTC).ok_or(InvalidTimestamp)?;
        let micros = instant.unix_timestamp_nanos().div_euclid(1_000);
        i64::try_from(micros).map(Self).map_err(|_| InvalidTimestamp)
    }

    /// The instant `later` after this one; the last representable one where there is none.
    #[must_use]
    pub fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(later.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The instant `earlier` before this one; the first representable one where there is none.
    #[must_use]
    pub fn minus(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(earlier.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero where it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Outside the years 0 to 9999 there is no RFC 3339 text.
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000)
            .ok()
            .filter(|at| (0..=9999).contains(&at.year()));
        let Some(at) = at else { return f.write_str("9999-12-31T23:59:59.999999Z") };
        let (year, month, day) = at.to_calendar_date();
        let (hour, minute, second, micros) = at.to_hms_micro();
        let month = u8::from(month);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back_is_the_same_instant() {
        for micros in [0, 1, -1, 1_795_392_000_123_456] {
            let instant = Timestamp::from_micros(micros);
            assert_eq!(Timestamp::parse(&instant.to_string()), Ok(instant));
        }
    }

    #[test]
    fn text_has_six_digits_whatever_the_fraction() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_000_000, "1970-01-01T00:00:01.000000Z"),
            (1_500_000, "1970-01-01T00:00:01.500000Z"),
            (10, "1970-01-01T00:00:00.000010Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (-62_167_219_200_000_000, "0000-01-01T00:00:00.000000Z"),
            (i64::MAX, "9999-12-31T23:59:59.999999Z"),
            (i64::MIN, "9999-12-31T23:59:59.999999Z"),
        ] {
            let instant = Timestamp::from_micros(micros);
            assert_eq!(instant.to_string(), text);
            assert_eq!(serde_json::to_string(&instant).unwrap(), format!("\"{text}\""));
        }
    }

    #[test]
    fn what_was_stored_with_fewer_digits_is_read() {
        for text in ["1970-01-01T00:00:01.5Z", "1970-01-01T00:00:01.50Z"] {
            let read: Timestamp = serde_json::from_str(&format!("\"{text}\"")).unwrap();
            assert_eq!(read, Timestamp::from_micros(1_500_000));
        }
    }

    #[test]
    fn reads_offsets_and_refuses_what_is_no_instant() {
        assert_eq!(Timestamp::parse("1970-01-01T01:00:00+01:00"), Ok(Timestamp::from_micros(0)));
        for text in ["", "yesterday", "2026-13-01T00:00:00Z", "2026-11-23", "1970-01-01 00:00:00"] {
            assert!(Timestamp::parse(text).is_err(), "{text}");
        }
    }
}
