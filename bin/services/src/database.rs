//! Databases on a PostgreSQL server.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::server::tail;
use crate::{ServiceError, find, postgres};

/// Creates an empty database on the server that a `postgres://` URL leads to; the URL of the new one, which
/// is otherwise the same.
///
/// # Errors
/// Where the server does not answer or has such a database, or `psql` is not installed.
pub fn create_database_on(url: &str, name: &str) -> Result<String, ServiceError> {
    create_with(&psql()?, url, name)
}

/// Has statements carried out in the database that a `postgres://` URL leads to; what they answer, a line
/// for each row.
///
/// # Errors
/// Where the server does not answer or refuses one, or `psql` is not installed.
pub fn ask_database(url: &str, statements: &str) -> Result<String, ServiceError> {
    run(&psql()?, url, statements, "did not carry out what it was told")
}

fn psql() -> Result<PathBuf, ServiceError> {
    postgres::psql().ok_or(ServiceError::Missing {
        what: "psql",
        hint: "install the package postgresql-client (Debian, Ubuntu, Alpine), postgresql (Fedora, Arch) or \
               libpq (Homebrew)",
    })
}

pub(crate) fn create_with(psql: &Path, url: &str, name: &str) -> Result<String, ServiceError> {
    let created = with_database(url, name).ok_or(ServiceError::Url)?;
    // `template0` is never in use, so that many can do this at once.
    let statement = format!("CREATE DATABASE \"{}\" TEMPLATE template0", name.replace('"', "\"\""));
    run(psql, url, &statement, "did not create the database").map(|_| created)
}

fn run(
    psql: &Path,
    url: &str,
    statements: &str,
    problem: &'static str,
) -> Result<String, ServiceError> {
    let output = Command::new(psql)
        .args(["--no-psqlrc", "--quiet", "--no-password", "--tuples-only", "--no-align"])
        .args(["--set", "ON_ERROR_STOP=1", "--dbname", url, "--command", statements])
        .env_clear()
        .env("PATH", find::search_path())
        .env("PGCONNECT_TIMEOUT", "10")
        .stdin(Stdio::null())
        .output()
        .map_err(ServiceError::system("running psql"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
    }
    let log = tail(&String::from_utf8_lossy(&output.stderr));
    Err(ServiceError::Failed { what: "psql", problem, log })
}

/// The URL with another database.
fn with_database(url: &str, name: &str) -> Option<String> {
    let (before, query) = match url.split_once('?') {
        Some((before, query)) => (before, format!("?{query}")),
        None => (url, String::new()),
    };
    let (scheme, rest) = before.split_once("://")?;
    let authority = rest.split('/').next().filter(|it| !it.is_empty())?;
    Some(format!("{scheme}://{authority}/{}{query}", encoded(name)))
}

/// Text as a part of a URL.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut url, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(byte.into());
        } else {
            // Writing to a `String` does not fail.
            let _ = write!(url, "%{byte:02X}");
        }
        url
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_is_the_path() {
        for (url, expected) in [
            ("postgres://me@host:1/old", "postgres://me@host:1/a%20b"),
            ("postgres://me:pass@host", "postgres://me:pass@host/a%20b"),
            ("postgres://host/old?sslmode=disable", "postgres://host/a%20b?sslmode=disable"),
        ] {
            assert_eq!(with_database(url, "a b").as_deref(), Some(expected));
        }
        assert_eq!(with_database("host/old", "new"), None);
        assert_eq!(with_database("postgres:///old", "new"), None);
    }
}
