//! An audit of what is on disk: the books balance, and the read models are the fold of the log.

use std::collections::HashMap;
use std::path::Path;

use daybook_accounts::{Account, AccountEvent, AccountRepository};
use daybook_database::{Database, DatabaseSettings, Migrate, SqliteSettings};
use daybook_events::{Aggregate, EventFilter, EventPayload, Journal, Position};
use daybook_orders::{Order, OrderEvent, OrderRepository};
use rusqlite::Connection;

use crate::rules::Rules;
use crate::subject::account_of;

pub(crate) async fn audit(file: &Path, rules: &Rules) {
    balances(file);
    fold(file, rules).await;
}

fn balances(file: &Path) {
    let database = Connection::open(file).unwrap();
    // Sums in this program: those of the world outside can pass what SQL can add up.
    let mut sums: HashMap<String, i128> = HashMap::new();
    let mut of_accounts: HashMap<Vec<u8>, i128> = HashMap::new();
    let mut statement =
        database.prepare("SELECT currency, amount, account_id FROM postings").unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let amount = i128::from(row.get::<_, i64>(1).unwrap());
        *sums.entry(row.get(0).unwrap()).or_default() += amount;
        if let Some(account) = row.get::<_, Option<Vec<u8>>>(2).unwrap() {
            *of_accounts.entry(account).or_default() += amount;
        }
    }
    assert!(
        !sums.is_empty() && sums.values().all(|sum| *sum == 0),
        "postings do not sum to zero: {sums:?}"
    );
    let mut statement = database.prepare("SELECT id, balance FROM accounts").unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let (id, balance): (Vec<u8>, i64) = (row.get(0).unwrap(), row.get(1).unwrap());
        assert_eq!(
            i128::from(balance),
            of_accounts.get(&id).copied().unwrap_or(0),
            "a balance is not its postings"
        );
        assert!(balance >= 0, "an account is below its floor");
    }
}

async fn fold(file: &Path, rules: &Rules) {
    let settings = DatabaseSettings::Sqlite(SqliteSettings { file: file.to_owned(), readers: 1 });
    let database = Database::open(&settings, Migrate::Up).await.unwrap();
    let (mut accounts, mut orders) = (HashMap::new(), HashMap::new());
    let mut position = Position::ZERO;
    loop {
        let events = database.read(&EventFilter::All, position, 1_000).await.unwrap();
        if events.is_empty() {
            break;
        }
        for event in events {
            assert_eq!(event.position, position.next(), "the log has a gap");
            position = event.position;
            if let Some(id) = account_of(event.stream.as_str()) {
                let change = AccountEvent::from_stored(&event.event_type, &event.data).unwrap();
                let account = Account::evolve(accounts.remove(&id), &change).unwrap();
                assert_eq!(account.version, event.version);
                accounts.insert(id, account);
            } else {
                let change = OrderEvent::from_stored(&event.event_type, &event.data).unwrap();
                let order = Order::evolve(orders.remove(&event.stream), &change).unwrap();
                assert_eq!(order.version, event.version);
                orders.insert(event.stream, order);
            }
        }
    }
    assert_eq!((accounts.len(), orders.len()), (rules.accounts.len(), rules.orders.len()));
    for (id, account) in accounts {
        assert_eq!(AccountRepository::find(&database, &[id]).await.unwrap(), [account]);
    }
    for order in orders.into_values() {
        assert_eq!(OrderRepository::find(&database, &[order.id]).await.unwrap(), [order]);
    }
    database.close().await;
}
