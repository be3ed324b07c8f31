//! Typed events to stored ones and back.

use thiserror::Error;

use crate::EventData;

/// A typed event of one aggregate that can be stored as its type and its JSON data.
pub trait EventPayload: Sized {
    /// The type's name, as stored and shown: `OrderPaid`.
    fn event_type(&self) -> &'static str;

    /// The data as JSON.
    fn data(&self) -> EventData;

    /// Brings a stored event back.
    ///
    /// # Errors
    /// [`UnknownEvent`] where the type is not this aggregate's or the data does not fit it.
    fn from_stored(event_type: &str, data: &EventData) -> Result<Self, UnknownEvent>;
}

/// A stored event that this version can't read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("can't read an event of type {event_type}: {reason}")]
pub struct UnknownEvent {
    /// The type as stored.
    pub event_type: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Implements [`EventPayload`] for an enum whose variants each hold one data struct of the same
/// name; the variant's name is the event's type.
#[macro_export]
macro_rules! event_payload {
    ($name:ident { $($variant:ident),+ $(,)? }) => {
        impl $crate::EventPayload for $name {
            fn event_type(&self) -> &'static str {
                match self { $(Self::$variant(_) => stringify!($variant),)+ }
            }

            fn data(&self) -> $crate::EventData {
                match self { $(Self::$variant(data) => $crate::EventData::of(data),)+ }
            }

            fn from_stored(
                event_type: &str,
                data: &$crate::EventData,
            ) -> ::std::result::Result<Self, $crate::UnknownEvent> {
                let unknown = |reason: String| $crate::UnknownEvent {
                    event_type: event_type.to_owned(),
                    reason,
                };
                match event_type {
                    $(stringify!($variant) => data
                        .read()
                        .map(Self::$variant)
                        .map_err(|error| unknown(error.to_string())),)+
                    _ => Err(unknown("no such type".to_owned())),
                }
            }
        }
    };
}
