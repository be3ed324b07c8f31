//! Tasks, from the request to the end.

use serde_json::{Value, json};

use crate::support::{Client, Folder, Server, eventually};

/// Waits until a task is in one of these states.
#[track_caller]
fn wait_for(client: &Client, id: &str, states: &[&str]) -> Value {
    eventually(&format!("the task is {states:?}"), || {
        let task = client.get(&format!("/tasks/{id}")).expect(200).json();
        states.contains(&task["state"].as_str().unwrap()).then_some(task)
    })
}

fn quick(folder: &Folder) -> Server {
    Server::start_with(folder, &[("DAYBOOK_TEXT_TASK_DURATION", "10ms")])
}

#[test]
fn a_line_of_text_is_processed() {
    let folder = Folder::new();
    let server = quick(&folder);
    let client = server.register("ada@example.com");
    let task = json!({ "kind": "text", "payload": "Water the plants" });
    let accepted = client.post("/tasks", &task).written(202);
    assert_eq!(accepted.members(), ["task_id"]);
    let id = accepted.text("task_id");
    let done = wait_for(&client, &id, &["done", "dead"]);
    assert_eq!((&done["state"], &done["attempts"]), (&json!("done"), &json!(1)), "{done}");
    assert_eq!((&done["id"], &done["kind"]), (&json!(id), &json!("text")));
    let log = server.log();
    assert!(log.contains("Processing: Water the plants") && log.contains("Done."), "{log}");
    client.post_nothing(&format!("/tasks/{id}/retry")).problem(409);
}

#[test]
fn a_task_that_nobody_can_do_is_dead_and_can_be_retried() {
    let folder = Folder::new();
    let server = quick(&folder);
    let client = server.register("ada@example.com");
    let task = json!({ "kind": "no_such_kind", "payload": { "any": ["thing"] } });
    let id = client.post("/tasks", &task).written(202).text("task_id");
    let dead = wait_for(&client, &id, &["done", "dead"]);
    assert_eq!(dead["state"], "dead", "{dead}");
    assert!(
        dead["last_error"].as_str().is_some_and(|reason| reason.contains("no_such_kind")),
        "{dead}"
    );

    let retried = client.post_nothing(&format!("/tasks/{id}/retry")).written(202);
    assert_eq!(retried.text("task_id"), id);
    let types: Vec<_> = client.events().iter().map(|event| event["type"].clone()).collect();
    assert_eq!(types, ["HolderRegistered", "TaskRequested", "TaskRetried"]);
    wait_for(&client, &id, &["dead"]);

    let (all, _) = client.pages("/tasks");
    assert_eq!(all.len(), 1);
    assert_eq!(client.pages("/tasks?state=dead").0.len(), 1);
    eventually("it is dead again", || client.pages("/tasks?state=done").0.is_empty().then_some(()));
}

#[test]
fn a_task_that_waits_or_is_dead_can_be_discarded() {
    let folder = Folder::new();
    let server = quick(&folder);
    let client = server.register("ada@example.com");
    let waits = json!({ "kind": "text", "payload": "never", "run_at": "2999-01-01T00:00:00Z" });
    let waits = client.post("/tasks", &waits).written(202).text("task_id");
    let dead = json!({ "kind": "no_such_kind", "payload": null });
    let dead = client.post("/tasks", &dead).written(202).text("task_id");
    wait_for(&client, &dead, &["dead"]);
    for id in [&waits, &dead] {
        let path = format!("/tasks/{id}/discard");
        server.register(&format!("{id}@example.com")).post_nothing(&path).problem(404);
        client.post_nothing(&path).written(204);
        wait_for(&client, id, &["discarded"]);
        let refused = client.post_nothing(&path).problem(409);
        assert!(refused.text("type").ends_with("task-not-discardable"), "{refused:?}");
        client.post_nothing(&format!("/tasks/{id}/retry")).problem(409);
    }
    assert_eq!(client.pages("/tasks?state=discarded").0.len(), 2);
    let done = client.post("/tasks", &json!({ "kind": "text", "payload": "x" })).written(202);
    let done = done.text("task_id");
    wait_for(&client, &done, &["done"]);
    client.post_nothing(&format!("/tasks/{done}/discard")).problem(409);
    let types: Vec<_> = client.events().iter().map(|event| event["type"].clone()).collect();
    assert_eq!(types.iter().filter(|name| *name == "TaskDiscarded").count(), 2);
}

#[test]
fn a_task_waits_for_its_time_across_a_restart() {
    let folder = Folder::new();
    let server = quick(&folder);
    let client = server.register("ada@example.com");
    let later = json!({ "kind": "text", "payload": "later", "run_at": "2999-01-01T00:00:00Z" });
    let later = client.post("/tasks", &later).written(202).text("task_id");
    let now = json!({ "kind": "text", "payload": "now", "run_at": "2000-01-01T00:00:00Z" });
    let now = client.post("/tasks", &now).written(202).text("task_id");
    wait_for(&client, &now, &["done"]);
    server.terminate();
    let server = quick(&folder);
    let client = client.at(&server.client());
    assert_eq!(wait_for(&client, &later, &["queued"])["attempts"], 0);
    assert_eq!(client.get(&format!("/tasks/{now}")).expect(200).text("state"), "done");
}

#[test]
fn a_mail_is_written_to_the_log_where_no_server_is_configured() {
    let folder = Folder::new();
    let server = quick(&folder);
    let client = server.register("ada@example.com");
    let mail = json!({ "to": "grace@example.com", "subject": "Hello", "text": "How are you?" });
    let task = json!({ "kind": "send_email", "payload": mail });
    let id = client.post("/tasks", &task).written(202).text("task_id");
    assert_eq!(wait_for(&client, &id, &["done", "dead"])["state"], "done");
    let unsendable = json!({ "kind": "send_email", "payload": { "to": "nobody" } });
    client.post("/tasks", &unsendable).problem(400);
}
