//! A power cut in the middle of concurrent commands: what was acknowledged is there, once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::support::{Client, Folder, Reply, Server, eventually};

const ROUNDS: usize = 5;
const CLIENTS: usize = 8;
const ACCOUNTS: usize = 4;
/// The power is cut once so many commands of a round were acknowledged.
const ACKNOWLEDGED: usize = 120;

/// What a command does when it is carried out. Money in cents.
#[derive(Clone, Debug)]
enum Effect {
    Order { price: i64 },
    Deposit { account: usize, amount: i64 },
    Payment { account: usize, order: String, price: i64 },
}

/// A command that was sent, and its answer unless the power was cut first.
struct Sent {
    key: String,
    path: String,
    body: Value,
    effect: Effect,
    answer: Option<Reply>,
}

/// The books as the answers tell them.
#[derive(Default)]
struct Books {
    /// Each order's price, and the account it was paid from.
    orders: BTreeMap<String, (i64, Option<usize>)>,
    balances: [i64; ACCOUNTS],
    deposits: BTreeSet<String>,
}

fn decimal(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn cents(decimal: &Value) -> i64 {
    decimal.as_str().unwrap().replace('.', "").parse().unwrap()
}

impl Sent {
    fn send(&self, client: &Client) -> Result<Reply, ureq::Error> {
        client.ask("POST", &self.path).key(&self.key).json(&self.body).try_send()
    }

    /// Sends it again and expects that it has its one outcome.
    #[track_caller]
    fn repeat(&self, client: &Client) -> Reply {
        let reply = self.send(client).unwrap();
        assert!(matches!(reply.status, 201 | 204 | 409), "{}: {reply:?}", self.key);
        reply
    }
}

/// A repeated reply says so; that a repeated refusal does is another test's subject.
fn is_repeated(reply: &Reply) -> bool {
    reply.is_replayed() || reply.status == 409
}

/// Sends commands, each under a key of its own, until the power is cut.
fn hurry(
    client: &Client,
    name: &str,
    accounts: &[String],
    acknowledged: &AtomicUsize,
) -> Vec<Sent> {
    let mut sent: Vec<Sent> = Vec::new();
    let mut unpaid: Option<(String, i64)> = None;
    for number in 0_usize.. {
        let account = number % ACCOUNTS;
        let cents = 100 + i64::try_from(number * 37 % 900).unwrap();
        let (path, body, effect) = match (number % 3, unpaid.take()) {
            (2, Some((order, price))) => (
                format!("/orders/{order}/pay"),
                json!({ "account_id": accounts[account] }),
                Effect::Payment { account, order, price },
            ),
            (1, order) => {
                unpaid = order;
                (
                    format!("/accounts/{}/deposits", accounts[account]),
                    json!({ "amount": decimal(cents) }),
                    Effect::Deposit { account, amount: cents },
                )
            }
            _ => {
                let line = json!({ "name": "Tea", "quantity": 1, "unit_price": decimal(cents) });
                let body = json!({ "currency_code": "EUR", "lines": [line] });
                ("/orders".to_owned(), body, Effect::Order { price: cents })
            }
        };
        let mut command =
            Sent { key: format!("{name}-{number}"), path, body, effect, answer: None };
        let answer = command.send(client);
        let over = answer.is_err();
        if let Ok(reply) = answer {
            assert!(matches!(reply.status, 201 | 204 | 409), "{}: {reply:?}", command.key);
            if let (201, Effect::Order { price }) = (reply.status, &command.effect) {
                unpaid = Some((reply.text("order_id"), *price));
            }
            command.answer = Some(reply);
            acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        sent.push(command);
        if over {
            break;
        }
    }
    sent
}

/// Runs one round up to the power cut.
fn round(server: Server, client: &Client, accounts: &[String], number: usize) -> Vec<Sent> {
    let acknowledged = AtomicUsize::new(0);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let (client, name, count) =
                    (client.apart(), format!("{number}-{n}"), &acknowledged);
                scope.spawn(move || hurry(&client, &name, accounts, count))
            })
            .collect();
        eventually("enough is acknowledged", || {
            (acknowledged.load(Ordering::Relaxed) >= ACKNOWLEDGED).then_some(())
        });
        server.kill();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}

impl Books {
    fn enter(&mut self, effect: &Effect, answer: &Reply) {
        match (answer.status, effect) {
            (201, Effect::Order { price }) => {
                assert!(self.orders.insert(answer.text("order_id"), (*price, None)).is_none());
            }
            (201, Effect::Deposit { account, amount }) => {
                assert!(self.deposits.insert(answer.text("entry_id")));
                self.balances[*account] += amount;
            }
            (204, Effect::Payment { account, order, price }) => {
                self.orders.get_mut(order).unwrap().1 = Some(*account);
                self.balances[*account] -= price;
            }
            (409, Effect::Payment { .. }) => {}
            _ => panic!("{effect:?} was answered with {answer:?}"),
        }
    }

    /// What the server has is what the answers said, no more and no less.
    fn compare(&self, client: &Client, accounts: &[String]) {
        let events = client.events();
        let positions: Vec<_> = events.iter().map(|e| e["position"].as_u64().unwrap()).collect();
        assert_eq!(positions, (1..=positions.len() as u64).collect::<Vec<_>>());
        let of_type = |name: &str| {
            let events = events.iter().filter(|event| event["type"] == name);
            let mut orders: Vec<_> =
                events.map(|e| e["order_id"].as_str().unwrap_or_default()).collect();
            orders.sort_unstable();
            orders
        };
        assert_eq!(of_type("OrderCreated"), self.orders.keys().collect::<Vec<_>>());
        let paid = self.orders.iter().filter(|(_, (_, payer))| payer.is_some()).map(|(id, _)| id);
        let paid: Vec<_> = paid.collect();
        assert_eq!(of_type("OrderPaid"), paid);
        assert_eq!(of_type("OrderPaymentDebited"), paid);
        assert_eq!(of_type("MoneyDeposited").len(), self.deposits.len());

        let (orders, _) = client.pages("/orders?limit=1000");
        assert_eq!(orders.len(), self.orders.len());
        for order in orders {
            let (price, payer) = self.orders[order["id"].as_str().unwrap()];
            let payer = payer.map(|account| accounts[account].as_str());
            assert_eq!(cents(&order["total"]), price);
            assert_eq!(order["account_id"].as_str(), payer);
            assert_eq!(order["status"], if payer.is_some() { "PAID" } else { "PENDING" });
        }
        let mut deposits = BTreeSet::new();
        for (account, balance) in accounts.iter().zip(self.balances) {
            assert_eq!(client.balance(account), decimal(balance));
            let (entries, _) = client.pages(&format!("/accounts/{account}/entries?limit=1000"));
            assert_eq!(entries.iter().map(|entry| cents(&entry["amount"])).sum::<i64>(), balance);
            let ids = entries.iter().filter(|entry| entry["type"] == "MoneyDeposited");
            deposits.extend(ids.map(|entry| entry["entry_id"].as_str().unwrap().to_owned()));
        }
        assert_eq!(deposits, self.deposits);
    }
}

#[test]
fn what_was_acknowledged_is_there_once_after_a_power_cut() {
    let folder = Folder::new();
    let mut server = Server::start(&folder);
    let mut client = server.register("ada@example.com");
    let accounts: Vec<_> = (0..ACCOUNTS)
        .map(|n| client.open_account(&format!("Number {n}"), "EUR", &json!("0")))
        .collect();
    let mut books = Books::default();
    let mut unknown = 0;
    for number in 0..ROUNDS {
        let sent = round(server, &client, &accounts, number);
        server = Server::start(&folder);
        client = client.at(&server.client());
        for (index, command) in sent.iter().enumerate() {
            let Some(answer) = &command.answer else { continue };
            books.enter(&command.effect, answer);
            // Some are sent again: they are answered as they were, and nothing happens.
            if index % 5 == 0 {
                let again = command.repeat(&client);
                assert_eq!(
                    (again.status, &again.body),
                    (answer.status, &answer.body),
                    "{}",
                    command.key
                );
                assert!(is_repeated(&again), "{}: {again:?}", command.key);
            }
        }
        for command in sent.iter().filter(|command| command.answer.is_none()) {
            let first = command.repeat(&client);
            let second = command.repeat(&client);
            assert_eq!(
                (second.status, &second.body),
                (first.status, &first.body),
                "{}",
                command.key
            );
            assert!(is_repeated(&second), "{}: {second:?}", command.key);
            books.enter(&command.effect, &first);
            unknown += 1;
        }
        books.compare(&client, &accounts);
    }
    assert!(unknown > 0, "no command was in the air when the power was cut");
    assert!(books.orders.len() > ROUNDS * ACKNOWLEDGED / 6, "only {} orders", books.orders.len());
    assert!(
        books.deposits.len() > ROUNDS * ACKNOWLEDGED / 6,
        "only {} deposits",
        books.deposits.len()
    );
}
