//! What a batch depends on is loaded together.

use daybook_events::{HolderId, QueueError, UniqueKey, UniqueName};

use super::super::load::load;
use super::*;
use crate::States;

fn task(number: u128) -> TaskId {
    TaskId::from_uuid(Uuid::from_u128(number))
}

fn name(number: u128) -> UniqueName {
    let owner = HolderId::from_uuid(Uuid::from_u128(number));
    UniqueName { owner, kind: TaskKind::text(), key: UniqueKey::new("daily").unwrap() }
}

#[tokio::test]
async fn tasks_unique_keys_and_addresses_of_a_batch_take_one_query_each_kind() {
    let (mut tasks, mut holders) = (MockTaskRepository::new(), MockHolderRepository::new());
    tasks.expect_find_each().withf(|ids| ids.len() == 30).once().returning(|_| Ok(Vec::new()));
    tasks
        .expect_find_unique()
        .withf(|names| names.len() == 30)
        .once()
        .returning(|_| Ok(Vec::new()));
    let taken: Box<str> = "7@example.com".into();
    let answer = vec![taken.clone()];
    let registered = holders.expect_registered().withf(|keys| keys.len() == 30);
    registered.once().return_once(move |_| Ok(answer));
    let keys: Vec<_> = (0..30)
        .flat_map(|n| {
            let email = Key::Email(format!("{n}@example.com").into());
            [Key::Task(task(n)), Key::UniqueTask(name(n)), email]
        })
        .collect();
    let mut states = States::default();
    let unreadable = load(&ports(&Arc::new(FakeStore::new()), tasks, holders), &keys, &mut states)
        .await
        .unwrap();
    assert!(unreadable.is_empty());
    assert!(states.email_taken(&taken) && !states.email_taken("8@example.com"));
}

#[tokio::test]
async fn one_that_can_not_be_read_is_told_alone() {
    let mut tasks = MockTaskRepository::new();
    let unless = |bad| {
        if bad { Err(QueueError::Corrupt("a row".to_owned())) } else { Ok(()) }
    };
    tasks
        .expect_find_each()
        .returning(move |ids| unless(ids.contains(&task(5))).map(|()| Vec::new()));
    tasks
        .expect_find_unique()
        .returning(move |names| unless(names.contains(&name(6))).map(|()| Vec::new()));
    let keys: Vec<_> =
        (0..9).flat_map(|n| [Key::Task(task(n)), Key::UniqueTask(name(n))]).collect();
    let ports = ports(&Arc::new(FakeStore::new()), tasks, MockHolderRepository::new());
    let unreadable = load(&ports, &keys, &mut States::default()).await.unwrap();
    assert_eq!(unreadable.len(), 2);
    assert!(unreadable.contains_key(&Key::Task(task(5))));
    assert!(unreadable.contains_key(&Key::UniqueTask(name(6))));
}
