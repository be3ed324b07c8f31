//! The scalars of the API: how each is documented, and read where it is a parameter.

use std::borrow::Cow;

use daybook_events::{IdempotencyKey, Position};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::{
    ParseError, ParseFromJSON, ParseFromParameter, ParseResult, ToJSON, Type,
};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use daybook_money::Amount;

/// Implements [`Type`] for a scalar with this schema, and the conversions that the derive for
/// objects asks of every field.
macro_rules! scalar {
    ($name:ident, $schema:expr) => {
        impl Type for $name {
            const IS_REQUIRED: bool = true;
            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn schema_ref() -> MetaSchemaRef {
                MetaSchemaRef::Inline(Box::new($schema))
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(self.as_raw_value().into_iter())
            }
        }

        impl ParseFromJSON for $name {
            fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
                serde_json::from_value(value.unwrap_or_default())
                    .map_err(|_| ParseError::custom("unreadable"))
            }
        }

        impl ToJSON for $name {
            fn to_json(&self) -> Option<Value> {
                serde_json::to_value(self).ok()
            }
        }
    };
}

/// A decimal number in a string.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Decimal(pub String);

scalar!(Decimal, MetaSchema::new_with_format("string", "decimal"));

/// An instant in RFC 3339.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct DateTime(pub String);

scalar!(DateTime, MetaSchema::new_with_format("string", "date-time"));

/// A count or a position: a whole number, not negative.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Count(pub u64);

scalar!(
    Count,
    MetaSchema { minimum: Some(0.0), ..MetaSchema::new_with_format("integer", "int64") }
);

impl Count {
    pub(crate) const fn position(self) -> Position {
        Position::new(self.0)
    }
}

impl ParseFromParameter for Count {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        // Positions are stored as signed numbers: past that there is none.
        let number = value
            .parse()
            .ok()
            .filter(|number| i64::try_from(*number).is_ok() && !value.starts_with('+'));
        number.map(Self).ok_or_else(|| ParseError::custom("must be a whole number, not negative"))
    }
}

/// How many things of a list are wanted: 1 to 1000.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Limit(pub u32);

scalar!(
    Limit,
    MetaSchema {
        minimum: Some(1.0),
        maximum: Some(1000.0),
        default: Some(Value::from(100)),
        ..MetaSchema::new_with_format("integer", "int32")
    }
);

impl ParseFromParameter for Limit {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        let number = value
            .parse()
            .ok()
            .filter(|number| (1..=1000).contains(number) && !value.starts_with('+'));
        number.map(Self).ok_or_else(|| ParseError::custom("must be from 1 to 1000"))
    }
}

/// Any JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Any(pub Box<RawValue>);

scalar!(Any, MetaSchema::ANY);

/// An amount as a caller writes it: a decimal in a string, or a JSON number, kept as its text.
#[derive(Clone, Debug)]
pub(crate) struct AmountText(pub Amount);

scalar!(
    AmountText,
    MetaSchema {
        description: Some(
            "A decimal in a string; a JSON number is taken too, exactly as it is written"
        ),
        ..MetaSchema::new_with_format("string", "decimal")
    }
);

impl<'de> Deserialize<'de> for AmountText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        match text.bytes().next() {
            Some(b'"') => serde_json::from_str(text)
                .map(|text| Self(Amount::Text(text)))
                .map_err(de::Error::custom),
            Some(b'-' | b'0'..=b'9') => Ok(Self(Amount::JsonNumber(text.to_owned()))),
            _ => Err(de::Error::custom("must be a decimal number, in a string or as a number")),
        }
    }
}

impl Serialize for AmountText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Amount::Text(text) | Amount::JsonNumber(text) => serializer.serialize_str(text),
        }
    }
}

/// How many of a thing are ordered: a whole number, in whatever spelling JSON has for it; `None` for
/// anything else, so that whoever reads it can say which line it is in.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Quantity(pub Option<u32>);

scalar!(
    Quantity,
    MetaSchema {
        minimum: Some(1.0),
        maximum: Some(1_000_000.0),
        ..MetaSchema::new_with_format("integer", "uint32")
    }
);

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(daybook_money::whole_number(raw.get()).and_then(|n| n.try_into().ok())))
    }
}

/// The id in a path. What is no UUID names nothing, and is answered as such.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct PathId(pub Option<Uuid>);

scalar!(PathId, MetaSchema::new_with_format("string", "uuid"));

impl ParseFromParameter for PathId {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        Ok(Self(read_uuid(value)))
    }
}

/// A UUID in its usual form, and in no other.
pub(crate) fn read_uuid(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten()
}

/// An id in a body, as a caller writes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct IdText(pub String);

scalar!(IdText, MetaSchema::new_with_format("string", "uuid"));

/// An idempotency key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Key(String);

scalar!(
    Key,
    MetaSchema { min_length: Some(1), max_length: Some(255), ..MetaSchema::new("string") }
);

impl Key {
    pub(crate) fn read(&self) -> Option<IdempotencyKey> {
        IdempotencyKey::new(&self.0).ok()
    }
}

impl ParseFromParameter for Key {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        IdempotencyKey::new(value).map_err(|error| ParseError::custom(error.to_string()))?;
        Ok(Self(value.to_owned()))
    }
}
