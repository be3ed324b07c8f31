//! What every record of tasks promises, besides what it does as a queue.

use std::time::Duration;

use daybook_events::{
    Claimed, Lease, LeaseLost, NewTask, Origin, Room, TaskId, TaskRecords, TaskRepository,
    TaskState, Timestamp,
};
use uuid::Uuid;

use super::task_queue::{TestTime, task};

const TERM: Duration = Duration::from_secs(2);

async fn claim(records: &dyn TaskRecords, task: &NewTask) -> Claimed {
    claim_all(records, std::slice::from_ref(task)).await.remove(0)
}

async fn claim_all(records: &dyn TaskRecords, tasks: &[NewTask]) -> Vec<Claimed> {
    let claimed = records.claim(tasks, TERM).await.unwrap();
    assert_eq!(claimed.len(), tasks.len());
    claimed
}

#[track_caller]
fn leased(claimed: Claimed) -> Lease {
    match claimed {
        Claimed::Leased(lease) => lease,
        other => panic!("it was to be leased: {other:?}"),
    }
}

/// A task that nobody knows is recorded and leased; one that is on the queue is leased as it is.
pub async fn a_claimed_task_is_leased_and_recorded(
    records: &dyn TaskRecords,
    tasks: &dyn TaskRepository,
) {
    records.enqueue(&[task(2, 0)]).await.unwrap();
    let claimed = claim_all(records, &[task(1, 0), task(2, 0)]).await;
    for (n, claimed) in (1..).zip(claimed) {
        let lease = leased(claimed);
        assert_eq!((lease.task_id.uuid().as_u128(), lease.attempt), (n, 1));
        assert_eq!(lease.payload.get(), "\"hello\"");
        let found = tasks.find(TaskId::from_uuid(Uuid::from_u128(n))).await.unwrap().unwrap();
        assert_eq!((found.state, found.attempts), (TaskState::Running, 1));
        assert!(records.lease(&Room::of(9), TERM).await.unwrap().is_empty());
        assert_eq!(records.complete(&lease).await.unwrap(), Ok(()));
    }
}

/// A task that another worker holds is not leased, until its lease is over; whoever asks is told
/// when that is, and whoever had it before changes nothing any more.
pub async fn a_task_that_another_holds_is_not_leased(
    records: &dyn TaskRecords,
    time: &dyn TestTime,
) {
    let before = time.now();
    let first = leased(claim(records, &task(1, 0)).await);
    let Claimed::NotBefore(at) = claim(records, &task(1, 0)).await else { panic!("it is held") };
    assert!(at > before.plus(TERM) && at <= time.now().plus(TERM + Duration::from_micros(1)));
    time.pass(TERM / 2).await;
    assert_eq!(records.extend(&first, TERM).await.unwrap(), Ok(()));
    let Claimed::NotBefore(later) = claim(records, &task(1, 0)).await else { panic!("it is held") };
    assert!(later > at, "the lease was renewed");
    time.pass(TERM + Duration::from_millis(100)).await;
    let second = leased(claim(records, &task(1, 0)).await);
    assert_eq!((second.token > first.token, second.attempt), (true, 2));
    assert_eq!(records.extend(&first, TERM).await.unwrap(), Err(LeaseLost));
    assert_eq!(records.complete(&first).await.unwrap(), Err(LeaseLost));
    assert_eq!(records.complete(&second).await.unwrap(), Ok(()));
}

/// What is not due, done or dead is not leased, however often it is handed out.
pub async fn what_is_not_due_or_finished_is_not_leased(
    records: &dyn TaskRecords,
    time: &dyn TestTime,
) {
    let later = time.now().plus(Duration::from_mins(1));
    let waiting = task(1, later.micros());
    let Claimed::NotBefore(at) = claim(records, &waiting).await else { panic!("too early") };
    assert_eq!(at, later);
    // The record knows better than the copy that is handed out.
    let copy = NewTask { run_at: Timestamp::from_micros(0), ..waiting };
    assert!(matches!(claim(records, &copy).await, Claimed::NotBefore(_)));
    let (done, dead) = (task(2, 0), task(3, 0));
    let lease = leased(claim(records, &done).await);
    records.complete(&lease).await.unwrap().unwrap();
    let lease = leased(claim(records, &dead).await);
    records.bury(&lease, "hopeless").await.unwrap().unwrap();
    let claimed = claim_all(records, &[done, dead]).await;
    assert!(claimed.iter().all(|c| matches!(c, Claimed::Finished)), "{claimed:?}");
}

/// A task that is claimed twice in one call is leased once.
pub async fn a_task_claimed_twice_at_once_is_leased_once(records: &dyn TaskRecords) {
    let (one, two) = (task(1, 0), task(2, 0));
    let claimed = claim_all(records, &[one.clone(), two, one]).await;
    assert!(
        matches!(claimed[..], [Claimed::Leased(_), Claimed::Leased(_), Claimed::NotBefore(_)]),
        "{claimed:?}"
    );
}

/// A task that says it was recorded, and is not known, was forgotten or is another installation's: it
/// is neither leased nor recorded anew.
pub async fn what_was_recorded_and_is_not_known_is_not_done(
    records: &dyn TaskRecords,
    tasks: &dyn TaskRepository,
) {
    let forgotten = NewTask { origin: Origin::Recorded, ..task(1, 0) };
    let known = NewTask { origin: Origin::Recorded, ..task(2, 0) };
    records.enqueue(std::slice::from_ref(&known)).await.unwrap();
    let claimed = claim_all(records, &[forgotten.clone(), known]).await;
    assert!(matches!(claimed[..], [Claimed::Unknown, Claimed::Leased(_)]), "{claimed:?}");
    assert!(tasks.find(forgotten.id).await.unwrap().is_none());
}

/// Of two tasks from outside that have one id, and differ in kind or payload, the first is done and
/// the second told apart, whether they come together or not; the same one again is the same one.
pub async fn another_task_with_the_same_id_is_told_apart(records: &dyn TaskRecords) {
    let first = task(1, 0);
    let payload = serde_json::value::to_raw_value("another").unwrap();
    let second = NewTask { payload, ..first.clone() };
    let third = NewTask { kind: "other".parse().unwrap(), ..first.clone() };
    let claimed = claim_all(records, &[first.clone(), second.clone()]).await;
    let [Claimed::Leased(lease), Claimed::Another] = &claimed[..] else { panic!("{claimed:?}") };
    assert_eq!(lease.payload.get(), first.payload.get());
    let claimed = claim_all(records, &[third.clone(), first.clone()]).await;
    assert!(matches!(claimed[..], [Claimed::Another, Claimed::NotBefore(_)]), "{claimed:?}");
    records.complete(lease).await.unwrap().unwrap();
    let claimed = claim_all(records, &[first, second, third]).await;
    assert!(
        matches!(claimed[..], [Claimed::Finished, Claimed::Another, Claimed::Another]),
        "{claimed:?}"
    );
}

/// Whoever claims tasks and whoever completes them lock their rows in one order: nobody fails, and
/// each task is done once.
pub async fn those_who_claim_and_those_who_complete_do_not_block_each_other(
    records: std::sync::Arc<dyn TaskRecords>,
) {
    const TASKS: u128 = 200;
    let tasks: Vec<_> = (1..=TASKS).map(|n| task(n, 0)).collect();
    let claimed = records.claim(&tasks, TERM * 30).await.unwrap();
    // The last first: the order that rows are asked for in is not the one they are locked in.
    let leases: Vec<_> = claimed.into_iter().rev().map(leased).collect();
    let completing = leases.into_iter().map(|lease| {
        let records = std::sync::Arc::clone(&records);
        tokio::spawn(async move { records.complete(&lease).await })
    });
    let completing: Vec<_> = completing.collect();
    for _ in 0..20 {
        claim_all(&*records, &tasks).await;
    }
    for completed in completing {
        assert_eq!(completed.await.unwrap().unwrap(), Ok(()));
    }
}
