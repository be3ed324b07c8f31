//! What the journal promises of rows of tasks: what a worker may hinder, and numbers that stand once.

use std::collections::HashMap;
use std::sync::Arc;

use daybook_events::{
    Entry, EntryOutcome, Journal, NewTask, Room, TaskId, TaskKind, TaskQueue, TaskRepository,
    TaskState, Timestamp, Unique, UniqueKey, UniqueName, UniqueTask, Version,
};
use uuid::Uuid;

use super::journal::{append, committed};
use super::sample::{event_on, holder};
use crate::{Row, TaskNumber};

/// A task that waits is discarded and not leased any more; one that a worker has taken meanwhile is
/// a conflict, and stays the worker's.
pub async fn a_task_is_discarded_unless_a_worker_has_it(
    journal: &dyn Journal<Row>,
    queue: &dyn TaskQueue,
    tasks: &dyn TaskRepository,
) {
    let discard = |n: u128| {
        let mut entry = event_on(&format!("task-{n}"), 1);
        let id = TaskId::from_uuid(Uuid::from_u128(n));
        let (version, at) = (Version::new(2), Timestamp::from_micros(9));
        entry.rows.push(Row::TaskDiscarded { id, version, at });
        entry
    };
    let state = |n| async move {
        tasks.find(TaskId::from_uuid(Uuid::from_u128(n))).await.unwrap().unwrap().state
    };
    for n in 1..=2 {
        let mut asked = event_on(&format!("task-{n}"), 0);
        asked.rows.push(Row::Task(Box::new(super::task_queue::task(n, 0))));
        append(journal, &[asked]).await;
    }
    let term = std::time::Duration::from_mins(1);
    let leased = queue.lease(&Room::of(1), term).await.unwrap().remove(0);
    assert_eq!(leased.task_id.uuid().as_u128(), 1);
    let outcomes = append(journal, &[discard(1), discard(2)]).await;
    assert_eq!(outcomes, [EntryOutcome::Conflict, committed(3)]);
    assert_eq!((state(1).await, state(2).await), (TaskState::Running, TaskState::Discarded));
    assert!(queue.lease(&Room::of(9), term).await.unwrap().is_empty());
    queue.bury(&leased, "hopeless").await.unwrap().unwrap();
    assert_eq!(append(journal, &[discard(1)]).await, [committed(4)]);
    assert_eq!(state(1).await, TaskState::Discarded);
}

/// An entry that asks for a task with a unique key and a number.
fn numbered(n: u128, number: u64) -> Entry<Row> {
    let mut entry = event_on(&format!("task-{n}"), 0);
    let unique = Unique {
        key: UniqueKey::new("digest").unwrap(),
        number,
        until: Timestamp::from_micros(99),
    };
    let task = NewTask { unique: Some(unique), ..super::task_queue::task(n, 0) };
    entry.rows.push(Row::Task(Box::new(task)));
    entry
}

/// A number of a task with a unique key is taken once: whoever wants it again is a conflict, alone.
/// The latest task with the key is found.
pub async fn a_unique_task_is_numbered_once(
    journal: &dyn Journal<Row>,
    tasks: &dyn TaskRepository,
) {
    let key = UniqueKey::new("digest").unwrap();
    let text = TaskKind::text();
    let named = |owner| UniqueName { owner: holder(owner), kind: text.clone(), key: key.clone() };
    let find = async |owner| {
        let found = tasks.find_unique(&[named(owner)]).await?;
        assert!(found.iter().all(|(name, _)| *name == named(owner)));
        Ok::<_, daybook_events::QueueError>(found.first().map(|(_, task)| *task))
    };
    assert_eq!(find(1).await.unwrap(), None);
    let batch = [numbered(1, 1), event_on("between", 0), numbered(2, 1)];
    let outcomes = append(journal, &batch).await;
    assert_eq!(outcomes, [committed(1), committed(2), EntryOutcome::Conflict]);
    let batch = [numbered(3, 1), event_on("after", 0)];
    assert_eq!(append(journal, &batch).await, [EntryOutcome::Conflict, committed(3)]);
    assert_eq!(append(journal, &[numbered(4, 2)]).await, [committed(4)]);
    let latest = find(1).await.unwrap().unwrap();
    let expected = UniqueTask {
        id: TaskId::from_uuid(Uuid::from_u128(4)),
        version: Version::new(1),
        state: TaskState::Queued,
        number: 2,
        until: Timestamp::from_micros(99),
    };
    assert_eq!(latest, expected);
    assert_eq!(find(2).await.unwrap(), None);
    // Who puts one back gives it a number of its own as well.
    let again = |number| {
        let mut entry = event_on("task-1", 1);
        let (id, at) = (TaskId::from_uuid(Uuid::from_u128(1)), Timestamp::from_micros(9));
        let (owner, kind, key) = (holder(1), TaskKind::text(), key.clone());
        let number = Some(TaskNumber { owner, kind, key, number });
        entry.rows.push(Row::TaskRetried { id, version: Version::new(2), at, number });
        entry
    };
    let batch = [numbered(7, 3), again(3)];
    assert_eq!(append(journal, &batch).await, [committed(5), EntryOutcome::Conflict]);
    let batch = [again(4), numbered(8, 4)];
    assert_eq!(append(journal, &batch).await, [committed(6), EntryOutcome::Conflict]);
    let latest = find(1).await.unwrap().unwrap();
    assert_eq!((latest.id.uuid().as_u128(), latest.number), (1, 4));
    // Another's, and one of another kind, have numbers of their own.
    let mut others = [numbered(5, 1), numbered(6, 1)];
    if let [Row::Task(theirs), ..] = &mut others[0].rows[..] {
        theirs.owner = Some(holder(2));
    }
    if let [Row::Task(other), ..] = &mut others[1].rows[..] {
        other.kind = TaskKind::SEND_EMAIL.parse().unwrap();
    }
    assert_eq!(append(journal, &others).await, [committed(7), committed(8)]);
    // All of them together, and a crowd that is not there.
    let mail = UniqueName { kind: TaskKind::SEND_EMAIL.parse().unwrap(), ..named(1) };
    let nobody = (0..200).map(|n| named(1_000 + n));
    let all: Vec<_> = nobody.chain([named(1), mail.clone(), named(2), named(1)]).collect();
    let found: HashMap<_, _> = tasks.find_unique(&all).await.unwrap().into_iter().collect();
    assert_eq!(found.len(), 3);
    let numbers = [named(1), mail, named(2)].map(|name| found[&name].number);
    assert_eq!(numbers, [4, 1, 1]);
    assert!(tasks.find_unique(&[]).await.unwrap().is_empty());
}

/// Of appenders that take the same number at once, one gets it.
pub async fn of_appenders_that_take_the_same_number_one_wins(journal: Arc<dyn Journal<Row>>) {
    let attempts = (1..=8).map(|n| {
        let journal = Arc::clone(&journal);
        tokio::spawn(async move { append(&*journal, &[numbered(n, 1)]).await })
    });
    let mut won = 0;
    for attempt in attempts.collect::<Vec<_>>() {
        won += usize::from(attempt.await.unwrap() != [EntryOutcome::Conflict]);
    }
    assert_eq!(won, 1);
}
