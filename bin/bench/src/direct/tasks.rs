//! Tasks on the broker's queue: put there, leased, done by a handler that does nothing, recorded, acknowledged.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use daybook_application::{RetryPolicy, TaskFailure, TaskHandler, Worker, WorkerSettings};
use daybook_events::{
    Clock, HolderId, Lease, LeaseLost, NewTask, Origin, Priority, QueueError, Room, TaskId,
    TaskKind, TaskQueue, Timestamp,
};
use daybook_rabbitmq::RabbitQueue;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::parts::{Now, Product, failed, queue};
use super::relay::all_of;
use super::{Broker, Meter, Ran};
use crate::error::BenchError;

const KIND: &str = "nothing";
const PATIENCE: Duration = Duration::from_mins(1);

/// The worker of `daybook serve`, but for how many tasks it does at a time.
const SETTINGS: WorkerSettings = WorkerSettings {
    kinds: Vec::new(),
    concurrency: 8,
    lease: Duration::from_secs(30),
    poll: Duration::from_millis(500),
    grace: Duration::from_secs(10),
    retry: RetryPolicy {
        attempts: 8,
        first_pause: Duration::from_secs(1),
        longest_pause: Duration::from_mins(10),
    },
};

/// How many messages are fetched ahead for so many tasks at a time, as `daybook serve` sets it.
pub(crate) fn prefetch(concurrency: u32) -> u16 {
    u16::try_from(concurrency.saturating_mul(2)).unwrap_or(u16::MAX)
}

pub(super) async fn put(
    product: &Product,
    broker: &Broker,
    count: u64,
    concurrency: u32,
) -> Result<Ran, BenchError> {
    let new_tasks = Arc::new(Notify::new());
    let ahead = prefetch(concurrency);
    let queue =
        Arc::new(queue(broker, Some(&product.database), ahead, Arc::clone(&new_tasks)).await?);
    let tasks = new_tasks_of(product.caller.holder_id, count)?;
    let stop = CancellationToken::new();
    let counted = Arc::new(UntilAll {
        queue: Arc::clone(&queue),
        left: AtomicU64::new(count),
        all: CancellationToken::new(),
    });
    let handlers = HashMap::from([(KIND, Arc::new(Nothing) as Arc<dyn TaskHandler>)]);
    let settings = WorkerSettings { concurrency, ..SETTINGS };
    let worker = Worker::new(counted.clone(), Arc::new(Now), handlers, settings, new_tasks);

    let (begun, meter) = (Instant::now(), Meter::start());
    let working = tokio::spawn(worker.run(stop.clone()));
    let all = async {
        queue.enqueue(&tasks).await.map_err(failed)?;
        counted.all.cancelled().await;
        Ok::<_, BenchError>(())
    };
    let done = timeout(PATIENCE, all).await;
    let (measured, used) = (begun.elapsed(), meter.used());
    done.map_err(|_| BenchError::failed("not all tasks were done in time"))??;

    stop.cancel();
    working.await.map_err(failed)?;
    queue.close().await;
    Ok(Ran { outcome: all_of(count, measured), used })
}

/// Puts one task on the queue, as large as those that are measured.
///
/// # Errors
/// Where the broker does not take it.
pub(crate) async fn sample(broker: &Broker) -> Result<(), BenchError> {
    let queue = queue(broker, None, 1, Arc::new(Notify::new())).await?;
    let tasks = new_tasks_of(HolderId::from_uuid(Uuid::now_v7()), 1)?;
    queue.enqueue(&tasks).await.map_err(failed)?;
    queue.close().await;
    Ok(())
}

/// The kind of task whose handler does nothing.
pub(super) fn kind() -> Result<TaskKind, BenchError> {
    KIND.parse().map_err(failed)
}

/// What a task of some kind is about: as long as a short mail.
pub(super) fn payload(number: u64) -> Result<Box<RawValue>, BenchError> {
    let text = format!("This is number {number:08} of the mails that nobody is going to read.");
    let payload =
        serde_json::json!({ "to": "bench@example.com", "subject": "A task", "text": text });
    to_raw_value(&payload).map_err(failed)
}

fn new_tasks_of(owner: HolderId, count: u64) -> Result<Vec<NewTask>, BenchError> {
    let now = Now.now();
    let task = |number| {
        Ok(NewTask {
            id: TaskId::from_uuid(Uuid::now_v7()),
            owner: Some(owner),
            kind: kind()?,
            payload: payload(number)?,
            run_at: now,
            created_at: now,
            priority: Priority::Normal,
            unique: None,
            history: Vec::new(),
            origin: Origin::Outside,
        })
    };
    (0..count).map(task).collect()
}

/// Does nothing.
struct Nothing;

#[async_trait]
impl TaskHandler for Nothing {
    async fn handle(&self, _: &Lease) -> Result<(), TaskFailure> {
        Ok(())
    }
}

/// The queue, which tells when so many tasks were completed: recorded, and acknowledged to the broker.
struct UntilAll {
    queue: Arc<RabbitQueue>,
    left: AtomicU64,
    all: CancellationToken,
}

#[async_trait]
impl TaskQueue for UntilAll {
    async fn enqueue(&self, tasks: &[NewTask]) -> Result<(), QueueError> {
        self.queue.enqueue(tasks).await
    }

    async fn lease(&self, room: &Room, term: Duration) -> Result<Vec<Lease>, QueueError> {
        self.queue.lease(room, term).await
    }

    async fn extend(
        &self,
        lease: &Lease,
        term: Duration,
    ) -> Result<Result<(), LeaseLost>, QueueError> {
        self.queue.extend(lease, term).await
    }

    async fn complete(&self, lease: &Lease) -> Result<Result<(), LeaseLost>, QueueError> {
        let completed = self.queue.complete(lease).await?;
        if completed.is_ok() && self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.all.cancel();
        }
        Ok(completed)
    }

    async fn retry(
        &self,
        lease: &Lease,
        reason: &str,
        at: Timestamp,
    ) -> Result<Result<(), LeaseLost>, QueueError> {
        self.queue.retry(lease, reason, at).await
    }

    async fn bury(&self, lease: &Lease, reason: &str) -> Result<Result<(), LeaseLost>, QueueError> {
        self.queue.bury(lease, reason).await
    }

    async fn release(&self, lease: &Lease) -> Result<Result<(), LeaseLost>, QueueError> {
        self.queue.release(lease).await
    }

    async fn withdraw(&self) {
        self.queue.withdraw().await;
    }

    async fn backlog(&self) -> Result<u64, QueueError> {
        self.queue.backlog().await
    }

    async fn check(&self) -> Result<(), QueueError> {
        self.queue.check().await
    }
}
