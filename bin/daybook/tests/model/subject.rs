//! Daybook itself, without HTTP: use cases over the real appender and database.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use daybook_accounts::{AccountId, AccountName, AccountRepository};
use daybook_application::{
    Appender, AppenderSettings, Caller, CommandError, Commands, MoneyMovement, NewOrder, Outcome,
    Passwords, Ports, ReadCache, Reads, Request, RequestKey, Tail, TailBounds, TransferRequest,
};
use daybook_database::{Database, DatabaseSettings, Migrate, SqliteSettings};
use daybook_events::{Clock, Fingerprint, HolderId, IdSource, IdempotencyKey, Timestamp};
use daybook_memory::MemoryCache;
use daybook_money::Amount;
use daybook_orders::{Contents, LineName, OrderRepository, RequestedLine};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::rules::{Account, Order, Question, Rules, Status, What};

struct Now;

impl Clock for Now {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
    }
}

struct Ids;

impl IdSource for Ids {
    fn next(&self) -> Uuid {
        Uuid::now_v7()
    }
}

pub(crate) struct Subject {
    commands: Commands,
    reads: Reads,
    database: Database,
    appending: JoinHandle<()>,
}

fn size(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap()
}

fn caller(holder: usize) -> Caller {
    let uuid = Uuid::from_u128(1 + u128::try_from(holder).unwrap());
    Caller { holder_id: HolderId::from_uuid(uuid), operator: false }
}

impl Subject {
    pub(crate) async fn start(file: &Path) -> Self {
        let settings =
            DatabaseSettings::Sqlite(SqliteSettings { file: file.to_owned(), readers: 2 });
        let database = Database::open(&settings, Migrate::Up).await.unwrap();
        let shared = Arc::new(database.clone());
        let cache = ReadCache {
            cache: Arc::new(MemoryCache::new(1 << 20)),
            ttl: Duration::from_mins(10),
            absent_ttl: Duration::from_mins(1),
            repair: None,
        };
        let reads = Reads::new(shared.clone(), shared.clone(), Some(cache));
        let ports = Ports {
            journal: shared.clone(),
            accounts: shared.clone(),
            orders: shared.clone(),
            holders: shared.clone(),
            tasks: shared.clone(),
            clock: Arc::new(Now),
            ids: Arc::new(Ids),
        };
        // Few states: most decisions have to load what they need.
        let settings =
            AppenderSettings { queue: size(64), batch: size(16), states: size(8), decisions: 4 };
        let (appender, task) = Appender::new(
            ports,
            settings,
            reads.clone(),
            Arc::new(Tail::new(TailBounds { events: 100, bytes: 8 << 20 })),
        );
        let appending = tokio::spawn(task.run());
        let commands =
            Commands::new(appender, Passwords::new(1), shared, Arc::new(Now), Arc::new(Ids));
        Self { commands, reads, database, appending }
    }

    pub(crate) async fn stop(self) {
        drop(self.commands);
        self.appending.await.unwrap();
        self.database.close().await;
    }

    pub(crate) async fn ask(&self, question: &Question) -> Result<Outcome, CommandError> {
        let caller = caller(question.holder);
        let request = Request {
            key: question.key.map(|key| RequestKey {
                key: IdempotencyKey::new(&key.to_string()).unwrap(),
                fingerprint: Fingerprint::new([0; 32]),
            }),
            ..Request::default()
        };
        let account = |index: usize| question.ids[index].1;
        let amount = |asked: &crate::rules::Asked| Amount::Text(asked.text());
        let movement = |asked| MoneyMovement {
            account_id: account(0),
            amount: amount(asked),
            reference: None,
        };
        let commands = &self.commands;
        match &question.what {
            What::Open { currency, initial } => {
                let (name, currency) =
                    (AccountName::new("Everyday").unwrap(), Rules::currency(*currency));
                let initial = initial.as_ref().map(amount);
                commands
                    .open_account(&caller, name, currency.parse().unwrap(), initial, request)
                    .await
            }
            What::Rename { name, .. } => {
                let name = AccountName::new(&format!("Name {name}")).unwrap();
                commands.rename_account(&caller, account(0), Some(name), request).await
            }
            What::Close { .. } => commands.close_account(&caller, account(0), request).await,
            What::Deposit { amount, .. } => {
                commands.deposit(&caller, movement(amount), request).await
            }
            What::Withdraw { amount, .. } => {
                commands.withdraw(&caller, movement(amount), request).await
            }
            What::Transfer { amount: asked, .. } => {
                let transfer = TransferRequest {
                    from: account(0),
                    to: account(1),
                    amount: amount(asked),
                    reference: None,
                };
                commands.transfer(&caller, transfer, request).await
            }
            What::Create { lines } => {
                let order = NewOrder { contents: lines.as_ref().map(contents) };
                commands.create_order(&caller, order, request).await
            }
            What::Pay { account: from, .. } => {
                let from = from.map(|_| account(0));
                commands.pay_order(&caller, question.order_id.unwrap(), from, request).await
            }
            What::Cancel { .. } => {
                commands.cancel_order(&caller, question.order_id.unwrap(), None, request).await
            }
        }
    }

    /// What a reader is shown of some account and some order, through the cache.
    pub(crate) async fn compare(&self, rules: &Rules, random: &mut StdRng) {
        if !rules.accounts.is_empty() {
            self.compare_account(&rules.accounts[random.random_range(0..rules.accounts.len())])
                .await;
        }
        if !rules.orders.is_empty() {
            self.compare_order(&rules.orders[random.random_range(0..rules.orders.len())]).await;
        }
    }

    /// Everything, as readers are shown it and as it is stored.
    pub(crate) async fn compare_all(&self, rules: &Rules) {
        for account in &rules.accounts {
            self.compare_account(account).await;
            let stored = AccountRepository::find(&self.database, &[account.id.unwrap()])
                .await
                .unwrap()
                .remove(0);
            assert_eq!(i128::from(stored.balance.minor()), account.balance);
            assert_eq!(
                (stored.is_open(), stored.name.as_str()),
                (account.open, account.name.as_str())
            );
        }
        for order in &rules.orders {
            self.compare_order(order).await;
            let stored = OrderRepository::find(&self.database, &[order.id.unwrap()])
                .await
                .unwrap()
                .remove(0);
            assert_eq!(
                stored.total().map(|total| i128::from(total.minor())),
                order.total.map(|(_, total)| total)
            );
        }
    }

    async fn compare_account(&self, account: &Account) {
        let shown = self.reads.account(&caller(account.holder), account.id.unwrap()).await.unwrap();
        let Some(shown) = shown else {
            assert!(!account.open, "{account:?} is not shown");
            return;
        };
        let shown: Value = serde_json::from_slice(&shown).unwrap();
        let cents = crate::rules::Asked::Cents(account.balance).text();
        assert!(account.open, "{account:?} is shown");
        assert_eq!(
            (&shown["balance"], &shown["name"]),
            (&Value::from(cents), &Value::from(account.name.as_str()))
        );
        let other =
            self.reads.account(&caller(account.holder + 1), account.id.unwrap()).await.unwrap();
        assert_eq!(other, None, "{account:?} is shown to another");
    }

    async fn compare_order(&self, order: &Order) {
        let shown =
            self.reads.order(&caller(order.holder), order.id.unwrap()).await.unwrap().unwrap();
        let shown: Value = serde_json::from_slice(&shown).unwrap();
        let status = match order.status {
            Status::Pending => "PENDING",
            Status::Paid { .. } => "PAID",
            Status::Canceled => "CANCELED",
        };
        assert_eq!(shown["status"], status, "{order:?}");
    }
}

fn contents((currency, lines): &(usize, Vec<(u32, i128)>)) -> Contents {
    let line = |(quantity, price): &(u32, i128)| RequestedLine {
        name: LineName::new("Tea").unwrap(),
        quantity: *quantity,
        unit_price: Amount::Text(crate::rules::Asked::Cents(*price).text()),
    };
    Contents::new(Rules::currency(*currency).parse().unwrap(), lines.iter().map(line).collect())
        .unwrap()
}

/// The account with this id, as the log tells it.
pub(crate) fn account_of(stream: &str) -> Option<AccountId> {
    stream.strip_prefix("account-").map(|id| AccountId::from_uuid(id.parse().unwrap()))
}
