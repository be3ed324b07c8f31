//! PostgreSQL, started and hurt.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod processes;
mod wire;

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

use daybook_services::{Postgres, create_database_on, test_postgres_url};

use crate::processes::{processes_of, runs, until};
use crate::wire::{SOON, WHILE, ask};

/// What a statement answers, or what psql says about it.
fn query(url: &str, statement: &str) -> Result<String, String> {
    let output = Command::new("psql")
        .args(["-X", "-w", "-A", "-t", "-d", url, "-c", statement])
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap().trim().to_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[test]
fn answers_and_is_as_durable_as_in_production() {
    let postgres = Postgres::start().unwrap();
    let url = postgres.url();
    assert_eq!(url, format!("postgres://postgres@127.0.0.1:{}/postgres", postgres.port()));
    for (setting, value) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("max_connections", "200"),
        ("server_encoding", "UTF8"),
    ] {
        assert_eq!(query(&url, &format!("SHOW {setting}")).as_deref(), Ok(value), "{setting}");
    }
}

#[test]
fn one_that_is_demoted_takes_no_writes_until_it_is_promoted() {
    let postgres = Postgres::start().unwrap();
    let url = postgres.url();
    query(&url, "CREATE TABLE kept (number int); INSERT INTO kept VALUES (7)").unwrap();
    postgres.demote().unwrap();
    assert_eq!(query(&url, "SELECT number FROM kept").as_deref(), Ok("7"));
    let refused = query(&url, "INSERT INTO kept VALUES (8)").unwrap_err();
    assert!(refused.contains("read-only transaction"), "{refused}");
    assert_eq!(query(&url, "SELECT pg_promote()").as_deref(), Ok("t"));
    query(&url, "INSERT INTO kept VALUES (8)").unwrap();
    postgres.restart().unwrap();
    assert_eq!(query(&url, "SELECT count(*) FROM kept").as_deref(), Ok("2"));
}

#[test]
fn settings_are_handed_on() {
    let postgres = Postgres::start_with(&[("max_connections", "10"), ("work_mem", "1MB")]).unwrap();
    assert_eq!(query(&postgres.url(), "SHOW max_connections").as_deref(), Ok("10"));
    assert_eq!(query(&postgres.url(), "SHOW work_mem").as_deref(), Ok("1MB"));
}

#[test]
fn a_setting_that_is_refused_is_told() {
    let error = Postgres::start_with(&[("no_such_setting", "1")]).err().unwrap().to_string();
    assert!(
        error.starts_with("PostgreSQL ended at once") && error.contains("no_such_setting"),
        "{error}"
    );
}

#[test]
fn a_password_is_asked_for() {
    let postgres = Postgres::start_with_password("s/cret %").unwrap();
    let url = postgres.url();
    assert_eq!(query(&url, "SELECT 1").as_deref(), Ok("1"));
    let wrong = query(&url.replace("s%2Fcret", "secret"), "SELECT 1").unwrap_err();
    assert!(wrong.contains("password authentication failed"), "{wrong}");
    assert_eq!(query(&postgres.create_database("mine").unwrap(), "SELECT 1").as_deref(), Ok("1"));
}

#[test]
fn databases_are_created_many_at_once() {
    let postgres = Postgres::start().unwrap();
    thread::scope(|scope| {
        for number in 0..6 {
            let postgres = &postgres;
            scope.spawn(move || {
                let name = format!("Mine \"{number}\"");
                let url = postgres.create_database(&name).unwrap();
                assert_eq!(query(&url, "SELECT current_database()"), Ok(name));
            });
        }
    });
    let again = postgres.create_database("Mine \"0\"").unwrap_err().to_string();
    assert!(again.contains("already exists"), "{again}");
}

#[test]
fn the_shared_one_takes_databases() {
    let url = test_postgres_url().unwrap();
    assert_eq!(test_postgres_url().unwrap(), url);
    // A server that outlives this process keeps the database.
    let name = format!("services_{}", std::process::id());
    let mine = create_database_on(&url, &name).unwrap();
    assert_eq!(query(&mine, "SELECT current_database()").as_deref(), Ok(name.as_str()));
    query(&url, &format!("DROP DATABASE {name}")).unwrap();
}

#[test]
fn what_was_committed_survives_a_kill() {
    let postgres = Postgres::start().unwrap();
    query(&postgres.url(), "CREATE TABLE kept AS SELECT 7 AS number").unwrap();
    // A backend that is busy must end as well.
    let busy = Command::new("psql")
        .args(["-X", "-d", &postgres.url(), "-c", "SELECT pg_sleep(600)"])
        .stderr(Stdio::null())
        .spawn();
    let mut busy = busy.unwrap();
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    until("a backend is busy", || query(&postgres.url(), sleeping).as_deref() == Ok("1"));
    postgres.kill().unwrap();
    assert!(!busy.wait().unwrap().success());
    assert_eq!(postgres.pid().unwrap(), None);
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, postgres.port())).is_err());
    postgres.restart().unwrap();
    assert_eq!(query(&postgres.url(), "SELECT number FROM kept").as_deref(), Ok("7"));
}

#[test]
fn restarted_it_has_the_same_port_and_data() {
    let postgres = Postgres::start().unwrap();
    query(&postgres.url(), "CREATE TABLE kept AS SELECT 7 AS number").unwrap();
    postgres.stop().unwrap();
    assert_eq!(postgres.pid().unwrap(), None);
    postgres.restart().unwrap();
    postgres.restart().unwrap();
    assert_eq!(query(&postgres.url(), "SELECT number FROM kept").as_deref(), Ok("7"));
}

#[test]
fn paused_it_does_not_answer() {
    // The request for encryption, which is answered with one letter.
    const QUESTION: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
    let postgres = Postgres::start().unwrap();
    postgres.pause().unwrap();
    assert!(ask(postgres.port(), &QUESTION, WHILE).is_err());
    postgres.resume().unwrap();
    assert_eq!(ask(postgres.port(), &QUESTION, SOON).unwrap(), b"N");
}

#[test]
fn killed_it_leaves_no_shared_memory() {
    let postgres = Postgres::start().unwrap();
    let file = fs::read_to_string(postgres.folder().join("data/postmaster.pid")).unwrap();
    let id = file.lines().nth(6).unwrap().split_whitespace().nth(1).unwrap().to_owned();
    let exists = || {
        let output = Command::new("ipcs").arg("-m").output().unwrap();
        let segments = String::from_utf8(output.stdout).unwrap();
        segments.lines().any(|line| line.split_whitespace().nth(1) == Some(&id))
    };
    assert!(exists());
    postgres.kill().unwrap();
    drop(postgres);
    assert!(!exists());
}

#[test]
fn nothing_is_left_of_it_even_while_it_is_paused() {
    for paused in [false, true] {
        let postgres = Postgres::start().unwrap();
        let (pid, folder) = (postgres.pid().unwrap().unwrap(), postgres.folder().to_path_buf());
        assert!(runs(pid) && folder.exists());
        if paused {
            postgres.pause().unwrap();
        }
        drop(postgres);
        assert!(!runs(pid) && !folder.exists());
        until("its processes end", || processes_of(&folder).is_empty());
    }
}
