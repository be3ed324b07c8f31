//! Redis, started and hurt.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod processes;
mod wire;

use std::io;

use daybook_services::Redis;

use crate::processes::{processes_of, runs, until};
use crate::wire::{SOON, WHILE, ask};

fn command(redis: &Redis, line: &str) -> io::Result<String> {
    let answer = ask(redis.port(), format!("{line}\r\n").as_bytes(), SOON)?;
    Ok(String::from_utf8(answer).unwrap())
}

#[test]
fn answers() {
    let redis = Redis::start().unwrap();
    assert_eq!(redis.url(), format!("redis://127.0.0.1:{}/", redis.port()));
    assert_eq!(command(&redis, "PING").unwrap(), "+PONG\r\n");
}

#[test]
fn two_keep_apart() {
    let (one, other) = (Redis::start().unwrap(), Redis::start().unwrap());
    assert_ne!(one.port(), other.port());
    assert_ne!(one.folder(), other.folder());
    command(&one, "SET key value").unwrap();
    assert_eq!(command(&other, "GET key").unwrap(), "$-1\r\n");
}

#[test]
fn more_arguments_are_handed_on() {
    let redis = Redis::start_with(&["--requirepass", "secret"]).unwrap();
    assert!(command(&redis, "PING").unwrap().starts_with("-NOAUTH"));
    assert_eq!(command(&redis, "AUTH secret").unwrap(), "+OK\r\n");
}

#[test]
fn an_argument_that_is_refused_is_told() {
    let error = Redis::start_with(&["--no-such-setting", "1"]).err().unwrap().to_string();
    assert!(
        error.starts_with("Redis ended at once") && error.contains("no-such-setting"),
        "{error}"
    );
}

#[test]
fn killed_it_refuses_connections_and_comes_back_empty() {
    let redis = Redis::start().unwrap();
    command(&redis, "SET key value").unwrap();
    redis.kill().unwrap();
    assert_eq!(redis.pid().unwrap(), None);
    assert_eq!(command(&redis, "PING").unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    redis.restart().unwrap();
    assert_eq!(command(&redis, "GET key").unwrap(), "$-1\r\n");
}

#[test]
fn restarted_it_is_another_process() {
    let redis = Redis::start().unwrap();
    let before = redis.pid().unwrap().unwrap();
    redis.restart().unwrap();
    assert_ne!(redis.pid().unwrap(), Some(before));
    assert_eq!(command(&redis, "PING").unwrap(), "+PONG\r\n");
}

#[test]
fn paused_it_does_not_answer() {
    let redis = Redis::start().unwrap();
    redis.pause().unwrap();
    assert!(ask(redis.port(), b"PING\r\n", WHILE).is_err());
    redis.resume().unwrap();
    assert_eq!(command(&redis, "PING").unwrap(), "+PONG\r\n");
}

#[test]
fn nothing_is_left_of_it() {
    let redis = Redis::start().unwrap();
    let (pid, folder) = (redis.pid().unwrap().unwrap(), redis.folder().to_path_buf());
    assert!(runs(pid) && folder.exists());
    drop(redis);
    assert!(!runs(pid) && !folder.exists());
    until("its processes end", || processes_of(&folder).is_empty());
}

#[test]
fn ends_also_while_it_is_paused() {
    let redis = Redis::start().unwrap();
    let (pid, folder) = (redis.pid().unwrap().unwrap(), redis.folder().to_path_buf());
    redis.pause().unwrap();
    drop(redis);
    assert!(!runs(pid) && !folder.exists());
}

#[test]
fn a_cluster_has_all_slots_also_after_a_restart() {
    let redis = Redis::start_cluster().unwrap();
    assert_eq!(command(&redis, "SET key value").unwrap(), "+OK\r\n");
    redis.restart().unwrap();
    until("the cluster is ready", || {
        command(&redis, "SET key value").is_ok_and(|it| it == "+OK\r\n")
    });
    assert!(command(&redis, "CLUSTER INFO").unwrap().contains("cluster_slots_assigned:16384"));
}
