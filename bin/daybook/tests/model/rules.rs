//! The rules, said plainly: balances are numbers, orders have a status, and that is all.

use daybook_accounts::{AccountId, AccountRejection};
use daybook_application::{Receipt, Rejection};
use daybook_money::MoneyError;
use daybook_orders::{OrderId, OrderRejection};
use rand::Rng;
use rand::rngs::StdRng;

const HOLDERS: usize = 4;
const CURRENCIES: [&str; 2] = ["EUR", "USD"];
const MOST: i128 = i64::MAX as i128;

/// An amount as it is asked for, and what is known of it.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Cents(i128),
    NotADecimal,
    TooPrecise,
    TooLarge,
}

impl Asked {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Cents(cents) => {
                let sign = if *cents < 0 { "-" } else { "" };
                format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
            }
            Self::NotADecimal => "ten".to_owned(),
            Self::TooPrecise => "0.001".to_owned(),
            Self::TooLarge => "92233720368547758.08".to_owned(),
        }
    }

    fn cents(&self) -> Result<i128, Rejection> {
        match self {
            Self::Cents(cents) => Ok(*cents),
            Self::NotADecimal => Err(AccountRejection::AmountNotADecimal.into()),
            Self::TooPrecise => Err(AccountRejection::AmountTooPrecise.into()),
            Self::TooLarge => Err(AccountRejection::AmountOutOfRange.into()),
        }
    }

    fn initial_cents(&self) -> Result<i128, Rejection> {
        let reason = match self {
            Self::Cents(cents) => return Ok(*cents),
            Self::NotADecimal => MoneyError::NotADecimal,
            Self::TooPrecise => MoneyError::TooPrecise,
            Self::TooLarge => MoneyError::OutOfRange,
        };
        Err(AccountRejection::InitialBalance(reason).into())
    }
}

/// Accounts and orders are named by their number here; the subject's ids are learned.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Open { currency: usize, initial: Option<Asked> },
    Rename { account: usize, name: u8 },
    Close { account: usize },
    Deposit { account: usize, amount: Asked },
    Withdraw { account: usize, amount: Asked },
    Transfer { from: usize, to: usize, amount: Asked },
    Create { lines: Option<(usize, Vec<(u32, i128)>)> },
    Pay { order: usize, account: Option<usize> },
    Cancel { order: usize },
}

#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub holder: usize,
    pub what: What,
    /// The idempotency key; one that was used before repeats what it was used for.
    pub key: Option<u64>,
    pub ids: Vec<(usize, AccountId)>,
    pub order_id: Option<OrderId>,
}

#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Done,
    Made(Thing),
    Refused(Rejection),
    Repeated(Option<Result<Receipt, Rejection>>),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Thing {
    Account(usize),
    Order(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub id: Option<AccountId>,
    pub holder: usize,
    pub currency: usize,
    pub balance: i128,
    pub name: String,
    pub open: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Pending,
    Paid { from: Option<usize> },
    Canceled,
}

#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub id: Option<OrderId>,
    pub holder: usize,
    pub total: Option<(usize, i128)>,
    pub status: Status,
}

#[derive(Default)]
pub(crate) struct Rules {
    pub accounts: Vec<Account>,
    pub orders: Vec<Order>,
    /// What was asked with a key, and what the answer was.
    keyed: Vec<(Question, Option<Result<Receipt, Rejection>>)>,
}

impl Rules {
    pub(crate) fn currency(number: usize) -> &'static str {
        CURRENCIES[number]
    }

    pub(crate) fn summary(&self) -> String {
        format!("{} accounts, {} orders", self.accounts.len(), self.orders.len())
    }

    /// Something to ask: mostly sensible, often not.
    pub(crate) fn think_up(&self, random: &mut StdRng) -> Question {
        let answered = self.keyed.iter().filter(|(_, answer)| answer.is_some()).count();
        if answered > 0 && random.random_ratio(1, 30) {
            let pick = random.random_range(0..answered);
            return self
                .keyed
                .iter()
                .filter(|(_, answer)| answer.is_some())
                .nth(pick)
                .unwrap()
                .0
                .clone();
        }
        let what = self.think_up_what(random);
        let named = match &what {
            What::Rename { account, .. }
            | What::Close { account }
            | What::Deposit { account, .. }
            | What::Withdraw { account, .. } => vec![*account],
            What::Transfer { from, to, .. } => vec![*from, *to],
            What::Pay { account, .. } => account.iter().copied().collect(),
            What::Open { .. } | What::Create { .. } | What::Cancel { .. } => vec![],
        };
        let order = match &what {
            What::Pay { order, .. } | What::Cancel { order } => Some(*order),
            _ => None,
        };
        // Mostly the owner asks; another's thing has to look like nothing.
        let owner = order
            .map(|o| self.orders[o].holder)
            .or(named.first().map(|a| self.accounts[*a].holder));
        let anyone = random.random_range(0..HOLDERS);
        let holder = if random.random_ratio(1, 20) { anyone } else { owner.unwrap_or(anyone) };
        let key = random.random_ratio(1, 4).then(|| u64::try_from(self.keyed.len()).unwrap());
        Question {
            holder,
            what,
            key,
            ids: named
                .into_iter()
                .map(|number| (number, self.accounts[number].id.unwrap()))
                .collect(),
            order_id: order.map(|number| self.orders[number].id.unwrap()),
        }
    }

    fn think_up_what(&self, random: &mut StdRng) -> What {
        let known = |list: usize| list > 0;
        // Only what an answer has named can be asked about; the newest are the busiest.
        let accounts = self.accounts.iter().take_while(|a| a.id.is_some()).count();
        let orders = self.orders.iter().take_while(|o| o.id.is_some()).count();
        let near_end = |random: &mut StdRng, count: usize| {
            if random.random_ratio(1, 4) {
                random.random_range(0..count)
            } else {
                count - 1 - random.random_range(0..count.min(12))
            }
        };
        match random.random_range(0..100) {
            0..3 => What::Open {
                currency: usize::from(random.random_ratio(1, 4)),
                initial: random.random_bool(0.7).then(|| amount(random)),
            },
            3..6 if known(accounts) => What::Rename {
                account: near_end(random, accounts),
                name: random.random_range(0..3),
            },
            6..7 if known(accounts) => What::Close { account: near_end(random, accounts) },
            7..27 if known(accounts) => {
                What::Deposit { account: near_end(random, accounts), amount: amount(random) }
            }
            27..45 if known(accounts) => {
                What::Withdraw { account: near_end(random, accounts), amount: amount(random) }
            }
            45..60 if accounts > 1 => {
                let from = near_end(random, accounts);
                let to = (from + 1 + random.random_range(0..accounts - 1)) % accounts;
                What::Transfer { from, to, amount: amount(random) }
            }
            60..75 if known(orders) => {
                let account = (known(accounts) && random.random_bool(0.8))
                    .then(|| near_end(random, accounts));
                What::Pay { order: near_end(random, orders), account }
            }
            75..85 if known(orders) => What::Cancel { order: near_end(random, orders) },
            _ => What::Create {
                lines: random.random_bool(0.8).then(|| {
                    let (currency, lines) =
                        (usize::from(random.random_ratio(1, 4)), random.random_range(1..4));
                    let lines = (0..lines)
                        .map(|_| (random.random_range(1..5), random.random_range(0..2_000)));
                    (currency, lines.collect())
                }),
            },
        }
    }

    /// What the answer has to be; changes the model accordingly.
    pub(crate) fn answer(&mut self, question: &Question) -> Answer {
        if let Some((_, answer)) =
            question.key.and_then(|key| self.keyed.get(usize::try_from(key).unwrap()))
        {
            return Answer::Repeated(answer.clone());
        }
        if question.key.is_some() {
            self.keyed.push((question.clone(), None));
        }
        match self.decide(question.holder, &question.what) {
            Ok(answer) => answer,
            Err(rejection) => Answer::Refused(rejection),
        }
    }

    fn decide(&mut self, holder: usize, what: &What) -> Result<Answer, Rejection> {
        match what {
            What::Open { currency, initial } => {
                let balance = initial.as_ref().map_or(Ok(0), Asked::initial_cents)?;
                if balance < 0 {
                    return Err(AccountRejection::InitialBalanceNegative.into());
                }
                let name = "Everyday".to_owned();
                self.accounts.push(Account {
                    id: None,
                    holder,
                    currency: *currency,
                    balance,
                    name,
                    open: true,
                });
                return Ok(Answer::Made(Thing::Account(self.accounts.len() - 1)));
            }
            What::Rename { account, name } => {
                self.own(*account, holder)?.name = format!("Name {name}");
            }
            What::Close { account } => {
                let account = self.own(*account, holder)?;
                (account.open, account.balance) = (false, 0);
            }
            What::Deposit { account, amount } => {
                let account = self.own(*account, holder)?;
                let cents = positive(amount)?;
                account.balance = credit(account.balance, cents)?;
            }
            What::Withdraw { account, amount } => {
                let account = self.own(*account, holder)?;
                let cents = positive(amount)?;
                account.balance = debit(account.balance, cents)?;
            }
            What::Transfer { from, to, amount } => {
                self.own(*from, holder)?;
                self.own(*to, holder)?;
                let cents = positive(amount)?;
                if self.accounts[*from].currency != self.accounts[*to].currency {
                    return Err(AccountRejection::CurrencyMismatch.into());
                }
                let less = debit(self.accounts[*from].balance, cents)?;
                self.accounts[*to].balance = credit(self.accounts[*to].balance, cents)?;
                self.accounts[*from].balance = less;
            }
            What::Create { lines } => {
                let total = lines.as_ref().map(|(currency, lines)| {
                    (
                        *currency,
                        lines.iter().map(|(quantity, price)| i128::from(*quantity) * price).sum(),
                    )
                });
                self.orders.push(Order { id: None, holder, total, status: Status::Pending });
                return Ok(Answer::Made(Thing::Order(self.orders.len() - 1)));
            }
            What::Pay { order, account } => self.pay(holder, *order, *account)?,
            What::Cancel { order } => self.cancel(holder, *order)?,
        }
        Ok(Answer::Done)
    }

    fn own(&mut self, account: usize, holder: usize) -> Result<&mut Account, Rejection> {
        let account = &mut self.accounts[account];
        if account.open && account.holder == holder {
            Ok(account)
        } else {
            Err(Rejection::AccountNotFound)
        }
    }

    fn pay(
        &mut self,
        holder: usize,
        order: usize,
        account: Option<usize>,
    ) -> Result<(), Rejection> {
        let Order { holder: owner, total, status, .. } = self.orders[order].clone();
        if owner != holder {
            return Err(Rejection::OrderNotFound);
        }
        if let Some(account) = account {
            self.own(account, holder)?;
        }
        match status {
            Status::Paid { .. } => return Err(OrderRejection::AlreadyPaid.into()),
            Status::Canceled => return Err(OrderRejection::AlreadyCanceled.into()),
            Status::Pending if account.is_some() && total.is_none() => {
                return Err(OrderRejection::NoTotal.into());
            }
            Status::Pending => {}
        }
        if let (Some(account), Some((currency, total))) = (account, total) {
            if self.accounts[account].currency != currency {
                return Err(AccountRejection::CurrencyMismatch.into());
            }
            self.accounts[account].balance = debit(self.accounts[account].balance, total)?;
        }
        self.orders[order].status = Status::Paid { from: account };
        Ok(())
    }

    fn cancel(&mut self, holder: usize, order: usize) -> Result<(), Rejection> {
        let Order { holder: owner, total, status, .. } = self.orders[order].clone();
        if owner != holder {
            return Err(Rejection::OrderNotFound);
        }
        if status == Status::Canceled {
            return Err(OrderRejection::AlreadyCanceled.into());
        }
        if let (Status::Paid { from: Some(account) }, Some((_, total))) = (status, total)
            && self.accounts[account].open
        {
            self.accounts[account].balance = credit(self.accounts[account].balance, total)?;
        }
        self.orders[order].status = Status::Canceled;
        Ok(())
    }

    /// The ids that the subject gave to what was made.
    pub(crate) fn learn(&mut self, answer: &Answer, receipt: &Receipt) {
        match (answer, receipt) {
            (Answer::Made(Thing::Account(number)), Receipt::AccountOpened(id)) => {
                self.accounts[*number].id = Some(*id);
            }
            (Answer::Made(Thing::Order(number)), Receipt::OrderCreated(id)) => {
                self.orders[*number].id = Some(*id);
            }
            (Answer::Done, Receipt::Done | Receipt::Moved { .. } | Receipt::Transferred(_)) => {}
            _ => panic!("{answer:?} was answered {receipt:?}"),
        }
    }

    pub(crate) fn remember(&mut self, question: &Question, result: &Result<Receipt, Rejection>) {
        // What can never be right is not remembered: its key is free for what was meant.
        if result.as_ref().is_err_and(Rejection::is_of_input) {
            return;
        }
        if let Some(key) = question.key {
            self.keyed[usize::try_from(key).unwrap()].1.get_or_insert_with(|| result.clone());
        }
    }
}

fn positive(amount: &Asked) -> Result<i128, Rejection> {
    let cents = amount.cents()?;
    if cents > 0 { Ok(cents) } else { Err(AccountRejection::AmountNotPositive.into()) }
}

fn debit(balance: i128, cents: i128) -> Result<i128, Rejection> {
    if cents > balance {
        Err(AccountRejection::InsufficientFunds.into())
    } else {
        Ok(balance - cents)
    }
}

fn credit(balance: i128, cents: i128) -> Result<i128, Rejection> {
    if balance + cents > MOST {
        Err(AccountRejection::BalanceOutOfRange.into())
    } else {
        Ok(balance + cents)
    }
}

fn amount(random: &mut StdRng) -> Asked {
    match random.random_range(0..60) {
        0 => Asked::NotADecimal,
        1 => Asked::TooPrecise,
        2 => Asked::TooLarge,
        3 => Asked::Cents(MOST),
        4 => Asked::Cents(0),
        5 => Asked::Cents(-random.random_range(1..500)),
        _ => Asked::Cents(random.random_range(1..5_000)),
    }
}
