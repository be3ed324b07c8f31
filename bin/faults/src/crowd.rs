//! A crowd of clients that open, pay and cancel, deposit, withdraw and read, on a few accounts and orders
//! that they share, and note what they were told.

mod log_reader;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::client::{Client, Reply, lost};
use crate::error::{Failure, Outcome};
use crate::money::{cents, decimal};

/// How long a command may be tried again until it has an outcome.
const RESOLVED_WITHIN: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(10);
/// Orders that are open for everyone; older ones are left alone.
const POOL: usize = 12;

/// Something that a client asks for.
#[derive(Clone, Debug)]
pub enum Act {
    /// Money comes to an account.
    Deposit {
        /// The account's number among those of the crowd.
        account: usize,
        /// How much.
        cents: i64,
    },
    /// Money leaves an account.
    Withdraw {
        /// The account.
        account: usize,
        /// How much.
        cents: i64,
    },
    /// An order of one line.
    Create {
        /// Its total.
        cents: i64,
    },
    /// An order is paid from an account.
    Pay {
        /// The order.
        order: Order,
        /// The account.
        account: usize,
    },
    /// An order is cancelled.
    Cancel {
        /// The order.
        order: Order,
    },
    /// An account is read.
    ReadAccount {
        /// The account.
        account: usize,
    },
    /// An order is read.
    ReadOrder {
        /// The order.
        order: Order,
    },
    /// A page of the log is read.
    ReadLog {
        /// The position that it begins behind.
        after: u64,
    },
    /// Something is said on a topic.
    Publish {
        /// The topic.
        topic: String,
        /// What; nobody else says the same.
        text: String,
    },
}

/// An event, as whoever reads the log sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its position.
    pub position: u64,
    /// Its stream.
    pub stream: String,
    /// Its version there.
    pub version: u64,
}

/// An order, as whoever created it tells others of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order {
    /// Its id.
    pub id: String,
    /// Its total.
    pub cents: i64,
}

/// What a client was told.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It was done.
    Done {
        /// The position it was acknowledged with.
        position: u64,
        /// The id of what was created.
        id: Option<String>,
    },
    /// A rule refused it: the kind of problem.
    Refused(String),
    /// What an account was like.
    Account {
        /// Its balance.
        cents: i64,
        /// Its version.
        version: u64,
    },
    /// What an order was like.
    Order {
        /// Its status.
        status: String,
        /// Its version.
        version: u64,
    },
    /// What a page of the log had.
    Log {
        /// The events.
        events: Vec<Seen>,
        /// Whether the page was full, so that there may be more.
        is_full: bool,
    },
    /// There is no such thing.
    Missing,
    /// Nothing, and it was not asked again: it may have been done, or be done yet.
    Unknown,
}

/// Something that was asked for, and its answer.
#[derive(Clone, Debug)]
pub struct Deed {
    /// Which client asked.
    pub client: usize,
    /// For what.
    pub act: Act,
    /// When, from the crowd's beginning.
    pub asked: Duration,
    /// When it was answered.
    pub answered: Duration,
    /// The answer.
    pub answer: Answer,
}

/// How a crowd behaves.
#[derive(Clone, Debug)]
pub struct Crowd {
    /// How many clients.
    pub clients: usize,
    /// How many accounts they share.
    pub accounts: usize,
    /// Of a hundred acts, how many are reads.
    pub reads: u32,
    /// Of a hundred commands whose answer was lost, how many are not asked for again.
    pub abandoned: u32,
    /// How many more clients do nothing but read the log, by position.
    pub readers: usize,
    /// What its randomness comes from.
    pub seed: u64,
}

/// The accounts of a crowd.
#[derive(Clone, Debug, Default)]
pub struct Opened {
    /// Their ids.
    pub accounts: Vec<String>,
    /// The position of the last.
    pub position: u64,
}

/// What a crowd has done.
#[derive(Debug, Default)]
pub struct Deeds {
    /// Everything, in no particular order.
    pub all: Vec<Deed>,
    /// The ids of the accounts.
    pub accounts: Vec<String>,
    /// What was heard on all topics, in this order, by someone who listened from the beginning until
    /// everything had time to come; `None` where nobody did.
    pub heard: Option<Vec<String>>,
    /// How often no answer came, or one that the service could not do it now.
    pub interruptions: usize,
    /// The first of them, in words.
    pub interruption: Option<String>,
    /// The longest that one request was waited for that was answered.
    pub longest: Duration,
}

/// What the clients share.
struct Shared<'a> {
    crowd: &'a Crowd,
    accounts: &'a [String],
    orders: Mutex<Vec<Order>>,
    stop: AtomicBool,
    began: Instant,
}

impl Crowd {
    /// Opens the accounts that it shares.
    ///
    /// # Errors
    /// Where that has no outcome.
    pub fn open(&self, client: &Client) -> Outcome<Opened> {
        let mut client = client.clone();
        let mut opened = Opened::default();
        for number in 0..self.accounts {
            let body = json!({ "name": format!("Number {number}"), "currency_code": "EUR" });
            let key = format!("open-{}-{number}", self.seed);
            let account = insist(&mut client, "/accounts", &key, Some(&body))?.expect(201)?;
            opened.position = account.position.unwrap_or(opened.position);
            opened.accounts.push(account.text("account_id")?);
        }
        Ok(opened)
    }

    /// Lets the crowd loose until `meanwhile` has ended, and waits until everything that was asked for
    /// has an answer; then everything is read once more.
    ///
    /// # Errors
    /// Where a command does not come to an outcome, an answer makes no sense, or `meanwhile` fails.
    pub fn run(&self, client: &Client, meanwhile: impl FnOnce() -> Outcome) -> Outcome<Deeds> {
        self.run_on(client, self.open(client)?, meanwhile)
    }

    /// The same, on accounts that are open, and that nothing was done to.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_on(
        &self,
        client: &Client,
        opened: Opened,
        meanwhile: impl FnOnce() -> Outcome,
    ) -> Outcome<Deeds> {
        let Opened { accounts, position: begin } = opened;
        let shared = Shared {
            crowd: self,
            accounts: &accounts,
            orders: Mutex::default(),
            stop: AtomicBool::new(false),
            began: Instant::now(),
        };
        let (ended, happened) = thread::scope(|scope| {
            let members: Vec<_> = (0..self.clients + self.readers)
                .map(|number| {
                    let member = Member::new(&shared, client.starting_at(number), number);
                    let reads = number >= self.clients;
                    scope.spawn(move || if reads { member.follow(begin) } else { member.run() })
                })
                .collect();
            let happened = meanwhile();
            shared.stop.store(true, Ordering::SeqCst);
            (members.into_iter().map(thread::ScopedJoinHandle::join).collect::<Vec<_>>(), happened)
        });
        let mut deeds = Deeds::default();
        for member in ended {
            let member = member.map_err(|_| Failure::new("a client panicked"))??;
            deeds.all.extend(member.all);
            deeds.interruptions += member.interruptions;
            deeds.interruption = deeds.interruption.or(member.interruption);
            deeds.longest = deeds.longest.max(member.longest);
        }
        happened?;
        let mut last = Member::new(&shared, client.clone(), self.clients + self.readers);
        last.read_everything(&deeds.orders())?;
        deeds.all.extend(last.deeds.all);
        deeds.accounts = accounts;
        Ok(deeds)
    }
}

impl Deeds {
    /// Every order that somebody was told of.
    pub fn orders(&self) -> BTreeSet<Order> {
        let created = self.all.iter().filter_map(|deed| match (&deed.act, &deed.answer) {
            (Act::Create { cents }, Answer::Done { id: Some(id), .. }) => {
                Some(Order { id: id.clone(), cents: *cents })
            }
            _ => None,
        });
        created.collect()
    }

    /// How many commands were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.all.iter().filter(|deed| matches!(deed.answer, Answer::Done { .. })).count()
    }
}

/// Asks for something until it has an outcome, with one key, on whichever instance answers.
///
/// # Errors
/// Where it has none after a minute.
pub fn insist(client: &mut Client, path: &str, key: &str, body: Option<&Value>) -> Outcome<Reply> {
    let deadline = Instant::now() + RESOLVED_WITHIN;
    loop {
        let failure = match client.ask("POST", path, Some(key), body) {
            Ok(reply) if reply.status < 500 => return Ok(reply),
            Ok(reply) => Failure::new(format!("{reply:?}")),
            Err(error) => lost(error),
        };
        if Instant::now() > deadline {
            return Err(failure.at(format!("POST {path} with key {key} has no outcome")));
        }
        client.turn();
        thread::sleep(PAUSE);
    }
}

/// One client of a crowd.
struct Member<'a> {
    shared: &'a Shared<'a>,
    client: Client,
    number: usize,
    random: StdRng,
    deeds: Deeds,
}

impl<'a> Member<'a> {
    fn new(shared: &'a Shared<'a>, client: Client, number: usize) -> Self {
        let random = StdRng::seed_from_u64(shared.crowd.seed ^ ((number as u64) << 40));
        Self { shared, client, number, random, deeds: Deeds::default() }
    }

    fn run(mut self) -> Outcome<Deeds> {
        let mut count = 0_u64;
        while !self.shared.stop.load(Ordering::SeqCst) {
            let act = self.next_act();
            let key = format!("{:x}-{}-{count}", self.shared.crowd.seed, self.number);
            match act {
                Act::ReadAccount { .. } | Act::ReadOrder { .. } => self.read(act)?,
                _ => self.command(act, &key)?,
            }
            count += 1;
        }
        Ok(self.deeds)
    }

    fn next_act(&mut self) -> Act {
        let account = self.random.random_range(0..self.shared.accounts.len());
        let cents = self.random.random_range(1..=500);
        let order = {
            let orders = self.shared.orders.lock().unwrap_or_else(PoisonError::into_inner);
            let at = self.random.random_range(0..orders.len().max(1));
            orders.get(at).cloned()
        };
        let reading = self.random.random_range(0..100) < self.shared.crowd.reads;
        match (reading, order, self.random.random_range(0..100)) {
            (true, Some(order), 0..50) => Act::ReadOrder { order },
            (true, _, _) => Act::ReadAccount { account },
            (false, Some(order), 0..30) => Act::Pay { order, account },
            (false, Some(order), 30..40) => Act::Cancel { order },
            (false, _, 40..65) => Act::Deposit { account, cents: cents * 2 },
            (false, _, 65..80) => Act::Withdraw { account, cents },
            (false, _, _) => Act::Create { cents },
        }
    }

    fn path_of(&self, act: &Act) -> (String, Option<Value>) {
        let account =
            |number: &usize| self.shared.accounts.get(*number).cloned().unwrap_or_default();
        match act {
            Act::Deposit { account: number, cents } => (
                format!("/accounts/{}/deposits", account(number)),
                Some(json!({ "amount": decimal(*cents) })),
            ),
            Act::Withdraw { account: number, cents } => (
                format!("/accounts/{}/withdrawals", account(number)),
                Some(json!({ "amount": decimal(*cents) })),
            ),
            Act::Create { cents } => {
                let line = json!({ "name": "Tea", "quantity": 1, "unit_price": decimal(*cents) });
                ("/orders".to_owned(), Some(json!({ "currency_code": "EUR", "lines": [line] })))
            }
            Act::Pay { order, account: number } => (
                format!("/orders/{}/pay", order.id),
                Some(json!({ "account_id": account(number) })),
            ),
            Act::Cancel { order } => (format!("/orders/{}/cancel", order.id), None),
            Act::ReadAccount { account: number } => {
                (format!("/accounts/{}", account(number)), None)
            }
            Act::ReadOrder { order } => (format!("/orders/{}", order.id), None),
            Act::ReadLog { after } => (log_reader::path(*after), None),
            Act::Publish { topic, text } => {
                ("/notifications".to_owned(), Some(json!({ "topic": topic, "message": text })))
            }
        }
    }

    /// Asks for a command until it has an outcome, unless it is abandoned.
    fn command(&mut self, act: Act, key: &str) -> Outcome {
        let (path, body) = self.path_of(&act);
        let asked = self.shared.began.elapsed();
        let deadline = Instant::now() + RESOLVED_WITHIN;
        loop {
            let failure = match self.ask("POST", &path, Some(key), body.as_ref()) {
                Ok(reply) if reply.status < 500 => return self.note(act, asked, &reply),
                Ok(reply) => Failure::new(format!("{reply:?}")),
                Err(failure) => failure,
            };
            self.interrupted(&failure);
            if self.random.random_range(0..100) < self.shared.crowd.abandoned {
                self.push(act, asked, Answer::Unknown);
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(failure.at(format!("POST {path} with key {key} has no outcome")));
            }
            self.client.turn();
            thread::sleep(PAUSE);
        }
    }

    fn read(&mut self, act: Act) -> Outcome {
        let (path, _) = self.path_of(&act);
        let asked = self.shared.began.elapsed();
        let failure = match self.ask("GET", &path, None, None) {
            Ok(reply) if reply.status < 500 => return self.note(act, asked, &reply),
            Ok(reply) => Failure::new(format!("{reply:?}")),
            Err(failure) => failure,
        };
        self.interrupted(&failure.at(path));
        self.client.turn();
        thread::sleep(PAUSE);
        Ok(())
    }

    fn interrupted(&mut self, failure: &Failure) {
        self.deeds.interruptions += 1;
        self.deeds.interruption.get_or_insert_with(|| failure.to_string());
    }

    fn read_everything(&mut self, orders: &BTreeSet<Order>) -> Outcome {
        let accounts = (0..self.shared.accounts.len()).map(|account| Act::ReadAccount { account });
        let orders = orders.iter().cloned().map(|order| Act::ReadOrder { order });
        for act in accounts.chain(orders) {
            let (path, _) = self.path_of(&act);
            let asked = self.shared.began.elapsed();
            let reply = self.client.get(&path)?;
            self.note(act, asked, &reply)?;
        }
        Ok(())
    }

    fn ask(
        &mut self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> Outcome<Reply> {
        let sent = Instant::now();
        let reply = self.client.ask(method, path, key, body).map_err(lost)?;
        self.deeds.longest = self.deeds.longest.max(sent.elapsed());
        Ok(reply)
    }

    fn note(&mut self, act: Act, asked: Duration, reply: &Reply) -> Outcome {
        let answer = answer(&act, reply).map_err(|failure| failure.at(format!("{act:?}")))?;
        if let (Act::Create { cents }, Answer::Done { id: Some(id), .. }) = (&act, &answer) {
            let mut orders = self.shared.orders.lock().unwrap_or_else(PoisonError::into_inner);
            let order = Order { id: id.clone(), cents: *cents };
            if orders.len() < POOL {
                orders.push(order);
            } else {
                let at = self.random.random_range(0..POOL);
                if let Some(place) = orders.get_mut(at) {
                    *place = order;
                }
            }
        }
        self.push(act, asked, answer);
        Ok(())
    }

    fn push(&mut self, act: Act, asked: Duration, answer: Answer) {
        let answered = self.shared.began.elapsed();
        self.deeds.all.push(Deed { client: self.number, act, asked, answered, answer });
    }
}

fn answer(act: &Act, reply: &Reply) -> Outcome<Answer> {
    let unexpected = || Failure::new(format!("an answer that makes no sense: {reply:?}"));
    let version = || reply.body.get("version").and_then(Value::as_u64).ok_or_else(unexpected);
    match (act, reply.status) {
        (Act::ReadAccount { .. }, 200) => {
            Ok(Answer::Account { cents: cents(&reply.text("balance")?)?, version: version()? })
        }
        (Act::ReadOrder { .. }, 200) => {
            Ok(Answer::Order { status: reply.text("status")?, version: version()? })
        }
        (Act::Deposit { .. } | Act::Withdraw { .. }, 201)
        | (Act::Pay { .. } | Act::Cancel { .. }, 204)
        | (Act::Publish { .. }, 202) => {
            Ok(Answer::Done { position: reply.position.ok_or_else(unexpected)?, id: None })
        }
        (Act::Create { .. }, 201) => Ok(Answer::Done {
            position: reply.position.ok_or_else(unexpected)?,
            id: Some(reply.text("order_id")?),
        }),
        (Act::ReadLog { .. }, 200) => log_reader::answer(reply),
        (_, 404) => Ok(Answer::Missing),
        (Act::Withdraw { .. } | Act::Pay { .. } | Act::Cancel { .. }, 409) => {
            Ok(Answer::Refused(reply.problem().to_owned()))
        }
        _ => Err(unexpected()),
    }
}
