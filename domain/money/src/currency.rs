//! ISO 4217 currencies that have a minor unit.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;
use time::macros::date;
use time::{Date, OffsetDateTime};

/// A currency of ISO 4217 that money can be kept in.
///
/// Codes without a minor unit (gold, testing codes and the like) are not accepted: an amount
/// in them has no exact integer form.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency(iso_currency::Currency);

/// Codes that ISO 4217 has withdrawn, and from which day on nothing new is kept in them. What is
/// there already stays.
///
/// Source: lists one and three of the maintenance agency (SIX), as the public data set
/// `datasets/currency-codes` had them on 2026-02-01. List one is what `iso_currency` 0.7.1 has, minor
/// units included, without these five; list three gives the months.
///
/// Codes that were withdrawn longer ago are not known at all.
const WITHDRAWN: [(&str, Date); 5] = [
    ("BGN", date!(2026 - 01 - 01)),
    ("CUC", date!(2021 - 07 - 01)),
    ("HRK", date!(2023 - 01 - 01)),
    ("SLL", date!(2024 - 01 - 01)),
    ("ZWL", date!(2024 - 09 - 01)),
];

/// Why nothing new can be kept in a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotCurrent {
    /// There is no such currency.
    #[error(transparent)]
    Unknown(#[from] UnknownCurrency),
    /// It is no longer in use.
    #[error("{code} was withdrawn from ISO 4217 on {since}")]
    Withdrawn {
        /// Its code.
        code: &'static str,
        /// The first day without it.
        since: Date,
    },
}

/// The text is not the upper-case three-letter code of a currency with a minor unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not an ISO 4217 currency code, such as EUR")]
pub struct UnknownCurrency;

impl Currency {
    /// The currency with this code, for something new at an instant (seconds since 1970, UTC): one
    /// that is on the active list of ISO 4217 on that day.
    ///
    /// # Errors
    /// [`NotCurrent`].
    pub fn current(code: &str, seconds: i64) -> Result<Self, NotCurrent> {
        let currency: Self = code.parse()?;
        let withdrawn = WITHDRAWN.into_iter().find(|(withdrawn, _)| *withdrawn == code);
        match (withdrawn, OffsetDateTime::from_unix_timestamp(seconds)) {
            (Some((code, since)), Ok(now)) if now.date() >= since => {
                Err(NotCurrent::Withdrawn { code, since })
            }
            _ => Ok(currency),
        }
    }

    /// The currency's three-letter code, upper case.
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// How many decimal digits the minor unit has: 2 for EUR, 0 for JPY, 3 for KWD.
    pub fn exponent(self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }
}

impl FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(code: &str) -> Result<Self, UnknownCurrency> {
        iso_currency::Currency::from_code(code)
            .filter(|currency| currency.exponent().is_some())
            .map(Self)
            .ok_or(UnknownCurrency)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        code.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_minor_units_of_iso_4217() {
        for (code, exponent) in [("EUR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("USD", 2)] {
            assert_eq!(code.parse::<Currency>().unwrap().exponent(), exponent);
        }
    }

    /// The active codes that have a minor unit, as they are generally known in November 2026; not
    /// copied from a file of list one.
    const ACTIVE: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BOV \
        BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP \
        DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD \
        IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA \
        MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP \
        PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL \
        THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAD XAF \
        XCD XCG XOF XPF YER ZAR ZMW ZWG";

    fn at(day: Date) -> i64 {
        day.midnight().assume_utc().unix_timestamp()
    }

    #[test]
    fn the_active_list_is_that_of_iso_4217() {
        let today = at(date!(2026 - 11 - 26));
        let current: Vec<_> = ('A'..='Z')
            .flat_map(|a| ('A'..='Z').map(move |b| (a, b)))
            .flat_map(|(a, b)| ('A'..='Z').map(move |c| format!("{a}{b}{c}")))
            .filter(|code| Currency::current(code, today).is_ok())
            .collect();
        assert_eq!(current, ACTIVE.split_whitespace().collect::<Vec<_>>());
    }

    #[test]
    fn minor_units_are_two_digits_but_for_these() {
        let others = [
            (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
            (3, "BHD IQD JOD KWD LYD OMR TND"),
            (4, "CLF UYW"),
        ];
        for code in ACTIVE.split_whitespace() {
            let other = others.iter().find(|(_, codes)| codes.contains(code));
            let expected = other.map_or(2, |(exponent, _)| *exponent);
            assert_eq!(code.parse::<Currency>().unwrap().exponent(), expected, "{code}");
        }
    }

    #[test]
    fn a_withdrawn_code_is_read_but_not_current_from_its_day_on() {
        for (code, since) in WITHDRAWN {
            assert!(code.parse::<Currency>().is_ok(), "{code}");
            assert!(Currency::current(code, at(since) - 1).is_ok(), "{code}");
            let refused = Err(NotCurrent::Withdrawn { code, since });
            assert_eq!(Currency::current(code, at(since)), refused);
        }
        for code in ["ANG", "EEK", "VEF", "DEM", "STD", "MRO", "BYR", "ZWD"] {
            let unknown = Err(NotCurrent::Unknown(UnknownCurrency));
            assert_eq!(Currency::current(code, 0), unknown, "{code}");
        }
    }

    #[test]
    fn refuses_what_is_not_a_currency() {
        for code in ["", "EU", "EURO", "eur", "ZZZ", "E R", "XAU", "XXX", "XTS", "€"] {
            assert_eq!(code.parse::<Currency>(), Err(UnknownCurrency), "{code}");
        }
    }
}
