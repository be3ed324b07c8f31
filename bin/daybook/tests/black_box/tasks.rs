//! Tasks, from the request to the end.

use serde_json::{Value, json};

use crate::engines::Engines;
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
    let mail = json!({ "to": "ada@example.com", "subject": "Hello", "text": "How are you?" });
    let task = json!({ "kind": "send_email", "payload": mail });
    let id = client.post("/tasks", &task).written(202).text("task_id");
    assert_eq!(wait_for(&client, &id, &["done", "dead"])["state"], "done");
    let unsendable = json!({ "kind": "send_email", "payload": { "to": "nobody" } });
    client.post("/tasks", &unsendable).problem(400);
}

#[test]
fn a_unique_task_is_there_once_while_it_is_unfinished_or_within_its_time() {
    let folder = Folder::new();
    let server = quick(&folder);
    let client = server.register("ada@example.com");
    let task = |key: &str, time: &str, run_at: &str| json!({ "kind": "text", "payload": "x", "unique_key": key, "unique_for": time, "run_at": run_at });
    let (soon, never) = ("2000-01-01T00:00:00Z", "2999-01-01T00:00:00Z");
    // Asked for by many at once, by way of every instance.
    let replies: Vec<_> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..8)
            .map(|_| {
                let client = client.apart();
                scope
                    .spawn(move || client.post("/tasks", &task("digest", "1h", never)).written(202))
            })
            .collect();
        asking.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    let ids: std::collections::BTreeSet<_> =
        replies.iter().map(|reply| reply.text("task_id")).collect();
    assert_eq!(ids.len(), 1);
    let new = replies.iter().filter(|reply| reply.members() == ["task_id"]).count();
    let told = replies.iter().filter(|reply| reply.json()["duplicate"] == true).count();
    assert_eq!((new, told), (1, 7));
    assert_eq!(client.pages("/tasks").0.len(), 1);
    // Others, and other keys, are not concerned; nor is one that is not unique.
    server.register("grace@example.com").post("/tasks", &task("digest", "1h", never)).written(202);
    let other = client.post("/tasks", &task("other", "1h", soon)).written(202);
    assert_eq!(other.members(), ["task_id"]);
    // Done, and its time is not over.
    let other = other.text("task_id");
    wait_for(&client, &other, &["done"]);
    let again = client.post("/tasks", &task("other", "1s", soon)).written(202);
    assert_eq!((again.text("task_id"), &again.json()["duplicate"]), (other, &json!(true)));
    // Without a time another is done as soon as the first is.
    let brief = client.post("/tasks", &task("brief", "0s", soon)).written(202).text("task_id");
    wait_for(&client, &brief, &["done"]);
    let next = client.post("/tasks", &task("brief", "0s", soon)).written(202);
    assert_ne!(next.text("task_id"), brief);
    // One that was discarded is as if it had never been.
    let [digest] = ids.iter().collect::<Vec<_>>()[..] else { panic!("{ids:?}") };
    client.post_nothing(&format!("/tasks/{digest}/discard")).written(204);
    let anew = client.post("/tasks", &task("digest", "1h", never)).written(202);
    assert_eq!(anew.members(), ["task_id"]);
    for (key, time) in [("", "1h"), ("with space", "1h"), ("k", "soon"), ("k", "367days")] {
        client.post("/tasks", &task(key, time, soon)).problem(400);
    }
    let timed = json!({ "kind": "text", "payload": "x", "unique_for": "1h" });
    client.post("/tasks", &timed).problem(400);
}

#[test]
fn a_dead_unique_task_is_not_put_back_beside_another() {
    let folder = Folder::new();
    let server = quick(&folder);
    let client = server.register("ada@example.com");
    let task = |run_at: &str| json!({ "kind": "no_such_kind", "payload": null, "unique_key": "digest", "run_at": run_at });
    let (soon, never) = ("2000-01-01T00:00:00Z", "2999-01-01T00:00:00Z");
    let dead = client.post("/tasks", &task(soon)).written(202).text("task_id");
    wait_for(&client, &dead, &["dead"]);
    let other = client.post("/tasks", &task(never)).written(202);
    assert_eq!(other.members(), ["task_id"]);
    let other = other.text("task_id");
    let retry = format!("/tasks/{dead}/retry");
    let refused = client.post_nothing(&retry).problem(409);
    assert!(refused.text("type").ends_with("task-duplicated"), "{refused:?}");
    client.post_nothing(&format!("/tasks/{other}/discard")).written(204);
    client.post_nothing(&retry).written(202);
    // It is the latest now: whoever asks for another is told of it, until it is dead again.
    wait_for(&client, &dead, &["dead"]);
    let next = client.post("/tasks", &task(never)).written(202);
    assert_eq!(next.members(), ["task_id"]);
    client.post_nothing(&retry).problem(409);
}

#[test]
fn a_task_shows_its_priority_and_how_its_attempts_failed() {
    let folder = Folder::new();
    let server = quick(&folder);
    let client = server.register("ada@example.com");
    let task = json!({ "kind": "no_such_kind", "payload": null, "priority": "high" });
    let id = client.post("/tasks", &task).written(202).text("task_id");
    let dead = wait_for(&client, &id, &["dead"]);
    assert_eq!(dead["priority"], "high");
    let history = dead["history"].as_array().unwrap();
    assert_eq!((history.len(), &history[0]["attempt"]), (1, &json!(1)));
    assert_eq!(history[0]["reason"], dead["last_error"]);
    client.post_nothing(&format!("/tasks/{id}/retry")).written(202);
    eventually("it has died twice", || {
        let task = client.get(&format!("/tasks/{id}")).expect(200).json();
        (task["history"].as_array().unwrap().len() == 2).then_some(())
    });
    let low = json!({ "kind": "text", "payload": "x", "priority": "low" });
    let low = client.post("/tasks", &low).written(202).text("task_id");
    assert_eq!(wait_for(&client, &low, &["done"])["priority"], "low");
    let wrong = json!({ "kind": "text", "payload": "x", "priority": "urgent" });
    client.post("/tasks", &wrong).problem(400);
}

#[test]
fn of_a_kind_with_a_limit_no_more_are_done_at_a_time_and_others_go_on() {
    let folder = Folder::new();
    let variables = [
        ("DAYBOOK_TASK_LIMITS", "text=1"),
        ("DAYBOOK_TASKS", "4"),
        ("DAYBOOK_TEXT_TASK_DURATION", "1h"),
        ("DAYBOOK_DRAIN", "1ms"),
    ];
    let server = Server::start_with(&folder, &variables);
    let client = server.register("ada@example.com");
    let processes = Engines::SERVERS + Engines::WORKERS;
    let text = json!({ "kind": "text", "payload": "Water the plants" });
    for _ in 0..12 * processes {
        client.post("/tasks", &text).written(202);
    }
    let running = || client.pages("/tasks?state=running").0.len();
    eventually("each process has one", || (running() == processes).then_some(()));
    let mail = json!({ "kind": "send_email", "payload": { "to": "ada@example.com" } });
    let mail = client.post("/tasks", &mail).written(202).text("task_id");
    wait_for(&client, &mail, &["done"]);
    assert_eq!(running(), processes);
}
