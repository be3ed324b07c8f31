//! A journal that fails, and commits that nobody is told of.

use super::*;

#[tokio::test]
async fn a_journal_that_is_unavailable_fails_the_whole_batch_and_nothing_is_taken_for_done() {
    let store = Arc::new(FakeStore::new());
    Process::running(&store).execute(open(1)).await.unwrap();
    let mut process = Process::new(&store, SETTINGS, None);
    store.fated([Fate::Unavailable]);
    let submissions = [open(2), withdraw(1, "80"), withdraw(1, "20")];
    let submissions = submissions.map(|act| process.submit(act));
    process.run();
    for outcome in outcomes(submissions).await {
        assert!(matches!(outcome, Err(CommandError::Unavailable(_))), "{outcome:?}");
    }
    assert_eq!(store.events().len(), 1);
    process.execute(withdraw(1, "100")).await.unwrap().result.unwrap();
    assert!(balance(&store, 1).await.is_zero());
}

#[tokio::test]
async fn a_repository_that_is_unavailable_fails_what_needs_it() {
    let store = Arc::new(FakeStore::new());
    Process::running(&store).execute(open(1)).await.unwrap();
    let process = Process::running(&store);
    store.set_unreadable(true);
    let failed = process.execute(withdraw(1, "1")).await;
    assert!(matches!(failed, Err(CommandError::Unavailable(_))), "{failed:?}");
    store.set_unreadable(false);
    process.execute(withdraw(1, "1")).await.unwrap().result.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_commit_of_unknown_outcome_that_is_found_is_done() {
    let store = Arc::new(FakeStore::new());
    let mut process = Process::new(&store, SETTINGS, None);
    store.fated([Fate::LostAfter]);
    let submissions = [open(1), withdraw(1, "1"), open(2)].map(|act| process.submit(act));
    process.run();
    let outcomes = outcomes(submissions).await;
    assert_eq!(positions(&outcomes), [1, 2, 3]);
    assert!(outcomes.iter().all(|o| o.as_ref().is_ok_and(|o| o.result.is_ok() && !o.replayed)));
    assert_eq!((batch_sizes(&store), store.events().len()), (vec![3], 3));
    // What it left is in the tail. The states are loaded again: whoever ended the session may have
    // put right what is stored.
    let finds = store.finds();
    process.execute(withdraw(1, "99")).await.unwrap().result.unwrap();
    assert_eq!(store.finds(), finds + 1);
    assert_eq!(process.tail.after(Position::ZERO, 9, usize::MAX).unwrap().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_commit_of_unknown_outcome_is_looked_for_past_where_the_log_was() {
    let store = Arc::new(FakeStore::new());
    let process = Process::running(&store);
    process.execute(open(1)).await.unwrap();
    process.execute(open(2)).await.unwrap();
    for (fate, past) in [(Fate::LostAfter, 2), (Fate::LostBefore, 3), (Fate::LostAfter, 3)] {
        store.fated([fate]);
        drop(process.execute(withdraw(1, "1")).await);
        assert_eq!(store.looked_past(), Some(Position::new(past)));
    }
    // Another process has written meanwhile.
    process.tail.reach(Position::new(9));
    store.fated([Fate::LostBefore]);
    drop(process.execute(withdraw(1, "1")).await);
    assert_eq!(store.looked_past(), Some(Position::new(9)));
}

#[tokio::test(start_paused = true)]
async fn a_commit_of_unknown_outcome_that_is_not_found_is_unavailable() {
    let store = Arc::new(FakeStore::new());
    let mut process = Process::new(&store, SETTINGS, None);
    store.fated([Fate::LostBefore]);
    let submissions = [open(1), open(2)].map(|act| process.submit(act));
    process.run();
    for outcome in outcomes(submissions).await {
        assert!(matches!(outcome, Err(CommandError::Unavailable(_))), "{outcome:?}");
    }
    assert_eq!(store.events(), []);
    process.execute(open(1)).await.unwrap().result.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_left_no_trace_in_a_commit_that_is_found_is_decided_again() {
    let store = Arc::new(FakeStore::new());
    let mut process = Process::new(&store, SETTINGS, None);
    store.fated([Fate::LostAfter]);
    let submissions = [
        process.submit(open(1)),
        process.submit(withdraw(1, "101")),
        process.submit_keyed(withdraw(1, "102"), keyed("k", 1)),
    ];
    process.run();
    let outcomes = outcomes(submissions).await;
    assert_eq!(positions(&outcomes), [1, 1, 1]);
    assert_eq!(outcomes[1].as_ref().unwrap().result, REFUSED);
    // This one was remembered, unlike the other.
    assert_eq!(outcomes[2].as_ref().unwrap().result, REFUSED);
    assert!(outcomes[2].as_ref().unwrap().replayed);
    assert_eq!(batch_sizes(&store), [3, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_nobody_can_tell_of_has_an_unknown_outcome_after_a_while() {
    let store = Arc::new(FakeStore::new());
    let process = Process::running(&store);
    store.fated([Fate::LostAfter]);
    store.set_unreadable(true);
    let asked = Instant::now();
    let outcome = process.execute(open(1)).await;
    assert!(matches!(outcome, Err(CommandError::OutcomeUnknown(_))), "{outcome:?}");
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    // Nothing is taken for known.
    store.set_unreadable(false);
    process.execute(withdraw(1, "100")).await.unwrap().result.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_comes_back_in_time_tells_the_outcome() {
    let store = Arc::new(FakeStore::new());
    let process = Process::running(&store);
    store.fated([Fate::LostAfter]);
    store.set_unreadable(true);
    let submission = process.submit(open(1));
    tokio::time::sleep(Duration::from_millis(500)).await;
    store.set_unreadable(false);
    assert_eq!(soon(submission.outcome()).await.unwrap().position, Position::new(1));
}
