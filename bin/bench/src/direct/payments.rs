//! Paying many orders at once from one account, round after round; only paying is measured.

use std::time::{Duration, Instant};

use daybook_accounts::{AccountId, AccountName};
use daybook_application::{NewOrder, Outcome, Receipt};
use daybook_money::{Amount, Currency};
use daybook_orders::{Contents, LineName, OrderId, RequestedLine};
use tokio::task::JoinSet;

use super::orders::request;
use super::parts::{Product, failed};
use super::{Meter, Ran};
use crate::error::BenchError;
use crate::histogram::Histogram;
use crate::load::{self, Failures};
use crate::options::Pace;

const FORTUNE: &str = "1000000000.00";
const PRICE: &str = "1.00";

pub(super) async fn put(product: &Product, at_once: u32, pace: Pace) -> Result<Ran, BenchError> {
    let currency: Currency = "EUR".parse().map_err(failed)?;
    let account = open_account(product, currency).await?;
    let mut rounds = Rounds::default();
    while rounds.measured < pace.measured && rounds.answers < pace.most_requests {
        let orders = create(product, &contents(currency)?, at_once).await?;
        let warm = rounds.time >= pace.warm_up;
        rounds.pay(product, account, orders, warm).await;
        if rounds.failures.count > 0 {
            break;
        }
    }
    let Rounds { answers, measured, latencies, failures, used, .. } = rounds;
    let outcome = load::Outcome { answers, measured, latencies, failures, generator_busy: None };
    Ok(Ran { outcome, used: Some(used) })
}

async fn open_account(product: &Product, currency: Currency) -> Result<AccountId, BenchError> {
    let name = AccountName::new("Savings").map_err(failed)?;
    let fortune = Some(Amount::Text(FORTUNE.to_owned()));
    let opened =
        product.commands.open_account(&product.caller, name, currency, fortune, request()).await;
    match opened {
        Ok(Outcome { result: Ok(Receipt::AccountOpened(id)), .. }) => Ok(id),
        other => Err(BenchError::failed(format!("no account: {other:?}"))),
    }
}

fn contents(currency: Currency) -> Result<Contents, BenchError> {
    let line = RequestedLine {
        name: LineName::new("Tea").map_err(failed)?,
        quantity: 1,
        unit_price: Amount::Text(PRICE.to_owned()),
    };
    Contents::new(currency, vec![line]).map_err(failed)
}

async fn create(
    product: &Product,
    contents: &Contents,
    count: u32,
) -> Result<Vec<OrderId>, BenchError> {
    let mut creating = JoinSet::new();
    for _ in 0..count {
        let (commands, caller) = (product.commands.clone(), product.caller);
        let order = NewOrder { contents: Some(contents.clone()) };
        creating.spawn(async move { commands.create_order(&caller, order, request()).await });
    }
    let mut orders = Vec::new();
    while let Some(created) = creating.join_next().await {
        match created.map_err(failed)? {
            Ok(Outcome { result: Ok(Receipt::OrderCreated(id)), .. }) => orders.push(id),
            other => return Err(BenchError::failed(format!("no order: {other:?}"))),
        }
    }
    Ok(orders)
}

/// What was paid so far.
struct Rounds {
    /// All of it, warm-up included.
    answers: u64,
    time: Duration,
    measured: Duration,
    latencies: Histogram,
    failures: Failures,
    used: Duration,
}

impl Default for Rounds {
    fn default() -> Self {
        Self {
            answers: 0,
            time: Duration::ZERO,
            measured: Duration::ZERO,
            latencies: Histogram::new(),
            failures: Failures::default(),
            used: Duration::ZERO,
        }
    }
}

impl Rounds {
    /// Pays these orders, all at once; one after the other they are handed in within microseconds.
    async fn pay(
        &mut self,
        product: &Product,
        account: AccountId,
        orders: Vec<OrderId>,
        warm: bool,
    ) {
        let (begun, meter) = (Instant::now(), Meter::start());
        let mut paying = JoinSet::new();
        for order in orders {
            let (commands, caller) = (product.commands.clone(), product.caller);
            paying.spawn(async move {
                let sent = Instant::now();
                let paid = commands.pay_order(&caller, order, Some(account), request()).await;
                (paid, sent.elapsed())
            });
        }
        while let Some(paid) = paying.join_next().await {
            match paid {
                Ok((Ok(Outcome { result: Ok(Receipt::Done), replayed: false, .. }), took)) => {
                    self.answers += 1;
                    if warm {
                        self.latencies.record(took);
                    }
                }
                Ok((other, _)) => self.failures.add(|| format!("{other:?}")),
                Err(error) => self.failures.add(|| error.to_string()),
            }
        }
        let took = begun.elapsed();
        self.time += took;
        self.used += meter.used().unwrap_or_default();
        if warm {
            self.measured += took;
        }
    }
}
