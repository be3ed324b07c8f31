//! Commands that meet those of another process.

use super::*;

#[tokio::test]
async fn what_another_process_changed_is_loaded_and_decided_again() {
    let store = Arc::new(FakeStore::new());
    let (here, there) = (Process::running(&store), Process::running(&store));
    here.execute(open(1)).await.unwrap();
    there.execute(withdraw(1, "70")).await.unwrap().result.unwrap();
    // Known here is an account with 100 on it.
    let refused = here.execute(withdraw(1, "40")).await.unwrap();
    assert_eq!(refused.result, REFUSED);
    there.execute(withdraw(1, "10")).await.unwrap().result.unwrap();
    here.execute(withdraw(1, "20")).await.unwrap().result.unwrap();
    assert!(balance(&store, 1).await.is_zero());
    assert_eq!(store.events().last().unwrap().version, Version::new(4));
}

#[tokio::test]
async fn a_conflict_fails_no_neighbour_and_its_own_followers_are_decided_again() {
    let store = Arc::new(FakeStore::new());
    let mut here = Process::new(&store, SETTINGS, None);
    let submission = here.submit(open(1));
    here.run();
    soon(submission.outcome()).await.unwrap();
    Process::running(&store).execute(withdraw(1, "70")).await.unwrap().result.unwrap();

    let acts = [open(2), withdraw(1, "25"), withdraw(2, "50"), withdraw(1, "10")];
    let outcomes = outcomes(acts.map(|act| here.submit(act))).await;
    let results: Vec<_> = outcomes.iter().map(|o| o.as_ref().unwrap().result.is_ok()).collect();
    assert_eq!(results, [true, true, true, false]);
    assert_eq!(positions(&outcomes), [3, 5, 4, 5]);
    assert_eq!(batch_sizes(&store), [1, 1, 4, 2]);
    assert_eq!(balance(&store, 1).await, euros("5"));
    assert_eq!(balance(&store, 2).await, euros("50"));
}

#[tokio::test]
async fn what_keeps_changing_is_given_up_after_a_bounded_number_of_decisions() {
    let store = Arc::new(FakeStore::new());
    let process = Process::running(&store);
    store.fated([Fate::Conflict; 9]);
    let act = open(1);
    let decided = Arc::clone(&act.decided);
    assert_eq!(process.execute(act).await, Err(CommandError::Contended));
    assert_eq!(decided.load(Ordering::Relaxed), SETTINGS.decisions);
    assert_eq!(store.events(), []);
}

#[tokio::test]
async fn a_refund_is_decided_on_the_account_that_paid() {
    let store = Arc::new(FakeStore::new());
    let commands_of = |process: &Process| {
        Commands::new(
            process.appender.clone(),
            Passwords::new(1),
            Arc::new(MockHolderRepository::new()),
            Arc::new(FakeClock::at(NOW)),
            Arc::clone(store.ids()) as _,
        )
    };
    let process = Process::running(&store);
    process.execute(open(1)).await.unwrap();
    let commands = commands_of(&process);
    let line = RequestedLine {
        name: LineName::new("A book").unwrap(),
        quantity: 2,
        unit_price: text("15"),
    };
    let contents = Some(Contents::new("EUR".parse().unwrap(), vec![line]).unwrap());
    let me = caller(ME);
    let made = commands.create_order(&me, NewOrder { contents }, Request::default()).await.unwrap();
    let Ok(Receipt::OrderCreated(order)) = made.result else { panic!("{made:?}") };
    let pay = commands.pay_order(&me, order, Some(account_id(1)), Request::default());
    pay.await.unwrap().result.unwrap();
    assert_eq!(balance(&store, 1).await, euros("70"));

    // In a process that knows nothing, only the order says whose account is concerned.
    let fresh = Process::running(&store);
    let cancel = commands_of(&fresh).cancel_order(&me, order, None, Request::default()).await;
    cancel.unwrap().result.unwrap();
    assert_eq!(balance(&store, 1).await, euros("100"));
    assert_eq!(posted(&store), 0);
    let last = store.batches().pop().unwrap().pop().unwrap();
    let expected: HashMap<StreamId, Version> = last.expected.into_iter().collect();
    let both = [(order.stream(), Version::new(2)), (account_id(1).stream(), Version::new(2))];
    assert_eq!(expected, HashMap::from(both));

    // The first process knows the order as paid: it finds out that it is not.
    let again = commands.cancel_order(&me, order, None, Request::default()).await.unwrap();
    assert_eq!(again.result, Err(Rejection::Order(OrderRejection::AlreadyCanceled)));
    assert_eq!(balance(&store, 1).await, euros("100"));
}
