//! A copy of a database is an installation of its own; the same database, whatever becomes of its
//! server, stays the one it was.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use daybook_database::{Database, DatabaseSettings, Migrate, PostgresSettings, SqliteSettings};
use daybook_events::{Identity, Installation};
use daybook_services::{Postgres, create_database_on};

/// Who the database says it is, opened and closed.
async fn identity(settings: &DatabaseSettings) -> Identity {
    let database = Database::open(settings, Migrate::Up).await.unwrap();
    let identity = database.identity().await.unwrap();
    database.close().await;
    identity
}

async fn of_file(file: PathBuf) -> Identity {
    identity(&DatabaseSettings::Sqlite(SqliteSettings { file, readers: 1 })).await
}

async fn of_url(url: &str) -> Identity {
    let statement_timeout = Duration::from_secs(10);
    let settings = PostgresSettings { url: url.to_owned(), connections: 2, statement_timeout };
    identity(&DatabaseSettings::Postgres(settings)).await
}

fn psql(url: &str, sql: &str) {
    run(Command::new("psql").args([url, "-qX", "-v", "ON_ERROR_STOP=1", "-c", sql]));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn copy(from: &Path, to: &Path) -> PathBuf {
    std::fs::copy(from, to).unwrap();
    to.to_owned()
}

fn different(a: &Identity, b: &Identity) -> bool {
    a.id != b.id && a.secret != b.secret
}

#[tokio::test]
async fn a_file_that_is_copied_is_another_and_one_that_is_moved_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("daybook.db");
    let original = of_file(file.clone()).await;
    assert_eq!(of_file(file.clone()).await, original);

    let duplicate = of_file(copy(&file, &folder.path().join("copy.db"))).await;
    assert!(different(&duplicate, &original));
    assert_eq!(of_file(file.clone()).await, original);

    let moved = folder.path().join("moved.db");
    std::fs::rename(&file, &moved).unwrap();
    assert_eq!(of_file(moved.clone()).await, original);

    // A backup that comes back is a log of its own: the original may have gone on.
    let backup = copy(&moved, &folder.path().join("backup.db"));
    std::fs::rename(&backup, &moved).unwrap();
    let restored = of_file(moved).await;
    assert!(different(&restored, &original) && different(&restored, &duplicate));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_copied_is_another() {
    let server = Postgres::start().unwrap();
    let original = of_url(&server.url()).await;
    let url = server.url();
    let (place, name) = url.rsplit_once('/').unwrap();
    let sibling = create_database_on(&server.url(), "sibling").unwrap();
    psql(&sibling, &format!("CREATE DATABASE twin TEMPLATE {name}"));
    assert!(different(&of_url(&format!("{place}/twin")).await, &original));

    // Loaded into an empty database, and into the place of the original itself.
    let dump = tempfile::NamedTempFile::new().unwrap();
    let path = dump.path().to_str().unwrap();
    run(Command::new("pg_dump").args(["-c", "--if-exists", "-f", path, &server.url()]));
    run(Command::new("psql").args([&sibling, "-qXf", path]));
    assert!(different(&of_url(&sibling).await, &original));
    assert_eq!(of_url(&server.url()).await, original);
    run(Command::new("psql").args([&server.url(), "-qXf", path]));
    assert!(different(&of_url(&server.url()).await, &original));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_starts_again_and_a_role_without_rights_find_what_was_there() {
    let server = Postgres::start().unwrap();
    let url = create_database_on(&server.url(), "own").unwrap();
    psql(&url, "CREATE ROLE plain LOGIN; GRANT CREATE, USAGE ON SCHEMA public TO plain");
    psql(&url, "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC");
    let (_, place) = url.split_once('@').unwrap();
    let plain = format!("postgres://plain@{place}");
    let first = of_url(&plain).await;
    server.kill().unwrap();
    server.restart().unwrap();
    assert_eq!(of_url(&plain).await, first);
}
