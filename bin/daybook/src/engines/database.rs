//! Which database a URL names.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use daybook_database::{
    Database, DatabaseSettings, Migrate, OpenError, PostgresSettings, SqliteSettings,
};

use super::secret::secret;
use crate::cli::DatabaseOptions;
use crate::startup::StartupError;

const READERS: u32 = 4;
const DEFAULT: &str = "sqlite://daybook.db";
/// Where the signing key is kept where neither it nor a file of a database is named.
const KEY_BESIDE: &str = "daybook";

/// Where the database is.
pub(crate) fn settings(options: &DatabaseOptions) -> Result<DatabaseSettings, StartupError> {
    let url = secret(
        "DATABASE_URL",
        options.database_url.as_deref(),
        options.database_url_file.as_deref(),
    )?;
    let url = url.as_deref().unwrap_or(DEFAULT);
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(DatabaseSettings::Postgres(PostgresSettings {
            url: url.to_owned(),
            connections: options.database_connections.get(),
            statement_timeout: options.statement_timeout,
        }));
    }
    Ok(DatabaseSettings::Sqlite(SqliteSettings { file: file(url)?, readers: READERS }))
}

/// Opens it.
pub(crate) async fn open(
    options: &DatabaseOptions,
    settings: &DatabaseSettings,
) -> Result<Database, StartupError> {
    let migrate = if options.migrate { Migrate::Up } else { Migrate::Check };
    Ok(Database::open(settings, migrate).await?)
}

/// What it is, for people.
pub(crate) fn describe(settings: &DatabaseSettings) -> Result<String, StartupError> {
    Ok(match settings {
        DatabaseSettings::Sqlite(sqlite) => format!("SQLite, {}", sqlite.file.display()),
        DatabaseSettings::Postgres(postgres) => format!("PostgreSQL, {}", postgres.place()?),
    })
}

/// The file beside which the signing key is kept.
pub(crate) fn key_beside(settings: &DatabaseSettings) -> io::Result<PathBuf> {
    match settings {
        DatabaseSettings::Sqlite(sqlite) => sqlite.file.canonicalize(),
        DatabaseSettings::Postgres(_) => Ok(std::env::current_dir()?.join(KEY_BESIDE)),
    }
}

/// The file that a `sqlite://` URL names.
fn file(url: &str) -> Result<PathBuf, StartupError> {
    let rest = url.strip_prefix("sqlite:").ok_or(StartupError::DatabaseUrl(
        "give sqlite://path/to/daybook.db or postgres://user:password@host/database",
    ))?;
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let (path, options) = path.split_once('?').unwrap_or((path, ""));
    // This is what is done; anything else would be another thing than was asked for.
    if !matches!(options, "" | "mode=rwc") {
        return Err(StartupError::DatabaseUrl(
            "a file of SQLite has no parameters but mode=rwc, as in sqlite://daybook.db?mode=rwc",
        ));
    }
    if path.is_empty() || path == ":memory:" {
        return Err(StartupError::DatabaseUrl(
            "give a file, as in sqlite://daybook.db: memory is not durable",
        ));
    }
    Ok(PathBuf::from(path))
}

/// Holds an SQLite database for one server: on a file nobody tells a server what others commit. On
/// Postgres there is nothing to hold.
pub(crate) fn hold(settings: &DatabaseSettings) -> Result<Option<File>, StartupError> {
    match settings {
        DatabaseSettings::Sqlite(sqlite) => lock(&sqlite.file).map(Some),
        DatabaseSettings::Postgres(_) => Ok(None),
    }
}

/// The file itself is locked, so that no other name of it gets around; the lock goes with the
/// process, however it ends. SQLite's own locks are of another kind and don't meet it.
fn lock(file: &Path) -> Result<File, StartupError> {
    let unusable = |error: io::Error| OpenError::Unusable {
        database: file.display().to_string(),
        reason: error.to_string(),
    };
    let held = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(file);
    let held = held.map_err(unusable)?;
    match held.try_lock() {
        Ok(()) => Ok(held),
        Err(TryLockError::WouldBlock) => Err(StartupError::DatabaseInUse(file.to_owned())),
        Err(TryLockError::Error(error)) => Err(unusable(error).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlite_url_names_a_file() {
        let named = |url| file(url).unwrap();
        assert_eq!(named("sqlite://daybook.db"), PathBuf::from("daybook.db"));
        assert_eq!(
            named("sqlite:///var/lib/daybook/a b.db"),
            PathBuf::from("/var/lib/daybook/a b.db")
        );
        assert_eq!(named("sqlite:daybook.db?mode=rwc"), PathBuf::from("daybook.db"));
        for url in [
            "sqlite://d.db?mode=ro",
            "sqlite://d.db?mode=rwc&cache=shared",
            "sqlite:d.db?immutable=1",
        ] {
            assert!(file(url).unwrap_err().to_string().contains("no parameters"), "{url}");
        }
        for url in
            ["", "daybook.db", "sqlite:", "sqlite::memory:", "mysql://root:secret@localhost/x"]
        {
            let error = file(url).unwrap_err().to_string();
            assert!(
                error.starts_with("DATABASE_URL: ") && !error.contains("secret"),
                "{url}: {error}"
            );
        }
    }

    #[test]
    fn a_database_is_held_by_one_server() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("daybook.db");
        let held = lock(&file).unwrap();
        let (link, hard_link) = (folder.path().join("link.db"), folder.path().join("hard.db"));
        std::os::unix::fs::symlink(&file, &link).unwrap();
        std::fs::hard_link(&file, &hard_link).unwrap();
        for name in [&file, &link, &hard_link] {
            assert!(
                matches!(lock(name), Err(StartupError::DatabaseInUse(_))),
                "{}",
                name.display()
            );
        }
        drop(held);
        assert!(lock(&file).is_ok());
    }
}
