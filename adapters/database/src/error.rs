//! Database errors in the words of each port.

use daybook_accounts::RepositoryError as AccountsError;
use daybook_application::{BooksError, RebuildError};
use daybook_events::{JournalError, QueueError};
use daybook_orders::RepositoryError as OrdersError;
use sea_orm::{DbErr, SqlErr};

use crate::diagnosis::{About, about, of_driver};

/// What a read or write of the database can end in.
#[derive(Debug)]
pub(crate) enum Fault {
    Unavailable(String),
    Corrupt(String),
    /// A row that has to be unique is there already.
    Exists,
    /// What a row says is refused, and would be again.
    Refused(String),
    /// The session can't do its work any more; a new one may.
    Session(String),
}

impl Fault {
    #[expect(clippy::needless_pass_by_value, reason = "so that it can be given to map_err")]
    pub(crate) fn corrupt(what: impl ToString) -> Self {
        Self::Corrupt(what.to_string())
    }
}

/// What a use of connections ends in where it fails.
pub(crate) trait Failed: From<DbErr> {
    /// Whether the session it was done on is of no more use.
    fn is_of_session(&self) -> bool;
}

impl Failed for DbErr {
    fn is_of_session(&self) -> bool {
        of_driver(self).is_some_and(|error| about(error) == About::Session)
    }
}

impl Failed for Fault {
    fn is_of_session(&self) -> bool {
        matches!(self, Self::Session(_))
    }
}

impl From<DbErr> for Fault {
    fn from(error: DbErr) -> Self {
        if let Some(SqlErr::UniqueConstraintViolation(_)) = error.sql_err() {
            return Self::Exists;
        }
        match (of_driver(&error).map(about), error) {
            (Some(About::Row), error) => Self::Refused(error.to_string()),
            (Some(About::Session), error) => Self::Session(error.to_string()),
            (_, DbErr::Type(detail) | DbErr::Json(detail)) => Self::Corrupt(detail),
            (_, other) => Self::Unavailable(other.to_string()),
        }
    }
}

macro_rules! into_port_error {
    ($($error:ident),+) => {
        $(impl From<Fault> for $error {
            fn from(fault: Fault) -> Self {
                match fault {
                    Fault::Unavailable(detail) | Fault::Refused(detail) | Fault::Session(detail) => {
                        Self::Unavailable(detail)
                    }
                    Fault::Corrupt(detail) => Self::Corrupt(detail),
                    Fault::Exists => Self::Corrupt("a row that has to be unique is there already".to_owned()),
                }
            }
        })+
    };
}

into_port_error!(JournalError, QueueError, AccountsError, OrdersError, BooksError, RebuildError);
