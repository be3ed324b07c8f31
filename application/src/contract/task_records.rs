//! What every record of tasks promises, besides what it does as a queue.

use std::time::Duration;

use daybook_events::{
    Claimed, Lease, LeaseLost, NewTask, Room, TaskId, TaskRecords, TaskRepository, TaskState,
    Timestamp,
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
