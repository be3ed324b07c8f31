//! What keeps the program from starting is said in one line.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use rusqlite::Connection;
use serde_json::json;

use crate::support::{Folder, Process, Server};

const SERVE: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];

/// It ends by itself, with one line that names what is wrong.
#[track_caller]
fn assert_refused(process: Process, named: &[&str]) {
    let ended = process.ended();
    assert!(ended.status.code().is_some_and(|code| code != 0), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.ends_with('\n'), "{}", ended.stderr);
    for name in named {
        assert!(ended.stderr.contains(name), "{name} is not in: {}", ended.stderr);
    }
    assert!(!ended.stdout.contains("http://"), "{}", ended.stdout);
}

#[test]
fn a_damaged_database_is_refused_and_left_alone() {
    let folder = Folder::new();
    let garbage = "this is no database ".repeat(1_000);
    fs::write(folder.engines().database(), &garbage).unwrap();
    assert_refused(folder.start(&SERVE), &["daybook.db"]);
    assert_eq!(fs::read_to_string(folder.engines().database()).unwrap(), garbage);
}

#[test]
fn a_database_of_a_newer_release_is_refused_and_left_alone() {
    let folder = Folder::new();
    Server::start(&folder).terminate();
    let insert = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_future', 0)";
    let database = Connection::open(folder.engines().database()).unwrap();
    database.execute(insert, ()).unwrap();
    let tables = |database: &Connection| -> Vec<String> {
        let mut names = database.prepare("SELECT sql FROM sqlite_schema ORDER BY name").unwrap();
        let rows = names.query_map((), |row| row.get::<_, Option<String>>(0)).unwrap();
        rows.map(|sql| sql.unwrap().unwrap_or_default()).collect()
    };
    let before = tables(&database);
    assert_refused(folder.start(&SERVE), &["daybook.db", "m9999_future"]);
    assert_refused(folder.start(&["migrate"]), &["m9999_future"]);
    assert_eq!(tables(&database), before);
}

#[test]
fn a_database_that_is_no_file_is_refused() {
    let folder = Folder::new();
    fs::create_dir(folder.engines().database()).unwrap();
    assert_refused(folder.start(&SERVE), &["daybook.db"]);
}

#[test]
fn a_taken_port_is_refused() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert_refused(folder.start(&["serve", "--listen", &address]), &[&address]);
}

#[test]
fn a_key_file_that_holds_no_key_is_refused() {
    let folder = Folder::new();
    fs::create_dir(folder.file("folder")).unwrap();
    fs::write(folder.file("short"), "too short").unwrap();
    fs::write(folder.file("empty"), "").unwrap();
    fs::write(folder.file("repeats"), "a".repeat(32)).unwrap();
    fs::write(folder.file("shared"), "9f86d081884c7d659a2feaa0c55ad015").unwrap();
    for name in ["folder", "short", "empty", "repeats"] {
        fs::set_permissions(folder.file(name), fs::Permissions::from_mode(0o700)).unwrap();
    }
    fs::set_permissions(folder.file("shared"), fs::Permissions::from_mode(0o644)).unwrap();
    for name in ["folder", "short", "empty", "repeats", "shared", "absent"] {
        let path = folder.file(name);
        let path = path.to_str().unwrap();
        let process = folder.start_with(&SERVE, &[("DAYBOOK_SIGNING_KEY_FILE", path)]);
        assert_refused(process, &[path]);
    }
    assert!(!folder.file("absent").exists());
}

#[test]
fn a_database_is_served_by_one_process_at_a_time() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    assert_refused(folder.start(&SERVE), &["daybook.db"]);
    client.post("/notifications", &json!({ "message": "still here" })).written(202);
    server.kill();
    // A process that is gone holds nothing.
    Server::start(&folder);
}

#[test]
fn the_signing_key_is_made_once_and_for_its_owner_only() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    let file = folder.file("daybook.key");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let key = fs::read(&file).unwrap();
    server.terminate();
    let server = Server::start(&folder);
    assert_eq!(fs::read(&file).unwrap(), key);
    client.at(&server.client()).get("/me").expect(200);
    server.terminate();

    // With another key the old tokens are worth nothing.
    let other = folder.file("other.key");
    fs::write(&other, "9f86d081884c7d659a2feaa0c55ad015").unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
    let variables = [("DAYBOOK_SIGNING_KEY_FILE", other.to_str().unwrap())];
    let server = Server::start_with(&folder, &variables);
    client.at(&server.client()).get("/me").problem(401);
}

/// Nothing listens there; but that an engine is elsewhere and open to all is told before.
#[test]
fn engines_with_passwords_that_everybody_knows_are_warned_of_and_refused_in_production() {
    let folder = Folder::new();
    for (name, url) in [
        ("AMQP_URL", "amqp://guest:guest@broker.invalid:5672"),
        ("REDIS_URL", "redis://cache.invalid:6379"),
        ("DATABASE_URL", "postgres://postgres:postgres@db.invalid/daybook"),
    ] {
        let variables = [(name, url), ("DAYBOOK_PRODUCTION", "true")];
        assert_refused(folder.start_with(&SERVE, &variables), &[name, "production"]);
    }
    let variables = [("REDIS_URL", "redis://cache.invalid:6379")];
    let server = Server::start_with(&folder, &variables);
    let log = server.terminate().stderr;
    let warned = log.lines().any(|line| line.contains("WARN") && line.contains("REDIS_URL"));
    assert!(warned, "{log}");
}

#[test]
fn migrating_prepares_a_database_and_may_be_repeated() {
    let folder = Folder::new();
    for _ in 0..2 {
        let ended = folder.start(&["migrate"]).ended();
        assert!(ended.status.success(), "{ended:?}");
    }
    Server::start(&folder).register("ada@example.com").get("/me").expect(200);
}

#[test]
fn it_says_where_it_listens_and_what_it_runs_on() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let stdout = server.stdout();
    let address = server.client().base().to_owned();
    assert!(stdout.contains(&format!("{address}/docs")), "{stdout}");
    assert!(stdout.to_lowercase().contains("sqlite"), "{stdout}");
}

#[test]
fn what_cannot_be_verified_ends_with_another_code_than_what_differs() {
    let folder = Folder::new();
    let ended = folder.start(&["verify"]).ended();
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(ended.stderr.contains("daybook.db"), "{ended:?}");
    assert!(!folder.engines().database().exists(), "a file was made");

    // A file without the schema is not given one.
    Connection::open(folder.engines().database()).unwrap().execute_batch("VACUUM").unwrap();
    let ended = folder.start(&["verify"]).ended();
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(ended.stderr.contains("daybook migrate"), "{ended:?}");
}
