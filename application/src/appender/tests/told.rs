//! Who is told of what was committed, and of what an answer was based on.

use super::*;

#[tokio::test]
async fn a_write_is_in_the_cache_before_it_is_acknowledged_and_a_first_version_in_none() {
    let mut cache = MockCache::new();
    let key = format!("account:{}:user:{}", account_id(1), holder(ME));
    let puts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&puts);
    cache.expect_put().returning(move |put_key, value, _| {
        assert_eq!((put_key, value.version), (key.as_str(), Version::new(2)));
        assert!(value.value.is_some());
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    let ttl = Duration::from_mins(1);
    let cache = ReadCache { cache: Arc::new(cache), ttl, absent_ttl: ttl, repair: None };
    let store = Arc::new(FakeStore::new());
    let mut process = Process::new(&store, SETTINGS, Some(cache));
    process.run();
    process.execute(open(1)).await.unwrap();
    assert_eq!(puts.load(Ordering::Relaxed), 0);
    process.execute(withdraw(1, "1")).await.unwrap();
    assert_eq!(puts.load(Ordering::Relaxed), 1);
}

/// A cache that holds what it was told by `put`, and notes of what it was told by `invalidate`.
fn noting_cache(notes: &Arc<std::sync::Mutex<Vec<String>>>) -> ReadCache {
    let mut cache = MockCache::new();
    let told = Arc::clone(notes);
    cache.expect_put().returning(move |key, value, _| {
        told.lock().unwrap().push(format!("{key} is at {}", value.version));
        Ok(())
    });
    let told = Arc::clone(notes);
    cache.expect_invalidate().returning(move |key, _| {
        told.lock().unwrap().push(format!("{key} is forgotten"));
        Ok(())
    });
    let ttl = Duration::from_mins(1);
    ReadCache { cache: Arc::new(cache), ttl, absent_ttl: ttl, repair: None }
}

#[tokio::test]
async fn a_refusal_tells_the_cache_what_it_was_based_on() {
    let store = Arc::new(FakeStore::new());
    let other = Process::running(&store);
    other.execute(open(1)).await.unwrap();
    // It was committed, and the cache was not told: its instance has no cache here.
    other.execute(withdraw(1, "60")).await.unwrap();

    let notes = Arc::default();
    let mut process = Process::new(&store, SETTINGS, Some(noting_cache(&notes)));
    process.run();
    let refused = process.execute(withdraw(1, "60")).await.unwrap();
    assert_eq!(refused.result, REFUSED);
    let key = format!("account:{}:user:{}", account_id(1), holder(ME));
    assert_eq!(*notes.lock().unwrap(), [format!("{key} is at 2")]);
}

#[tokio::test]
async fn a_repeated_answer_makes_the_cache_forget_what_it_was_about() {
    let store = Arc::new(FakeStore::new());
    let other = Process::running(&store);
    other.execute(open(1)).await.unwrap();
    // It was committed, and its instance came to neither telling the cache nor answering.
    soon(other.submit_keyed(withdraw(1, "1"), keyed("k", 1)).outcome()).await.unwrap();

    let notes = Arc::default();
    let mut process = Process::new(&store, SETTINGS, Some(noting_cache(&notes)));
    process.run();
    let again = process.submit_keyed(withdraw(1, "1"), keyed("k", 1));
    assert!(soon(again.outcome()).await.unwrap().replayed);
    let key = format!("account:{}:user:{}", account_id(1), holder(ME));
    assert_eq!(*notes.lock().unwrap(), [format!("{key} is forgotten")]);
}

#[tokio::test]
async fn the_tail_has_what_was_committed_as_the_journal_has_it() {
    let store = Arc::new(FakeStore::new());
    let process = Process::running(&store);
    for act in [open(1), withdraw(1, "500"), withdraw(1, "5"), open(2)] {
        process.execute(act).await.unwrap();
    }
    let tail = process.tail.after(Position::ZERO, 9, usize::MAX).unwrap();
    let tail: Vec<_> = tail.iter().map(|event| (**event).clone()).collect();
    assert_eq!(tail, store.events());
    assert_eq!(*process.tail.commits().borrow(), Position::new(3));
}

#[tokio::test]
async fn a_committed_task_calls_the_workers() {
    let store = Arc::new(FakeStore::new());
    let mut process = Process::new(&store, SETTINGS, None);
    let new_tasks = process.task.as_ref().unwrap().new_tasks();
    process.run();
    process.execute(open(1)).await.unwrap();
    assert!(new_tasks.notified().now_or_never().is_none());
    let request = Act::new(Vec::new(), |_, entry| {
        let id = TaskId::from_uuid(entry.uuid());
        let task = NewTask {
            id,
            owner: Some(holder(ME)),
            kind: TaskKind::text(),
            payload: RawValue::NULL.to_owned(),
            run_at: NOW,
            created_at: NOW,
            priority: Priority::Normal,
            unique: None,
            history: Vec::new(),
            origin: daybook_events::Origin::Recorded,
        };
        let changes = vec![Change::Task(Box::new(task))];
        Ok(Decision { changes, receipt: Receipt::TaskAccepted(id) })
    });
    process.execute(request).await.unwrap().result.unwrap();
    assert!(new_tasks.notified().now_or_never().is_some());
}
