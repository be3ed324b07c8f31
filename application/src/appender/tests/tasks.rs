//! Tasks that came by way of a broker, and what is done with them.

use daybook_events::{Task, TaskEvent, TaskState};

use super::*;

/// A process that knows of a dead task without a stream in the log.
fn with_a_foreign_task(store: &Arc<FakeStore>) -> Process {
    let task = Task {
        id: TaskId::from_uuid(Uuid::from_u128(5)),
        owner: None,
        kind: TaskKind::text(),
        payload: serde_json::value::to_raw_value("x").unwrap(),
        state: TaskState::Dead,
        attempts: 1,
        last_error: None,
        history: Vec::new(),
        priority: Priority::Normal,
        unique: None,
        run_at: NOW,
        created_at: NOW,
        finished_at: Some(NOW),
        version: Version::ZERO,
    };
    let mut tasks = MockTaskRepository::new();
    tasks.expect_find_each().returning(move |_| Ok(vec![task.clone()]));
    let ports = ports(store, tasks, MockHolderRepository::new());
    let mut process = Process::with(ports, store, SETTINGS, None);
    process.run();
    process
}

#[tokio::test]
async fn what_becomes_of_a_foreign_task_follows_in_the_log_that_it_was_asked_for() {
    let id = TaskId::from_uuid(Uuid::from_u128(5));
    for (change, what) in
        [(Change::RetryTask(id), "TaskRetried"), (Change::DiscardTask(id), "TaskDiscarded")]
    {
        let store = Arc::new(FakeStore::new());
        let process = with_a_foreign_task(&store);
        let act = Act::new(vec![Key::Task(id)], move |_, _| {
            Ok(Decision { changes: vec![change.clone()], receipt: Receipt::Done })
        });
        process.execute(act).await.unwrap().result.unwrap();
        let events = store.events();
        let stream: Vec<_> =
            events.iter().map(|event| (&*event.event_type, event.version.get())).collect();
        assert_eq!(stream, [("TaskRequested", 1), (what, 2)]);
        assert!(events.iter().all(|event| event.stream == id.stream()));
        let requested = TaskEvent::from_stored(&events[0].event_type, &events[0].data).unwrap();
        assert!(matches!(requested, TaskEvent::TaskRequested(asked) if asked.run_at == NOW));
    }
}
