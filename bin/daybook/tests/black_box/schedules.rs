//! Tasks by schedules of cron patterns.

use std::collections::BTreeSet;
use std::fs;

use crate::support::{Folder, Server, eventually};

/// The ticks whose tasks were put on the queue, as the log tells it.
fn ticks(log: &str) -> Vec<String> {
    let asked = log.lines().filter(|line| line.contains("a schedule's task is on the queue"));
    let tick = |line: &str| {
        let (_, rest) = line.split_once(" tick=").unwrap();
        rest.split_whitespace().next().unwrap().to_owned()
    };
    asked.map(tick).collect()
}

#[test]
fn each_tick_has_one_task_across_instances_and_restarts() {
    let folder = Folder::new();
    let file = folder.file("schedules.json");
    let every_second =
        r#"[{"name": "often", "cron": "* * * * * *", "kind": "text", "payload": "tick"}]"#;
    fs::write(&file, every_second).unwrap();
    let variables =
        [("DAYBOOK_SCHEDULES_FILE", file.to_str().unwrap()), ("DAYBOOK_TEXT_TASK_DURATION", "1ms")];
    let (mut all, mut done) = (Vec::new(), 0);
    for _ in 0..2 {
        let server = Server::start_with(&folder, &variables);
        eventually("three ticks", || (ticks(&server.log()).len() >= 3).then_some(()));
        let log = server.terminate().stderr;
        all.extend(ticks(&log));
        done += log.matches("Processing: tick").count();
    }
    let distinct: BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len(), "{all:?}");
    // What was put on the queue at the very end may wait for the next start.
    assert!((all.len() - 1..=all.len()).contains(&done), "{done} of {}", all.len());
}

#[test]
fn a_file_that_makes_no_sense_is_refused_at_the_start() {
    let folder = Folder::new();
    let file = folder.file("schedules.json");
    for (text, told) in [
        ("", "line 1"),
        (r#"[{"name": "n", "cron": "often", "kind": "text", "payload": ""}]"#, "schedule n"),
    ] {
        fs::write(&file, text).unwrap();
        let variables = [("DAYBOOK_SCHEDULES_FILE", file.to_str().unwrap())];
        let ended = folder.start_with(&["serve", "--listen", "127.0.0.1:0"], &variables).ended();
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert!(ended.stderr.contains("DAYBOOK_SCHEDULES_FILE"), "{ended:?}");
        assert!(ended.stderr.contains(told), "{ended:?}");
    }
}
