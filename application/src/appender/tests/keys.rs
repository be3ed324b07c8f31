//! Idempotency keys.

use super::*;

#[tokio::test]
async fn a_key_has_one_outcome_which_is_replayed_as_it_was() {
    let store = Arc::new(FakeStore::new());
    let process = Process::running(&store);
    process.execute(open(1)).await.unwrap();
    let first = process.submit_keyed(withdraw(1, "10"), keyed("k", 1));
    let first = soon(first.outcome()).await.unwrap();
    process.execute(withdraw(1, "1")).await.unwrap();
    // Here, and in a process that never saw the first.
    for process in [&process, &Process::running(&store)] {
        let again = process.submit_keyed(withdraw(1, "10"), keyed("k", 1));
        let again = soon(again.outcome()).await.unwrap();
        assert_eq!(again, Outcome { replayed: true, ..first.clone() });
    }
    assert_eq!(balance(&store, 1).await, euros("89"));
}

#[tokio::test]
async fn a_refusal_is_the_outcome_of_its_key_for_good() {
    let store = Arc::new(FakeStore::new());
    let process = Process::running(&store);
    let missing = process.submit_keyed(withdraw(1, "10"), keyed("k", 1));
    let missing = soon(missing.outcome()).await.unwrap();
    assert_eq!(missing.result, Err(Rejection::AccountNotFound));
    process.execute(open(1)).await.unwrap();
    let again = process.submit_keyed(withdraw(1, "10"), keyed("k", 1));
    assert_eq!(soon(again.outcome()).await.unwrap(), Outcome { replayed: true, ..missing });
}

#[tokio::test]
async fn a_key_is_not_used_for_another_request() {
    let store = Arc::new(FakeStore::new());
    let process = Process::running(&store);
    soon(process.submit_keyed(open(1), keyed("k", 1)).outcome()).await.unwrap();
    let reused = soon(process.submit_keyed(withdraw(1, "1"), keyed("k", 2)).outcome()).await;
    assert_eq!(reused, Err(CommandError::KeyReused));
    assert_eq!(store.events().len(), 1);
    // Nothing of it is left in what is known.
    process.execute(withdraw(1, "100")).await.unwrap().result.unwrap();
}

#[tokio::test]
async fn commands_with_one_key_in_one_go_have_one_outcome() {
    let store = Arc::new(FakeStore::new());
    let mut process = Process::new(&store, SETTINGS, None);
    let submissions = [
        process.submit_keyed(open(1), keyed("k", 1)),
        process.submit_keyed(open(1), keyed("k", 1)),
        process.submit_keyed(open(2), keyed("k", 2)),
        process.submit_keyed(Act { actor: holder(8), ..open(3) }, keyed("k", 3)),
    ];
    process.run();
    let outcomes = outcomes(submissions).await;
    let first = outcomes[0].clone().unwrap();
    assert!(!first.replayed);
    assert_eq!(outcomes[1], Ok(Outcome { replayed: true, ..first }));
    assert_eq!(outcomes[2], Err(CommandError::KeyReused));
    // Another holder's key is another key.
    assert!(outcomes[3].as_ref().is_ok_and(|outcome| !outcome.replayed));
    // The first and the other holder's, then the second, then the third.
    assert_eq!((batch_sizes(&store), store.events().len()), (vec![2, 1, 1], 2));
}

#[test]
fn every_outcome_is_read_back_as_it_was_remembered() {
    let (one, money) = (Uuid::from_u128(1), euros("12.34"));
    let outcomes: [Result<Receipt, Rejection>; 17] = [
        Ok(Receipt::Done),
        Ok(Receipt::Registered(holder(1))),
        Ok(Receipt::AccountOpened(account_id(1))),
        Ok(Receipt::Moved { entry_id: EntryId::from_uuid(one), balance: money, available: money }),
        Ok(Receipt::Transferred(TransferId::from_uuid(one))),
        Ok(Receipt::OrderCreated(OrderId::from_uuid(one))),
        Ok(Receipt::TaskAccepted(TaskId::from_uuid(one))),
        Ok(Receipt::TaskDuplicate(TaskId::from_uuid(one))),
        Err(Rejection::AccountNotFound),
        Err(Rejection::OrderNotFound),
        Err(Rejection::TaskNotFound),
        Err(Rejection::TaskNotDead),
        Err(Rejection::TaskDuplicated),
        Err(Rejection::TaskNotDiscardable),
        Err(Rejection::EmailTaken),
        REFUSED,
        Err(Rejection::Order(OrderRejection::AlreadyPaid)),
    ];
    for outcome in outcomes {
        let text = serde_json::to_string(&outcome).unwrap();
        let read: Result<Receipt, Rejection> = serde_json::from_str(&text).unwrap();
        assert_eq!(read, outcome, "{text}");
    }
}
