//! The relay: tasks that are in the log already are handed on to the broker, until all are confirmed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use daybook_application::{
    Destination, Outcome, Receipt, Relay, Row, Search, TaskDispatch, TaskRequest,
};
use daybook_events::{Journal, Position, Priority, RecordedEvent};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::orders::request;
use super::parts::{Now, Product, failed, new_tail, queue};
use super::tasks::{kind, payload};
use super::{Broker, Meter, Ran};
use crate::error::BenchError;
use crate::histogram::Histogram;
use crate::load::{self, Failures};

/// The name that `daybook serve` gives this relay.
const NAME: &str = "tasks";
const CLIENTS: u16 = 256;
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) async fn put(product: &Product, broker: &Broker, count: u64) -> Result<Ran, BenchError> {
    ask_for_tasks(product, count).await?;
    let database = Arc::new(product.database.clone());
    let journal: Arc<dyn Journal<Row>> = database.clone();
    let head = journal.head().await.map_err(failed)?;
    let queue = Arc::new(queue(broker, None, 1, Arc::new(Notify::new())).await?);

    let stop = CancellationToken::new();
    let dispatch =
        TaskDispatch::new(database.clone(), queue.clone(), Arc::new(Now), Search::default());
    let destination = Arc::new(UntilHead { dispatch, head, reached: stop.clone() });
    // An end of the log that is empty: all is read from the database, as after a time without broker.
    let relay = Relay::new(NAME, journal.clone(), database, destination, new_tail());
    let (begun, meter) = (Instant::now(), Meter::start());
    let ran = timeout(PATIENCE, relay.run(stop)).await;
    let (measured, used) = (begun.elapsed(), meter.used());

    ran.map_err(|_| BenchError::failed("the relay did not reach the head of the log"))?;
    let checkpoint = journal.checkpoint(NAME).await.map_err(failed)?;
    if checkpoint != head {
        let (checkpoint, head) = (checkpoint.get(), head.get());
        return Err(BenchError::failed(format!("the checkpoint is at {checkpoint} of {head}")));
    }
    queue.close().await;
    Ok(Ran { outcome: all_of(count, measured), used })
}

/// An outcome without latencies: so many, all done after some time.
pub(super) fn all_of(count: u64, measured: Duration) -> load::Outcome {
    load::Outcome {
        answers: count,
        measured,
        latencies: Histogram::new(),
        failures: Failures::default(),
        generator_busy: None,
    }
}

/// The task's destination, which ends the relay when it has confirmed the last event.
struct UntilHead {
    dispatch: TaskDispatch,
    head: Position,
    reached: CancellationToken,
}

#[async_trait]
impl Destination for UntilHead {
    async fn take(&self, events: &[Arc<RecordedEvent>]) -> Result<(), String> {
        self.dispatch.take(events).await?;
        if events.last().is_some_and(|last| last.position >= self.head) {
            self.reached.cancel();
        }
        Ok(())
    }
}

async fn ask_for_tasks(product: &Product, count: u64) -> Result<(), BenchError> {
    let mut asking = JoinSet::new();
    for client in 0..CLIENTS {
        let (commands, caller) = (product.commands.clone(), product.caller);
        let numbers = (u64::from(client)..count).step_by(usize::from(CLIENTS));
        asking.spawn(async move {
            for number in numbers {
                let task = TaskRequest {
                    kind: kind()?,
                    payload: payload(number)?,
                    run_at: None,
                    priority: Priority::Normal,
                    unique: None,
                };
                match commands.request_task(&caller, task, request()).await {
                    Ok(Outcome { result: Ok(Receipt::TaskAccepted(_)), .. }) => {}
                    other => return Err(BenchError::failed(format!("no task: {other:?}"))),
                }
            }
            Ok(())
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked.map_err(failed)??;
    }
    Ok(())
}
