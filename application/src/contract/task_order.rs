//! What every task queue promises of the order in which it hands out tasks.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use daybook_events::{Lease, NewTask, Priority, Room, TaskKind, TaskQueue};

use super::task_queue::{PATIENCE, TERM, lease, lease_for, nothing_is_leased, task};

fn other_kind() -> TaskKind {
    "a.b".parse().unwrap()
}

/// Waits until a queue has handed ahead what it hands ahead.
async fn settled(queue: &dyn TaskQueue) {
    let (began, mut before) = (Instant::now(), None);
    loop {
        let now = queue.backlog().await.unwrap();
        if before.replace(now) == Some(now) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "the backlog keeps changing");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Of ten tasks that are leased one after the other, eight are urgent, one is normal and one is low,
/// as long as there are such; then the others have their turns.
pub async fn urgent_tasks_go_first_and_no_priority_waits_for_ever(queue: &dyn TaskQueue) {
    // It takes from the queue from here on.
    queue.enqueue(&[task(999, 0)]).await.unwrap();
    let first = lease(queue, 1).await.remove(0);
    queue.complete(&first).await.unwrap().unwrap();
    let mut priorities = HashMap::new();
    let mut tasks = Vec::new();
    for (priority, numbers) in Priority::ALL.into_iter().zip([200..220, 100..110, 1..11]) {
        for number in numbers {
            priorities.insert(number, priority);
            tasks.push(NewTask { priority, ..task(number, 0) });
        }
    }
    tasks.reverse();
    queue.enqueue(&tasks).await.unwrap();
    settled(queue).await;
    let mut counts: HashMap<Priority, u32> = HashMap::new();
    for _ in 0..20 {
        let held = lease_for(queue, 1, TERM * 10).await.remove(0);
        *counts.entry(priorities[&held.task_id.uuid().as_u128()]).or_default() += 1;
        queue.complete(&held).await.unwrap().unwrap();
    }
    assert_eq!(Priority::ALL.map(|priority| counts[&priority]), [16, 2, 2]);
    for held in lease_for(queue, 20, TERM * 10).await {
        queue.complete(&held).await.unwrap().unwrap();
    }
    nothing_is_leased(queue).await;
}

/// Of tasks that are as urgent, one of each holder goes after the other: who asked for many keeps nobody
/// else waiting, and nobody's tasks have their turn, too. Each holder's own go in their order.
pub async fn holders_have_their_turns(queue: &dyn TaskQueue) {
    // Also where there is room for fewer than there are holders.
    for room in [1, 2, 4] {
        have_their_turns(queue, room).await;
    }
}

async fn have_their_turns(queue: &dyn TaskQueue, room: usize) {
    let base = 10_000 * u128::try_from(room).unwrap();
    let of = |owner: Option<u128>, number: u128, due: i64| NewTask {
        owner: owner.map(super::sample::holder),
        ..task(number, due)
    };
    let mut tasks: Vec<_> = (1_000..1_060).map(|n| of(Some(1), base + n, 0)).collect();
    tasks.extend((2_000..2_005).map(|n| of(Some(2), base + n, 0)));
    tasks.extend((3_000..3_005).map(|n| of(None, base + n, 0)));
    tasks.extend((4_000..4_003).map(|n| of(Some(4), base + n, 0)));
    queue.enqueue(&tasks).await.unwrap();
    let mut order = Vec::new();
    while order.len() < 28 {
        for held in lease_for(queue, room, TERM * 10).await {
            order.push(held.task_id.uuid().as_u128() - base);
            queue.complete(&held).await.unwrap().unwrap();
        }
    }
    for (first, count) in [(2_000, 5), (3_000, 5), (4_000, 3)] {
        let own: Vec<_> =
            order.iter().copied().filter(|n| (first..first + 60).contains(n)).collect();
        let whole: Vec<_> = (first..first + count).collect();
        assert_eq!(own, whole, "of {order:?}");
    }
    // While there was only one who had any, all were theirs.
    assert!(order[20..].iter().all(|n| (1_000..1_060).contains(n)), "{order:?}");
    for held in lease_for(queue, tasks.len() - order.len(), TERM * 10).await {
        queue.complete(&held).await.unwrap().unwrap();
    }
}

/// Leases into a room, until so many are leased.
async fn fill(queue: &dyn TaskQueue, room: &mut Room, count: usize) -> Vec<Lease> {
    let (mut leases, began) = (Vec::new(), Instant::now());
    while leases.len() < count {
        for lease in queue.lease(room, TERM * 10).await.unwrap() {
            assert!(room.take(&lease.kind), "there was no room for another {}", lease.kind);
            leases.push(lease);
        }
        assert!(began.elapsed() < PATIENCE, "only {} of {count} were leased", leases.len());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    leases
}

/// Of a kind with a limit no more are leased than there is room for; of the others they are.
pub async fn no_more_of_a_kind_are_leased_than_there_is_room_for(queue: &dyn TaskQueue) {
    let others = (11..=12).map(|n| NewTask { kind: other_kind(), ..task(n, 0) });
    let tasks: Vec<_> = (1..=6).map(|n| task(n, 0)).chain(others).collect();
    queue.enqueue(&tasks).await.unwrap();
    let mut room = Room::of(5).with_at_most(2, TaskKind::text());
    let leases = fill(queue, &mut room, 4).await;
    let texts = leases.iter().filter(|lease| lease.kind == TaskKind::text()).count();
    assert_eq!((texts, room.tasks()), (2, 1));
    for _ in 0..20 {
        assert!(queue.lease(&room, TERM).await.unwrap().is_empty());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(fill(queue, &mut Room::of(4), 4).await.len(), 4);
}

/// However many wait of a kind that there is no room for, others behind them are leased; and they
/// are there when there is room again.
pub async fn a_kind_without_room_holds_up_nothing_else(queue: &dyn TaskQueue) {
    let mut tasks: Vec<_> = (1..=100).map(|n| task(n, 0)).collect();
    tasks.push(NewTask { kind: other_kind(), ..task(101, 0) });
    queue.enqueue(&tasks).await.unwrap();
    let mut room = Room::of(2).with_at_most(0, TaskKind::text());
    let held = fill(queue, &mut room, 1).await.remove(0);
    assert_eq!(held.kind, other_kind());
    for _ in 0..20 {
        for held in fill(queue, &mut Room::of(5), 5).await {
            queue.complete(&held).await.unwrap().unwrap();
        }
    }
}
