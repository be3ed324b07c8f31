//! Each URL switches one part on its own: all eight combinations work.

use serde_json::json;

use crate::support::{Client, Folder, eventually};

/// Starts a server on these engines and goes once through everything it does.
fn walk(folder: &Folder, [postgres, redis, rabbitmq]: [bool; 3], more: &[(&str, &str)]) {
    let file = format!("sqlite://{}", folder.file("own.db").display());
    let mut variables = vec![("DAYBOOK_TEXT_TASK_DURATION", "10ms")];
    // An empty setting is none.
    variables.extend((!postgres).then_some(("DATABASE_URL", file.as_str())));
    variables.extend((!redis).then_some(("REDIS_URL", "")));
    variables.extend((!rabbitmq).then_some(("AMQP_URL", "")));
    variables.extend(more);
    let (server, address) =
        folder.start_with(&["serve", "--listen", "127.0.0.1:0"], &variables).listening();
    let client = Client::new([address]);
    let email = format!("{postgres}-{redis}-{rabbitmq}-{}@example.com", more.len());
    let client = client.register(&email);
    let health = eventually("it is ready", || {
        let health = client.get("/health/ready").expect(200).json();
        (health["status"] == "ready").then_some(health)
    });
    let cache = match (redis, postgres) {
        (true, _) => "redis",
        (false, true) => "none",
        (false, false) => "in-process",
    };
    let expected = json!({
        "status": "ready",
        "database": if postgres { "postgres" } else { "sqlite" },
        "cache": cache,
        "bus": if redis { "redis" } else { "in-process" },
        "tasks": if rabbitmq { "rabbitmq" } else { "database" },
        "degraded": [],
        "reasons": [],
        "neighbours": [],
    });
    assert_eq!(health, expected);

    let events = client.listen("/events/stream", None);
    let news = client.listen("/notifications/stream", None);
    let account = client.open_account("Daily", "EUR", &json!("10"));
    assert_eq!(events.next().event, "AccountOpened");
    assert_eq!(client.balance(&account), "10.00");
    let line = json!({ "name": "Tea", "quantity": 1, "unit_price": "4.20" });
    let order = json!({ "currency_code": "EUR", "lines": [line] });
    let order = client.post("/orders", &order).written(201).text("order_id");
    client.get(&format!("/orders/{order}")).expect(200);
    let pay = json!({ "account_id": account });
    client.post(&format!("/orders/{order}/pay"), &pay).written(204);
    client.post(&format!("/orders/{order}/pay"), &pay).problem(409);
    assert_eq!(client.balance(&account), "5.80");
    assert_eq!(client.get(&format!("/orders/{order}")).expect(200).text("status"), "PAID");
    client.post("/notifications", &json!({ "message": "hello" })).written(202);
    assert_eq!(news.next().json()["message"], "hello");
    let task = client.post("/tasks", &json!({ "kind": "text", "payload": "work" })).written(202);
    let task = format!("/tasks/{}", task.text("task_id"));
    eventually("the task is done", || {
        (client.get(&task).expect(200).text("state") == "done").then_some(())
    });
    let ended = server.terminate();
    assert!(ended.status.success(), "{ended:?}");
    assert!(!ended.stderr.contains("ERROR"), "{}", ended.stderr);
}

#[test]
fn all_eight_combinations_of_engines_work() {
    let folder = Folder::new();
    for number in 0..8_u8 {
        let engines = [number & 1 != 0, number & 2 != 0, number & 4 != 0];
        walk(&folder, engines, &[]);
    }
}

#[test]
fn what_is_kept_near_is_never_behind_ones_own_writes() {
    let folder = Folder::new();
    walk(&folder, [true, true, false], &[("DAYBOOK_NEAR_CACHE", "true")]);
}

#[test]
fn quorum_queues_work() {
    let folder = Folder::new();
    let quorum = [("DAYBOOK_QUORUM_QUEUES", "true"), ("DAYBOOK_TASK_QUEUE", "quorum-tasks")];
    walk(&folder, [true, true, true], &quorum);
}
