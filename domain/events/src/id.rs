//! Typed identifiers. Every one is a UUID; new ones are version 7, so that they sort by time.

/// Defines an identifier type: a UUID that can't be mistaken for another kind's.
#[macro_export]
macro_rules! define_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ::serde::Serialize, ::serde::Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name($crate::uuid::Uuid);

        impl $name {
            /// The identifier that is this UUID.
            pub const fn from_uuid(uuid: $crate::uuid::Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID this identifier is.
            pub const fn uuid(self) -> $crate::uuid::Uuid {
                self.0
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(&self.0, f)
            }
        }

        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

define_id! {
    /// Names one event.
    EventId
}
define_id! {
    /// Names one entry of the journal: the events that one command appended together.
    EntryId
}
define_id! {
    /// Names an account holder: whoever registered, acts and owns.
    HolderId
}
define_id! {
    /// Names a task.
    TaskId
}
define_id! {
    /// Names a transfer, on both of the accounts it touches.
    TransferId
}
define_id! {
    /// Names an installation: one log, and every process that works on it.
    InstallationId
}
