//! What an error of the database is about: what a row says, the session, or the moment.

use sea_orm::sqlx::postgres::PgDatabaseError;
use sea_orm::sqlx::sqlite::SqliteError;
use sea_orm::sqlx::{self, error::DatabaseError};
use sea_orm::{DbErr, RuntimeErr};

/// What an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// What was to be written: it would be refused again, and other rows would not.
    Row,
    /// The session: whatever it does next may fail alike, and a new one may do better.
    Session,
    /// Neither: it may be tried again as it is.
    Moment,
}

/// What an error of the driver is about.
pub(crate) fn about(error: &sqlx::Error) -> About {
    match error {
        sqlx::Error::Database(error) => match error.try_downcast_ref::<PgDatabaseError>() {
            Some(error) => about_state(error.code(), error.routine()),
            None => about_sqlite(&**error),
        },
        sqlx::Error::Encode(_) => About::Row,
        _ => About::Moment,
    }
}

/// The driver's own error.
pub(crate) fn of_driver(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => Some(error),
        _ => None,
    }
}

/// By SQLSTATE. What is not known to be about something else is about a row: a trigger may raise any.
fn about_state(state: &str, routine: Option<&str>) -> About {
    match state {
        // A server that takes no writes, any more or yet, and sessions that it ends.
        "25006" | "57P01" | "57P02" | "57P03" | "57P05" => About::Session,
        // A policy refuses rows; a right that was not granted, everything.
        "42501" if routine == Some("ExecWithCheckOptions") => About::Row,
        _ => match state.get(..2) {
            Some("08") => About::Session,
            // State of the transaction, rollback, names and rights, resources, objects in use, an
            // operator, the system.
            Some("25" | "40" | "42" | "53" | "55" | "57" | "58") => About::Moment,
            _ => About::Row,
        },
    }
}

/// By the primary code of SQLite: an error in SQL (what a trigger or an index makes of a row), too
/// big, a constraint, a mismatch of types.
fn about_sqlite(error: &(dyn DatabaseError + 'static)) -> About {
    let code = error.try_downcast_ref::<SqliteError>().and_then(DatabaseError::code);
    let primary = code.and_then(|code| code.parse::<i32>().ok()).map(|code| code & 0xff);
    match primary {
        Some(1 | 18 | 19 | 20) => About::Row,
        _ => About::Moment,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_tell_what_an_error_is_about() {
        for state in ["25006", "57P01", "57P02", "57P03", "08006", "08P01"] {
            assert_eq!(about_state(state, None), About::Session, "{state}");
        }
        for state in ["P0001", "23514", "22021", "54000", "44000", "XX000", "ABCDE"] {
            assert_eq!(about_state(state, None), About::Row, "{state}");
        }
        for state in ["40001", "40P01", "42P01", "42501", "53100", "55P03", "57014", "58030"] {
            assert_eq!(about_state(state, None), About::Moment, "{state}");
        }
        assert_eq!(about_state("42501", Some("ExecWithCheckOptions")), About::Row);
    }
}
