//! The small programs that publish, subscribe and enqueue, with the lines they print.

use rustix::process::Signal;

use crate::support::{Ended, Folder, Process, Server, eventually};

const QUICK: [(&str, &str); 1] = [("DAYBOOK_TEXT_TASK_DURATION", "10ms")];

/// Runs a program to its end, which is a good one.
#[track_caller]
fn run(folder: &Folder, args: &[&str]) -> Ended {
    let ended = folder.start(args).ended();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    ended
}

fn numbered(line: impl Fn(u32) -> String) -> Vec<String> {
    (1..=5).map(line).collect()
}

fn task(n: u32) -> String {
    format!("Task #{n}: Send email to user{n}@example.com")
}

/// Waits until the log says of every task that it was begun and done.
#[track_caller]
fn wait_for_tasks(log: impl Fn() -> String) {
    let text = eventually("five tasks are done", || {
        let text = log();
        (text.matches("Done.").count() >= 5).then_some(text)
    });
    for line in numbered(|n| format!("Processing: {}", task(n))) {
        assert_eq!(text.matches(&line).count(), 1, "{line}: {text}");
    }
    assert_eq!(text.matches("Done.").count(), 5, "{text}");
}

#[test]
fn a_subscriber_hears_what_a_publisher_says() {
    let folder = Folder::new();
    for signal in [Signal::TERM, Signal::INT] {
        let subscriber = folder.start(&["subscribe"]);
        let said =
            |process: &Process| process.stdout().lines().map(str::to_owned).collect::<Vec<_>>();
        eventually("it subscribed", || (!said(&subscriber).is_empty()).then_some(()));
        let published = run(&folder, &["publish", "--interval", "10ms"]);
        let lines: Vec<_> = published.stdout.lines().collect();
        assert_eq!(lines, numbered(|n| format!("Published: Hello from publisher! Message #{n}")));

        eventually("it heard five messages", || (said(&subscriber).len() >= 6).then_some(()));
        subscriber.signal(signal);
        let ended = subscriber.ended();
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        let mut expected = vec!["Subscribed to notifications".to_owned()];
        expected
            .extend(numbered(|n| format!("Received message: Hello from publisher! Message #{n}")));
        assert_eq!(ended.stdout.lines().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_running_service_hears_the_publisher_too() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    let stream = client.listen("/notifications/stream", None);
    let subscriber = folder.start(&["subscribe"]);
    eventually("it subscribed", || subscriber.stdout().contains('\n').then_some(()));
    run(&folder, &["publish", "--interval", "10ms"]);
    for message in numbered(|n| format!("Hello from publisher! Message #{n}")) {
        assert_eq!(stream.next().json()["message"], message);
    }
    let message = serde_json::json!({ "message": "from the service" });
    client.post("/notifications", &message).written(202);
    eventually("the subscriber hears the service", || {
        subscriber.stdout().contains("Received message: from the service\n").then_some(())
    });
    assert_eq!(subscriber.terminate().status.code(), Some(0));
}

#[test]
fn enqueued_tasks_are_processed_by_a_running_service() {
    let folder = Folder::new();
    let server = Server::start_with(&folder, &QUICK);
    let enqueued = run(&folder, &["enqueue", "--interval", "10ms"]);
    let lines: Vec<_> = enqueued.stdout.lines().collect();
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert!(lines.iter().zip(numbered(task)).all(|(line, task)| line.contains(&task)), "{lines:?}");
    wait_for_tasks(|| server.log());
    let ended = server.terminate();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}

#[test]
fn enqueued_tasks_wait_for_a_service_or_a_worker() {
    let folder = Folder::new();
    run(&folder, &["enqueue", "--interval", "10ms"]);
    let server = Server::start_with(&folder, &QUICK);
    wait_for_tasks(|| server.log());
    server.terminate();

    run(&folder, &["enqueue", "--interval", "10ms"]);
    let worker = folder.start_with(&["worker"], &QUICK);
    wait_for_tasks(|| worker.stderr());
    let ended = worker.terminate();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}

#[test]
fn what_is_enqueued_is_in_the_log() {
    let folder = Folder::new();
    run(&folder, &["enqueue", "--interval", "0ms"]);
    let verified = run(&folder, &["verify"]);
    assert_eq!(verified.stdout.lines().last(), Some("5 events checked, 0 differences"));
}

#[test]
fn a_task_in_hand_is_finished_before_the_end() {
    let folder = Folder::new();
    let server = Server::start_with(&folder, &[("DAYBOOK_TEXT_TASK_DURATION", "500ms")]);
    run(&folder, &["enqueue", "--interval", "0ms"]);
    eventually("a task is in hand", || server.log().contains("Processing: ").then_some(()));
    let first = server.terminate();
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    let begun = first.stderr.matches("Processing: ").count();
    assert_eq!(first.stderr.matches("Done.").count(), begun, "{}", first.stderr);

    let server = Server::start_with(&folder, &QUICK);
    let log = eventually("all tasks are done", || {
        let log = first.stderr.clone() + &server.log();
        (log.matches("Done.").count() >= 5).then_some(log)
    });
    for line in numbered(|n| format!("Processing: {}", task(n))) {
        assert_eq!(log.matches(&line).count(), 1, "{line}: {log}");
    }
}
