//! A server ends with the process that owns it, however that ends.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod processes;

use std::env;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use daybook_services::{Postgres, RabbitMq, Redis};

use crate::processes::{processes_of, runs, until};

const OWNER: &str = "DAYBOOK_SERVICES_OWNER";
const PREFIX: &str = "server: ";

#[test]
#[ignore = "a process for the other tests here, which they kill"]
fn owner() {
    let paused = env::var(OWNER).unwrap() == "paused";
    let postgres = Postgres::start().unwrap();
    let redis = Redis::start().unwrap();
    let rabbitmq = RabbitMq::start().unwrap();
    for (pid, folder) in [
        (postgres.pid(), postgres.folder()),
        (redis.pid(), redis.folder()),
        (rabbitmq.pid(), rabbitmq.folder()),
    ] {
        println!("\n{PREFIX}{} {}", pid.unwrap().unwrap(), folder.display());
    }
    if paused {
        postgres.pause().unwrap();
        redis.pause().unwrap();
        rabbitmq.pause().unwrap();
    }
    println!("\n{PREFIX}ready");
    loop {
        thread::park();
    }
}

fn servers_end_with_a_killed_owner(state: &str) {
    let mut owner = Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "owner", "--nocapture"])
        .env(OWNER, state)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap())
        .lines()
        .filter_map(|line| line.unwrap().strip_prefix(PREFIX).map(str::to_owned));
    let servers: Vec<(u32, PathBuf)> = lines
        .by_ref()
        .take_while(|line| line != "ready")
        .map(|line| {
            let (pid, folder) = line.split_once(' ').unwrap();
            (pid.parse().unwrap(), folder.into())
        })
        .collect();
    assert_eq!(servers.len(), 3);
    for (pid, folder) in &servers {
        assert!(runs(*pid) && folder.exists());
    }

    // On Unix this is `SIGKILL`.
    owner.kill().unwrap();
    owner.wait().unwrap();
    // Nothing that was started holds the owner's output, which would keep a test runner waiting.
    assert_eq!(lines.next(), None);
    for (pid, folder) in &servers {
        until("the server ends", || !runs(*pid));
        until("its folder is removed", || !folder.exists());
        until("its processes end", || processes_of(folder).is_empty());
    }
}

#[test]
fn servers_end_with_an_owner_that_is_killed() {
    servers_end_with_a_killed_owner("running");
}

#[test]
fn paused_servers_end_with_an_owner_that_is_killed() {
    servers_end_with_a_killed_owner("paused");
}
