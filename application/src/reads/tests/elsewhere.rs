//! What is written and fetched meanwhile, here and on other instances.

use super::*;

#[tokio::test]
async fn what_was_written_is_read_without_the_repository() {
    let (account, id) = mine();
    let setting = given(account.clone(), 9);
    setting.read(id).await;
    setting.reads.account_written(&renamed(&account, "Savings")).await;
    assert!(setting.read(id).await.unwrap().contains("Savings"));
    assert_eq!(setting.accounts.finds(), 1);
}

#[tokio::test]
async fn a_load_from_before_a_write_does_not_replace_what_was_written() {
    let (account, id) = mine();
    let setting = given(account.clone(), 0);
    let slow = setting.begin(id);
    setting.accounts.asked(1).await;
    setting.accounts.set(renamed(&account, "Savings"));
    setting.reads.account_written(&renamed(&account, "Savings")).await;
    setting.accounts.gate.add_permits(2);
    assert!(soon(slow).await.unwrap().unwrap().contains("Everyday"));
    assert!(setting.read(id).await.unwrap().contains("Savings"));
}

#[tokio::test]
async fn a_load_from_before_a_write_is_not_joined_after_it_and_fills_no_cache() {
    let (account, id) = mine();
    let setting = given(account.clone(), 0);
    let slow = setting.begin(id);
    setting.accounts.asked(1).await;
    let written = renamed(&account, "Savings");
    setting.accounts.set(written.clone());
    setting.reads.account_written(&written).await;
    // A cache may lose anything, also what keeps older replies out.
    setting.cache.forget_everything();
    let later = setting.begin(id);
    setting.accounts.asked(2).await;
    setting.accounts.gate.add_permits(1);
    assert!(soon(slow).await.unwrap().unwrap().contains("Everyday"));
    assert_eq!(setting.cache.entry(What::Account(id, holder(7))), None);
    // The old load took itself off the map, not the one that came after it.
    let third = setting.begin(id);
    setting.accounts.gate.add_permits(1);
    assert!(soon(later).await.unwrap().unwrap().contains("Savings"));
    assert!(soon(third).await.unwrap().unwrap().contains("Savings"));
    assert_eq!(setting.accounts.finds(), 2);
}

#[tokio::test]
async fn a_load_on_another_instance_is_not_joined_after_a_write() {
    let (account, id) = mine();
    let here = given(account.clone(), 0);
    let there = Reads::new(
        Arc::clone(&here.accounts) as _,
        Arc::new(MockOrderRepository::new()),
        here.reads.cache.clone(),
    );
    let slow = here.begin(id);
    here.accounts.asked(1).await;
    let written = renamed(&account, "Savings");
    here.accounts.set(written.clone());
    there.account_written(&written).await;
    let later = here.begin(id);
    here.accounts.asked(2).await;
    here.accounts.gate.add_permits(2);
    assert!(soon(slow).await.unwrap().unwrap().contains("Everyday"));
    assert!(soon(later).await.unwrap().unwrap().contains("Savings"));
    assert!(here.read(id).await.unwrap().contains("Savings"));
}

#[tokio::test]
async fn what_another_instance_fetches_is_waited_for() {
    let (account, id) = mine();
    let here = given(account, 0);
    let there = Reads::new(
        Arc::clone(&here.accounts) as _,
        Arc::new(MockOrderRepository::new()),
        here.reads.cache.clone(),
    );
    let first = here.begin(id);
    here.accounts.asked(1).await;
    let second = tokio::spawn(async move { there.account(&caller(7), id).await.unwrap() });
    tokio::task::yield_now().await;
    here.accounts.gate.add_permits(1);
    assert!(soon(first).await.unwrap().is_some());
    assert!(soon(second).await.unwrap().is_some());
    assert_eq!(here.accounts.finds(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_never_ends_holds_up_nobody() {
    let (account, id) = mine();
    let setting = given(account, 1);
    let what = What::Account(id, holder(7));
    // Someone got the ticket and was never seen again.
    assert!(matches!(setting.cache.get(&what.key()).await, Ok(Lookup::Miss(_))));
    assert!(setting.read(id).await.is_some());
    assert_eq!(setting.cache.entry(what), None);
}

#[tokio::test]
async fn an_event_that_the_writer_could_not_tell_of_drops_what_is_older() {
    use daybook_events::{EventData, EventId, Metadata, Position};
    let (account, id) = mine();
    let setting = given(account.clone(), 9);
    setting.read(id).await;
    let event = |version, stream| RecordedEvent {
        position: Position::new(9),
        id: EventId::from_uuid(Uuid::nil()),
        stream,
        version: Version::new(version),
        event_type: "AccountRenamed".into(),
        timestamp: Timestamp::from_micros(0),
        data: EventData::of(&()),
        owner: Some(holder(7)),
        order_id: None,
        metadata: Metadata::default(),
    };
    let elsewhere = daybook_events::StreamId::new("task", Uuid::nil());
    for event in [event(1, id.stream()), event(2, elsewhere)] {
        setting.reads.catch_up(&event).await.unwrap();
        assert!(setting.cache.entry(What::Account(id, holder(7))).is_some());
    }
    setting.reads.catch_up(&event(2, id.stream())).await.unwrap();
    assert_eq!(setting.cache.entry(What::Account(id, holder(7))), None);
}

#[tokio::test]
async fn who_names_a_position_reads_past_a_cache_that_was_not_told_yet() {
    let (account, id) = mine();
    let setting = given(account.clone(), 9);
    setting.read(id).await;
    // Written by another instance, whose event came sooner than what it told the cache.
    setting.accounts.set(renamed(&account, "Savings"));
    let store = Arc::new(FakeStore::new());
    store.add_events([event(1, None)]);
    let queries = crate::Queries::new(
        setting.reads.clone(),
        Arc::clone(&setting.accounts) as _,
        Arc::new(daybook_accounts::MockHolderRepository::new()),
        Arc::new(MockOrderRepository::new()),
        Arc::new(daybook_events::MockTaskRepository::new()),
        store,
    );
    for (seen, name) in [(None, "Everyday"), (Some(Position::new(1)), "Savings")] {
        let freshness = queries.reach(seen).await.unwrap();
        let found = queries.account(&caller(7), id, freshness).await.unwrap().unwrap();
        let found = String::from_utf8(found.to_vec()).unwrap();
        assert!(found.contains(name), "{seen:?}: {found}");
    }
}
