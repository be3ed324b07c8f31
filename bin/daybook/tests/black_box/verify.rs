//! `daybook verify`: silent about what is right, and it finds what is not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::json;

use crate::support::{Ended, Folder, Server, eventually};

const TABLES: [&str; 8] =
    ["events", "outcomes", "checkpoints", "holders", "accounts", "postings", "orders", "tasks"];

/// A fault, and how the line begins that has to name it.
const FAULTS: [(&str, &str); 24] = [
    (
        "UPDATE events SET position = position + 1000 \
         WHERE position = (SELECT max(position) FROM events)",
        "positions: ",
    ),
    (
        "DROP INDEX events_by_stream; \
         UPDATE events SET version = 1 WHERE stream LIKE 'account-%' AND version = 2",
        "versions: account-",
    ),
    (
        "UPDATE events SET id = (SELECT id FROM events WHERE position = 1) WHERE position = 2",
        "event ids: ",
    ),
    (
        "UPDATE events SET version = 99 WHERE stream LIKE 'order-%' AND version = 2",
        "streams: order-",
    ),
    ("UPDATE events SET data = '{}' WHERE event_type = 'MoneyDeposited'", "streams: account-"),
    ("UPDATE events SET owner_id = NULL WHERE event_type = 'MoneyDeposited'", "streams: account-"),
    ("UPDATE accounts SET balance = balance + 1", "accounts: account-"),
    ("UPDATE accounts SET name = 'Other'", "accounts: account-"),
    ("DELETE FROM accounts", "accounts: account-"),
    ("UPDATE accounts SET id = (SELECT id FROM orders_kept LIMIT 1)", "accounts: the log has no"),
    ("UPDATE orders SET status = 'PENDING'", "orders: order-"),
    ("DELETE FROM orders", "orders: order-"),
    ("DELETE FROM holders", "holders: holder-"),
    ("UPDATE holders SET email_key = 'bob@example.com'", "holders: holder-"),
    ("UPDATE postings SET amount = amount + 1 WHERE ledger = 'account'", "balance: "),
    (
        "UPDATE postings SET amount = 2 * amount, balance = balance - 1",
        "postings: account at position ",
    ),
    ("DELETE FROM postings WHERE ledger = 'outside'", "postings: outside at position "),
    ("UPDATE postings SET position = position + 1000", "postings: the log has no event"),
    ("UPDATE outcomes SET position = position + 1000", "outcomes: "),
    ("UPDATE outcomes SET outcome = '{'", "outcomes: "),
    (
        "UPDATE outcomes SET position = \
         (SELECT min(position) FROM events WHERE event_type = 'OrderPaid')",
        "outcomes: ",
    ),
    ("UPDATE tasks SET owner_id = NULL", "tasks: task-"),
    ("UPDATE tasks SET kind = 'other'", "tasks: task-"),
    ("INSERT INTO checkpoints VALUES ('a test', 1000)", "checkpoints: a test "),
];

pub(crate) fn verify(folder: &Folder) -> Ended {
    folder.start(&["verify"]).ended()
}

#[track_caller]
pub(crate) fn assert_clean(folder: &Folder) {
    let ended = verify(folder);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(ended.stdout.ends_with(" events checked, 0 differences\n"), "{}", ended.stdout);
    assert_eq!(ended.stdout.lines().count(), 1, "{}", ended.stdout);
}

/// One of everything, and no server any more.
pub(crate) fn lived_in() -> Folder {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    let account = client.open_account("Everyday", "EUR", &json!("100.00"));
    let deposit = json!({ "amount": "12.50", "reference": "wages" });
    let deposits = format!("/accounts/{account}/deposits");
    client.ask("POST", &deposits).key("wages").json(&deposit).send().expect(201);
    let lines = json!([{ "name": "Tea", "quantity": 2, "unit_price": "4.20" }]);
    for then in ["pay", "cancel"] {
        let order = client.post("/orders", &json!({ "currency_code": "EUR", "lines": lines }));
        let order = order.json()["order_id"].as_str().unwrap().to_owned();
        client.post(&format!("/orders/{order}/pay"), &json!({ "account_id": account })).expect(204);
        if then == "cancel" {
            client.post_nothing(&format!("/orders/{order}/cancel")).expect(204);
        }
    }
    // Refused, and remembered as such.
    let too_much = json!({ "amount": "1000.00" });
    let withdrawals = format!("/accounts/{account}/withdrawals");
    client.ask("POST", &withdrawals).key("too-much").json(&too_much).send().problem(409);
    client.post("/notifications", &json!({ "message": "hello" })).written(202);
    let later = json!({ "kind": "text", "payload": "later", "run_at": "2099-01-01T00:00:00Z" });
    client.post("/tasks", &later).written(202);
    let once = json!({ "kind": "text", "payload": "once", "run_at": "2099-01-01T00:00:00Z",
        "unique_key": "once", "priority": "low" });
    let once = client.post("/tasks", &once).written(202).text("task_id");
    client.post_nothing(&format!("/tasks/{once}/discard")).written(204);
    let unknown = json!({ "kind": "no_such_kind", "payload": 1 });
    let dead = client.post("/tasks", &unknown).written(202).text("task_id");
    eventually("the task is dead", || {
        let task = client.get(&format!("/tasks/{dead}")).expect(200);
        (task.text("state") == "dead").then_some(())
    });
    client.post_nothing(&format!("/tasks/{dead}/retry")).written(202);
    server.terminate();
    folder
}

#[test]
fn every_planted_fault_is_found() {
    let folder = lived_in();
    assert_clean(&folder);
    for table in TABLES {
        folder.engines().execute(&format!("CREATE TABLE {table}_kept AS SELECT * FROM {table}"));
    }
    for (fault, named) in FAULTS {
        folder.engines().execute(fault);
        let ended = verify(&folder);
        assert_eq!(ended.status.code(), Some(1), "{fault}: {ended:?}");
        let found = ended.stdout.lines().any(|line| line.starts_with(named));
        assert!(found, "{fault}: {}", ended.stdout);
        for personal in ["ada@", "Everyday", "wages", "Tea", "too-much"] {
            assert!(!ended.stdout.contains(personal), "{personal} in {}", ended.stdout);
        }
        for table in TABLES {
            let restore =
                format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM {table}_kept");
            folder.engines().execute(&restore);
        }
        let index =
            "CREATE UNIQUE INDEX IF NOT EXISTS events_by_stream ON events (stream, version)";
        folder.engines().execute(index);
    }
    assert_clean(&folder);
}

#[test]
fn differences_are_counted_beyond_those_that_are_listed() {
    let folder = lived_in();
    folder.engines().execute("DELETE FROM orders");
    let ended = folder.start(&["verify", "--limit", "1"]).ended();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{}", ended.stdout);
    assert!(lines[0].starts_with("orders: order-"), "{}", lines[0]);
    assert_eq!(lines[1], "… and 1 more");
    assert!(lines[2].ends_with(" events checked, 2 differences"), "{}", lines[2]);
}

#[test]
fn a_database_that_is_written_to_is_verified_as_it_was_at_one_moment() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    let account = client.open_account("Everyday", "EUR", &json!("0"));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for number in 0..4 {
            let (client, account, done) = (client.apart(), &account, &done);
            scope.spawn(move || {
                let path = format!("/accounts/{account}/deposits");
                let mut count = 0;
                while !done.load(Ordering::Relaxed) {
                    count += 1;
                    let key = format!("{number}-{count}");
                    let body = json!({ "amount": "0.01" });
                    client.ask("POST", &path).key(&key).json(&body).send().expect(201);
                    client.post_nothing("/orders").expect(201);
                }
            });
        }
        for _ in 0..5 {
            let ended = verify(&folder);
            done.store(!ended.status.success(), Ordering::Relaxed);
            assert!(ended.status.success(), "{ended:?}");
        }
        done.store(true, Ordering::Relaxed);
    });
    server.terminate();
    assert_clean(&folder);
}

#[test]
fn tasks_that_nobody_begins_are_listed_and_are_no_difference() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    let task = json!({ "kind": "text", "payload": "x", "run_at": "2099-01-01T00:00:00Z" });
    let id = client.post("/tasks", &task).written(202).text("task_id");
    server.terminate();
    assert_clean(&folder);
    // Due for an hour, with nobody to do it.
    folder.engines().execute(
        "UPDATE tasks SET run_at = created_at - 3600000000, created_at = created_at - 3600000000",
    );
    let verified = verify(&folder);
    assert!(verified.status.success(), "{verified:?}");
    assert!(verified.stdout.contains(&format!("task {id} has been due since ")), "{verified:?}");
    assert!(verified.stdout.contains("1 tasks are overdue"), "{verified:?}");
    assert!(verified.stdout.contains(" 0 differences"), "{verified:?}");
}

/// As earlier versions wrote it, of a task that an operator put back and that had come by a broker.
#[test]
fn tasks_that_the_log_did_not_ask_for_are_counted_and_are_no_difference() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    let task = json!({ "kind": "text", "payload": "x", "run_at": "2099-01-01T00:00:00Z" });
    let task = client.post("/tasks", &task).written(202).text("task_id");
    client.post_nothing(&format!("/tasks/{task}/discard")).written(204);
    server.terminate();
    folder.engines().execute(&format!(
        "UPDATE events SET event_type = 'TaskRetried', data = '{{\"task_id\":\"{task}\"}}' \
         WHERE stream = 'task-{task}' AND version = 1"
    ));
    let ended = verify(&folder);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let line = "1 tasks were not asked for by the log, which is no difference";
    assert_eq!(ended.stdout.lines().next(), Some(line), "{ended:?}");
}
