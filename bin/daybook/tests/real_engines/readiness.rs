//! Engines that answer and can't be used: readiness says which and why, a metric counts it, and the
//! log has one line when it begins and one when it ends.

use std::process::Command;

use daybook_services::{Redis, ask_database};
use serde_json::{Value, json};

use crate::support::{Client, Folder, Process, eventually};

fn cli(server: &Redis, args: &[&str]) -> String {
    let ran = Command::new("redis-cli").args(["-u", &server.url()]).args(args).output().unwrap();
    String::from_utf8(ran.stdout).unwrap().trim_end().to_owned()
}

fn serve(folder: &Folder, variables: &[(&str, &str)]) -> (Process, Client) {
    let (process, address) =
        folder.start_with(&["serve", "--listen", "127.0.0.1:0"], variables).listening();
    (process, Client::new([address]))
}

fn health(client: &Client, status: &str) -> Value {
    eventually(&format!("it is {status}"), || {
        let health = client.get("/health/ready").expect(200).json();
        (health["status"] == status).then_some(health)
    })
}

/// What `/health/ready` says of a part that can't be used.
fn reason(health: &Value, part: &str) -> String {
    let reasons = health["reasons"].as_array().unwrap().iter();
    let said = reasons.clone().find(|said| said["part"] == part);
    let said = said.map_or("", |said| said["reason"].as_str().unwrap());
    let named = health["degraded"].as_array().unwrap().contains(&json!(part));
    assert_eq!(named, !said.is_empty(), "{health}");
    said.to_owned()
}

fn metric(client: &Client, name: &str) -> Option<u64> {
    let text = client.get("/metrics").expect(200).body;
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")))?;
    line.parse().ok()
}

fn up(client: &Client, part: &str) -> Option<u64> {
    metric(client, &format!(r#"daybook_engine_up{{part="{part}"}}"#))
}

/// It serves what it can in the meantime.
fn walk(client: &Client, email: &str) {
    let client = client.register(email);
    let account = client.open_account("Daily", "EUR", &json!("10"));
    assert_eq!(client.balance(&account), "10.00");
}

#[test]
fn redis_that_answers_and_can_not_be_used_is_told_in_words() {
    for (number, (break_it, mend_it, parts, words)) in [
        (
            &["ACL", "SETUSER", "default", "resetkeys", "~other:*"][..],
            &["ACL", "SETUSER", "default", "allkeys"][..],
            &["cache"][..],
            "does not permit",
        ),
        (
            &["ACL", "SETUSER", "default", "resetchannels", "&other"],
            &["ACL", "SETUSER", "default", "allchannels"],
            &["bus"],
            "does not permit",
        ),
        (
            &["ACL", "SETUSER", "default", "-@scripting"],
            &["ACL", "SETUSER", "default", "+@scripting"],
            &["cache"],
            "does not permit",
        ),
        (
            &["CONFIG", "SET", "maxmemory", "1"],
            &["CONFIG", "SET", "maxmemory", "0"],
            &["cache"],
            "no memory left",
        ),
        (
            &["REPLICAOF", "127.0.0.1", "1"],
            &["REPLICAOF", "NO", "ONE"],
            &["cache"],
            "takes no writes",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let folder = Folder::new();
        let redis = Redis::start().unwrap();
        let (process, client) = serve(&folder, &[("REDIS_URL", &redis.url()), ("AMQP_URL", "")]);
        health(&client, "ready");
        assert_eq!(cli(&redis, break_it), "OK", "{break_it:?}");
        for part in parts {
            // It may have closed the connection as well, for a moment.
            eventually(&format!("{break_it:?} is told of"), || {
                let said = reason(&health(&client, "degraded"), part);
                (said.contains(words) && said.contains("REDIS_URL")).then_some(())
            });
            eventually("the metric says so", || (up(&client, part) == Some(0)).then_some(()));
        }
        walk(&client, "ada@example.com");
        eventually("the log says why", || process.stderr().contains(words).then_some(()));
        std::thread::sleep(std::time::Duration::from_secs(6));
        assert_eq!(cli(&redis, mend_it), "OK", "{mend_it:?}");
        let said = health(&client, "ready");
        assert_eq!(said["reasons"], json!([]), "{said}");
        for part in ["cache", "bus"] {
            assert_eq!(up(&client, part), Some(1));
        }
        eventually("the log says that it is over", || {
            process.stderr().contains("it is back").then_some(())
        });
        walk(&client, "bob@example.com");
        let log = process.terminate().stderr;
        let at = format!(" Redis at 127.0.0.1:{}: ", redis.port());
        assert_eq!(log.matches(&at).count(), 2, "case {number}: {log}");
    }
}

#[test]
fn a_redis_without_a_database_of_that_number_is_told_in_words() {
    let folder = Folder::new();
    let url = format!("{}16", folder.engines().redis().url());
    let (process, client) = serve(&folder, &[("REDIS_URL", &url), ("AMQP_URL", "")]);
    let said = health(&client, "degraded");
    for part in ["cache", "bus"] {
        assert!(reason(&said, part).contains("DB index is out of range"), "{said}");
        assert_eq!(up(&client, part), Some(0));
    }
    walk(&client, "ada@example.com");
    assert!(process.stderr().contains("DB index is out of range"));
}

#[test]
fn a_database_that_takes_no_writes_is_told_in_words() {
    let folder = Folder::new();
    let (_process, client) = serve(&folder, &[("REDIS_URL", ""), ("AMQP_URL", "")]);
    let variables = folder.engines().variables();
    let url = &variables.iter().find(|(name, _)| name == "DATABASE_URL").unwrap().1;
    let name = url.rsplit_once('/').unwrap().1.split('?').next().unwrap();
    let read_only = |on: &str| {
        let set = format!(
            "SET TRANSACTION READ WRITE; \
             ALTER DATABASE {name} SET default_transaction_read_only = {on}; \
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = '{name}' AND pid <> pg_backend_pid()"
        );
        ask_database(url, &set).unwrap();
    };
    health(&client, "ready");
    let ada = client.register("ada@example.com");
    read_only("on");
    let said = eventually("it is not ready", || {
        let reply = client.get("/health/ready");
        (reply.status == 503).then(|| reply.problem(503))
    });
    assert!(said.body.contains("the database takes no writes"), "{}", said.body);
    eventually("the metric says so", || {
        (metric(&client, "daybook_database_writable") == Some(0)).then_some(())
    });
    ada.post("/accounts", &json!({ "name": "Daily", "currency_code": "EUR" })).problem(503);
    // A read by a session that was ended fails, once.
    eventually("reads go on", || (ada.get("/me").status == 200).then_some(()));
    ada.get("/me").expect(200);
    read_only("off");
    health(&client, "ready");
    eventually("it writes again", || {
        let reply = ada.post("/accounts", &json!({ "name": "Daily", "currency_code": "EUR" }));
        (reply.status == 201).then_some(())
    });
    assert_eq!(metric(&client, "daybook_database_writable"), Some(1));
}

#[test]
fn engines_that_are_not_there_are_told_of_once_whoever_asks() {
    let folder = Folder::new();
    let nowhere = [("REDIS_URL", "redis://127.0.0.1:1/"), ("AMQP_URL", "amqp://127.0.0.1:1/")];
    let (process, client) = serve(&folder, &nowhere);
    for _ in 0..20 {
        client.get("/health/ready").expect(200);
        std::thread::sleep(std::time::Duration::from_millis(250));
    }
    let log = process.terminate().stderr;
    // Redis, its two relays, the cache, the two connections to RabbitMQ, its relay and the worker.
    let warnings: Vec<_> = log.lines().filter(|line| line.contains(" WARN ")).collect();
    assert!(warnings.len() <= 8, "{log}");
    for (number, warning) in warnings.iter().enumerate() {
        let said = |line: &str| line.split_once(" WARN ").map(|(_, said)| said.to_owned());
        let again = warnings[..number].iter().any(|before| said(before) == said(warning));
        assert!(!again, "it is said again: {warning}");
    }
}
