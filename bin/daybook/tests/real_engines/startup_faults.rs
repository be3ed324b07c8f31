//! What keeps it from starting, or from working whole, is said in one line that names the setting.

use std::fs;
use std::net::TcpListener;

use daybook_services::{Postgres, RabbitMq, Redis};
use serde_json::json;

use crate::support::{Client, Folder, Process, eventually};

const SERVE: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];
const SECRET: &str = "s3cret-word";

/// An address where nothing listens.
fn nowhere() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// It ends by itself, with one line that names what is wrong and shows no secret.
#[track_caller]
fn assert_refused(process: Process, named: &[&str]) {
    let ended = process.ended();
    assert!(ended.status.code().is_some_and(|code| code != 0), "{ended:?}");
    let last = ended.stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("daybook: "), "{}", ended.stderr);
    for name in named {
        assert!(last.contains(name), "{name} is not in: {}", ended.stderr);
    }
    assert!(!ended.stderr.contains(SECRET), "{}", ended.stderr);
    assert!(!ended.stdout.contains("http://"), "{}", ended.stdout);
}

/// The same, and that line is all it says.
#[track_caller]
fn assert_refused_at_once(process: Process, named: &[&str]) {
    let ended = process.ended();
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    assert!(ended.status.code().is_some_and(|code| code != 0), "{ended:?}");
    for name in named {
        assert!(ended.stderr.contains(name), "{name} is not in: {}", ended.stderr);
    }
    assert!(!ended.stderr.contains(SECRET), "{}", ended.stderr);
}

#[test]
fn a_url_that_can_not_be_right_is_refused() {
    let folder = Folder::new();
    for (name, url) in [
        ("DATABASE_URL", "mysql://root:s3cret-word@localhost/daybook"),
        ("DATABASE_URL", "postgres://user:s3cret-word@localhost:port/daybook"),
        ("REDIS_URL", "http://user:s3cret-word@localhost"),
        ("REDIS_URL", "redis://user:s3cret-word@localhost:port"),
        ("AMQP_URL", "http://user:s3cret-word@localhost"),
        ("AMQP_URL", "amqp://user:s3cret-word@localhost:port"),
    ] {
        assert_refused_at_once(folder.start_with(&SERVE, &[(name, url)]), &[name]);
    }
    let no_redis = [("REDIS_URL", ""), ("REDIS_ADDR", "localhost")];
    assert_refused_at_once(folder.start_with(&SERVE, &no_redis), &["REDIS_ADDR"]);
    let file = folder.file("url");
    fs::write(&file, format!("redis://:{SECRET}@localhost")).unwrap();
    let twice = [("REDIS_URL_FILE", file.to_str().unwrap())];
    assert_refused_at_once(folder.start_with(&SERVE, &twice), &["REDIS_URL", "REDIS_URL_FILE"]);
}

#[test]
fn a_database_that_can_not_be_used_is_refused() {
    let folder = Folder::new();
    let server = Postgres::start_with_password(SECRET).unwrap();
    let right = server.url();
    let refuse = |url: &str, named: &[&str]| {
        assert_refused_at_once(folder.start_with(&SERVE, &[("DATABASE_URL", url)]), named);
        assert_refused_at_once(folder.start_with(&["worker"], &[("DATABASE_URL", url)]), named);
    };
    let there = format!("127.0.0.1:{}", server.port());
    refuse(&right.replace(SECRET, "s3cret-word-wrong"), &["DATABASE_URL", &there, "password"]);
    let (server_url, _) = right.rsplit_once('/').unwrap();
    refuse(
        &format!("{server_url}/no_such_database"),
        &["DATABASE_URL", "no_such_database", "create it"],
    );
    let nowhere = nowhere();
    let url = format!("postgres://postgres:{SECRET}@{nowhere}/daybook");
    refuse(&url, &["DATABASE_URL", &nowhere, "reached"]);
    // A server that wants no encryption, and a client that does.
    refuse(&format!("{right}?sslmode=require"), &["DATABASE_URL", "encrypt"]);
    // The right one, from a file.
    let file = folder.file("url");
    fs::write(&file, format!("{right}\n")).unwrap();
    let variables = [("DATABASE_URL", ""), ("DATABASE_URL_FILE", file.to_str().unwrap())];
    let migrated = folder.start_with(&["migrate"], &variables).ended();
    assert!(migrated.status.success(), "{migrated:?}");
}

#[test]
fn another_schema_is_refused() {
    let folder = Folder::new();
    let check = [("DAYBOOK_MIGRATE", "false")];
    assert_refused_at_once(folder.start_with(&SERVE, &check), &["DATABASE_URL", "daybook migrate"]);
    let migrated = folder.start(&["migrate"]).ended();
    assert!(migrated.status.success(), "{migrated:?}");
    let (process, address) = folder.start_with(&SERVE, &check).listening();
    Client::new([address]).register("ada@example.com").get("/me").expect(200);
    drop(process);
    let insert = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_future', 0)";
    folder.engines().execute(insert);
    for args in [&SERVE[..], &["worker"], &["migrate"]] {
        assert_refused_at_once(folder.start(args), &["DATABASE_URL", "m9999_future"]);
    }
}

/// It serves all the same, says so, and what it says names the setting and no secret.
#[track_caller]
fn assert_degraded(folder: &Folder, variables: &[(&str, &str)], parts: &[&str], named: &[&str]) {
    let (process, address) = folder.start_with(&SERVE, variables).listening();
    let client = Client::new([address]).register("ada@example.com");
    let account = client.open_account("Daily", "EUR", &json!("10"));
    client.post(&format!("/accounts/{account}/deposits"), &json!({ "amount": "1" })).written(201);
    assert_eq!(client.balance(&account), "11.00");
    let health = eventually("it is degraded", || {
        let health = client.get("/health/ready").expect(200).json();
        (health["status"] == "degraded").then_some(health)
    });
    assert_eq!(health["degraded"], json!(parts), "{health}");
    for (part, said) in parts.iter().zip(health["reasons"].as_array().unwrap()) {
        assert_eq!(said["part"], *part, "{health}");
        let reason = said["reason"].as_str().unwrap();
        assert!(named.iter().all(|name| reason.contains(name)), "{health}");
        assert!(!reason.contains(SECRET), "{health}");
    }
    let log = eventually("the log says why", || {
        let log = process.stderr();
        named.iter().all(|name| log.contains(name)).then_some(log)
    });
    assert!(!log.contains(SECRET), "{log}");
    let ended = process.terminate();
    assert!(ended.status.success(), "{ended:?}");
    folder.engines().execute("TRUNCATE holders");
}

#[test]
fn without_redis_or_rabbitmq_it_serves_and_says_so() {
    let folder = Folder::new();
    let nowhere = nowhere();
    let redis = format!("redis://:{SECRET}@{nowhere}/");
    let parts = ["cache", "bus"];
    assert_degraded(&folder, &[("REDIS_URL", &redis)], &parts, &["REDIS_URL", &nowhere]);
    let guarded = Redis::start_with(&["--requirepass", "another"]).unwrap();
    let wrong = guarded.url().replace("redis://", &format!("redis://:{SECRET}@"));
    assert_degraded(&folder, &[("REDIS_URL", &wrong)], &parts, &["REDIS_URL", "password"]);
    let rabbit = format!("amqp://guest:{SECRET}@{nowhere}/");
    assert_degraded(&folder, &[("AMQP_URL", &rabbit)], &["tasks"], &["AMQP_URL", "reached"]);
}

#[test]
fn a_worker_waits_for_rabbitmq_as_long_as_it_is_told() {
    let folder = Folder::new();
    let nowhere = nowhere();
    let url = format!("amqp://guest:{SECRET}@{nowhere}/");
    let few = [("AMQP_URL", &*url), ("DAYBOOK_AMQP_TRIES", "3"), ("DAYBOOK_AMQP_PAUSE", "50ms")];
    for args in [&["worker"][..], &["enqueue"]] {
        assert_refused(folder.start_with(args, &few), &["AMQP_URL", "reached", "3 tries"]);
    }
    // One that comes up in time is waited for.
    let broker = RabbitMq::start().unwrap();
    broker.stop().unwrap();
    let url = broker.url();
    let worker = folder.start_with(
        &["worker"],
        &[("AMQP_URL", &*url), ("DAYBOOK_AMQP_PAUSE", "1s"), ("DAYBOOK_AMQP_TRIES", "60")],
    );
    eventually("it tries", || worker.stderr().contains("AMQP_URL").then_some(()));
    broker.restart().unwrap();
    eventually("it works", || worker.stdout().contains("Working on tasks").then_some(()));
    assert!(worker.terminate().status.success());
    // A password that is refused will not be taken the next time either.
    let wrong = url.replace("guest:guest", &format!("guest:{SECRET}"));
    let refused = folder.start_with(&["worker"], &[("AMQP_URL", &*wrong)]);
    assert_refused(refused, &["AMQP_URL", "password"]);
}

#[test]
fn what_was_due_is_delivered_when_redis_and_rabbitmq_return() {
    let folder = Folder::new();
    let (redis, broker) = (Redis::start().unwrap(), RabbitMq::start().unwrap());
    redis.stop().unwrap();
    broker.stop().unwrap();
    let (redis_url, amqp_url) = (redis.url(), broker.url());
    let variables = [
        ("REDIS_URL", &*redis_url),
        ("AMQP_URL", &*amqp_url),
        ("DAYBOOK_TEXT_TASK_DURATION", "10ms"),
    ];
    let (server, address) = folder.start_with(&SERVE, &variables).listening();
    let client = Client::new([address]).register("ada@example.com");
    let task = client.post("/tasks", &json!({ "kind": "text", "payload": "late" })).written(202);
    client.post("/notifications", &json!({ "message": "late news" })).written(202);
    redis.restart().unwrap();
    let subscriber = folder.start_with(&["subscribe"], &[("REDIS_URL", &*redis_url)]);
    broker.restart().unwrap();
    let path = format!("/tasks/{}", task.text("task_id"));
    eventually("the task is done", || {
        (client.get(&path).expect(200).text("state") == "done").then_some(())
    });
    eventually("it is whole again", || {
        (client.get("/health/ready").expect(200).text("status") == "ready").then_some(())
    });
    client.post("/notifications", &json!({ "message": "fresh news" })).written(202);
    eventually("what is published now is heard", || {
        subscriber.stdout().contains("Received message: fresh news").then_some(())
    });
    assert!(server.terminate().status.success());
}
