//! Creating orders: each client one after the other, each waited for.

use std::time::Instant;

use daybook_application::{Caller, CommandError, Commands, NewOrder, Outcome, Receipt, Request};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::parts::Product;
use super::{Meter, Ran};
use crate::error::BenchError;
use crate::load::{self, Tally, Window};
use crate::options::Pace;

pub(super) async fn put(product: &Product, clients: u32, pace: Pace) -> Result<Ran, BenchError> {
    let meter = Meter::start();
    let window = Window::of(pace);
    let share = pace.share(clients);
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        tasks.spawn(client(product.commands.clone(), product.caller, window, share));
    }
    let outcome = load::gather(&mut tasks, window).await?;
    let used = meter.used();
    tasks.shutdown().await;
    Ok(Ran { outcome, used })
}

async fn client(commands: Commands, caller: Caller, window: Window, share: u64) -> Tally {
    let mut sent = Instant::now();
    let mut tally = Tally::new(sent);
    for _ in 0..share {
        // What POST /orders without a body comes to.
        let ended = commands.create_order(&caller, NewOrder::default(), request()).await;
        let now = Instant::now();
        let unexpected = unexpected(&ended);
        let time_left = tally.note(window, sent, now, unexpected.is_none());
        if let Some(unexpected) = unexpected {
            tally.failures.add(|| unexpected);
            break;
        }
        if !time_left {
            break;
        }
        sent = now;
    }
    tally
}

/// What a request over HTTP without an idempotency key comes with.
pub(super) fn request() -> Request {
    Request { correlation_id: Some(Uuid::now_v7()), ..Request::default() }
}

/// What came instead of a new order.
fn unexpected(ended: &Result<Outcome, CommandError>) -> Option<String> {
    match ended {
        Ok(Outcome { result: Ok(Receipt::OrderCreated(_)), replayed: false, .. }) => None,
        Ok(other) => Some(format!("{other:?}")),
        Err(error) => Some(error.to_string()),
    }
}
