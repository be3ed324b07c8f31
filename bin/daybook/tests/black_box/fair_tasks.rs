//! One holder's many tasks, and another's few.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{Client, Folder, Server, eventually};

const MANY: usize = 200;
const FEW: usize = 10;

fn ask(client: &Client, count: usize, priority: &str) {
    for number in 0..count {
        let task =
            json!({ "kind": "text", "payload": format!("task {number}"), "priority": priority });
        client.post("/tasks", &task).written(202);
    }
}

fn tasks(client: &Client) -> Vec<Value> {
    client.pages("/tasks?limit=1000").0
}

fn unfinished(client: &Client) -> usize {
    let is_done = |task: &&Value| matches!(task["state"].as_str(), Some("queued" | "running"));
    tasks(client).iter().filter(is_done).count()
}

#[test]
fn who_asks_for_many_keeps_nobody_waiting() {
    let folder = Folder::new();
    let server = Server::start_with(
        &folder,
        &[("DAYBOOK_TASKS", "2"), ("DAYBOOK_TEXT_TASK_DURATION", "300ms")],
    );
    let (eve, ada) = (server.register("eve@example.com"), server.register("ada@example.com"));
    ask(&eve, MANY, "high");
    let urgent = tasks(&eve).iter().filter(|task| task["priority"] == "high").count();
    assert!((1..MANY / 2).contains(&urgent), "{urgent} are urgent");
    let began = Instant::now();
    ask(&ada, FEW, "normal");
    eventually("the few are done", || (unfinished(&ada) == 0).then_some(()));
    let (took, left) = (began.elapsed(), unfinished(&eve));
    assert!(left > MANY / 4, "{left} of the many were left when the few were done, after {took:?}");
}
