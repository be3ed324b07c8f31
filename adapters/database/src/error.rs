//! Database errors in the words of each port.

use daybook_accounts::RepositoryError as AccountsError;
use daybook_application::{BooksError, RebuildError};
use daybook_events::{JournalError, QueueError};
use daybook_orders::RepositoryError as OrdersError;
use sea_orm::{DbErr, SqlErr};

/// What a read or write of the database can end in.
#[derive(Debug)]
pub(crate) enum Fault {
    Unavailable(String),
    Corrupt(String),
    /// A row that has to be unique is there already.
    Exists,
}

impl Fault {
    #[expect(clippy::needless_pass_by_value, reason = "so that it can be given to map_err")]
    pub(crate) fn corrupt(what: impl ToString) -> Self {
        Self::Corrupt(what.to_string())
    }
}

impl From<DbErr> for Fault {
    fn from(error: DbErr) -> Self {
        if let Some(SqlErr::UniqueConstraintViolation(_)) = error.sql_err() {
            return Self::Exists;
        }
        match error {
            DbErr::Type(detail) | DbErr::Json(detail) => Self::Corrupt(detail),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

macro_rules! into_port_error {
    ($($error:ident),+) => {
        $(impl From<Fault> for $error {
            fn from(fault: Fault) -> Self {
                match fault {
                    Fault::Unavailable(detail) => Self::Unavailable(detail),
                    Fault::Corrupt(detail) => Self::Corrupt(detail),
                    Fault::Exists => Self::Corrupt("a row that has to be unique is there already".to_owned()),
                }
            }
        })+
    };
}

into_port_error!(JournalError, QueueError, AccountsError, OrdersError, BooksError, RebuildError);
