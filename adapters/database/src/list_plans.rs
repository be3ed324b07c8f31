//! How the engines go about lists: along an index that has a page in its order, whatever the filter.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::time::Duration;

use daybook_accounts::{AccountId, AccountPage, StatementPage};
use daybook_events::{
    EventFilter, HolderId, Position, StreamId, TaskCursor, TaskId, TaskPage, TaskState,
};
use daybook_orders::{OrderPage, OrderStatus};
use sea_orm::{ConnectionTrait, DatabaseBackend, QueryTrait, Statement};
use uuid::Uuid;

use crate::{
    Database, DatabaseSettings, Migrate, PostgresSettings, SqliteSettings, accounts, journal,
    orders, task_repository,
};

/// So many rows of each table that reading all of them would be the worse way.
const ROWS: i64 = 20_000;

const HOLDER: HolderId = HolderId::from_uuid(Uuid::from_u128(1));
const ACCOUNT: AccountId = AccountId::from_uuid(Uuid::from_u128(2));

/// Fills the tables: nearly everything is one holder's and in one state. A topic has most events.
async fn fill(database: &Database) {
    let (new, one, other, account) = match database.readers.get_database_backend() {
        DatabaseBackend::Postgres => (
            "gen_random_uuid()",
            "'00000000-0000-0000-0000-000000000001'::uuid",
            "'00000000-0000-0000-0000-000000000009'::uuid",
            "'00000000-0000-0000-0000-000000000002'::uuid",
        ),
        _ => (
            "randomblob(16)",
            "x'00000000000000000000000000000001'",
            "x'00000000000000000000000000000009'",
            "x'00000000000000000000000000000002'",
        ),
    };
    let holder = format!("CASE WHEN i % 50 = 0 THEN {other} ELSE {one} END");
    let tables = [
        format!(
            "events (position, id, stream, version, event_type, entry_id, owner_id, timestamp, \
             data, metadata) SELECT i, {new}, 'notification-n', i, 'T', {new}, {holder}, i, '{{}}', '{{}}'"
        ),
        format!(
            "orders (id, holder_id, status, paid, created_at, version, position) \
             SELECT {new}, {holder}, 'PENDING', false, i, 1, i"
        ),
        format!(
            "accounts (id, holder_id, name, currency, initial_balance, balance, open, created_at, \
             version, position) SELECT {new}, {holder}, 'A', 'EUR', 0, 0, i % 99 = 0, i, 2, i"
        ),
        format!(
            "tasks (id, owner_id, kind, payload, state, attempts, run_at, created_at, lease_token, \
             version, position) SELECT {new}, {holder}, 'text', '{{}}', 'done', 1, i, i, 1, 1, i"
        ),
        format!(
            "postings (position, ledger, account_id, currency, amount, balance) \
             SELECT i, 'account', {account}, 'EUR', 1, i"
        ),
    ];
    for rows in tables {
        let numbers = format!(
            "(WITH RECURSIVE numbers (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers \
                     WHERE i < {ROWS}) SELECT i FROM numbers) AS numbers"
        );
        let sql = format!("INSERT INTO {rows} FROM {numbers}");
        database.writer.execute_unprepared(&sql).await.unwrap();
    }
    if database.readers.get_database_backend() == DatabaseBackend::Postgres {
        database.writer.execute_unprepared("ANALYZE").await.unwrap();
    }
}

/// Every list with every filter, from its beginning and from its middle.
fn lists(backend: DatabaseBackend) -> Vec<(String, Statement)> {
    let mut all = Vec::new();
    for (holder, middle) in
        [(None, None), (Some(HOLDER), None), (None, Some(ROWS / 2)), (Some(HOLDER), Some(ROWS / 2))]
    {
        let place = middle.map(|middle| Position::new(u64::try_from(middle).unwrap()));
        let name = |list: &str| format!("{list} of {holder:?} from {middle:?}");
        let page = AccountPage { holder, after: place, limit: 101 };
        all.push((name("accounts"), accounts::listed(&page).unwrap().build(backend)));
        for status in [None].into_iter().chain(OrderStatus::ALL.map(Some)) {
            let page = OrderPage { holder, status, before: place, limit: 101, bytes: 1 };
            for columns in ["*", orders::SIZED] {
                let statement = orders::listed(&page, columns, backend).unwrap();
                all.push((name(&format!("orders {status:?}, {columns}")), statement));
            }
        }
        for state in [None].into_iter().chain(TaskState::ALL.map(Some)) {
            let id = TaskId::from_uuid(Uuid::from_u128(5));
            let after = place.map(|position| TaskCursor { position, id });
            let page = TaskPage { owner: holder, state, after, limit: 101, bytes: 1 };
            for columns in ["*", task_repository::SIZED] {
                let statement = task_repository::listed(&page, columns, backend).unwrap();
                all.push((name(&format!("tasks {state:?}, {columns}")), statement));
            }
        }
        let page = StatementPage { account: ACCOUNT, before: place, limit: 101 };
        all.push((name("statement"), accounts::lines(&page).unwrap().build(backend)));
        let filter = holder.map_or(EventFilter::All, EventFilter::Owner);
        let after = middle.unwrap_or_default();
        all.push((name("events"), journal::listed(&filter, after, 101, backend)));
        let stream = EventFilter::Stream(StreamId::new("notification", "n"));
        all.push((name("a stream"), journal::listed(&stream, after, 101, backend)));
    }
    all
}

async fn plan(database: &Database, mut statement: Statement) -> Vec<String> {
    let (explain, column) = match statement.db_backend {
        DatabaseBackend::Postgres => ("EXPLAIN", "QUERY PLAN"),
        _ => ("EXPLAIN QUERY PLAN", "detail"),
    };
    statement.sql = format!("{explain} {}", statement.sql);
    let rows = database.readers.query_all_raw(statement).await.unwrap();
    rows.iter().map(|row| row.try_get("", column).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite_every_list_goes_along_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let settings = SqliteSettings { file: folder.path().join("lists.db"), readers: 1 };
    let database = Database::open(&DatabaseSettings::Sqlite(settings), Migrate::Up).await.unwrap();
    fill(&database).await;
    for (name, statement) in lists(DatabaseBackend::Sqlite) {
        let plan = plan(&database, statement).await;
        for step in &plan {
            // The search within a stream has a table of one row at a time.
            let of_one_row = ["SCAN search", "SCAN CONSTANT ROW"].contains(&step.as_str());
            let scans = step.contains("SCAN") && !of_one_row;
            assert!(!scans && !step.contains("TEMP B-TREE"), "{name}: {plan:#?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_every_list_goes_along_an_index() {
    let server = daybook_services::test_postgres_url().unwrap_or_else(|error| panic!("{error}"));
    let name = format!("lists_{}", Uuid::now_v7().simple());
    let url = daybook_services::create_database_on(&server, &name).unwrap();
    let settings =
        PostgresSettings { url, connections: 4, statement_timeout: Duration::from_mins(1) };
    let database =
        Database::open(&DatabaseSettings::Postgres(settings), Migrate::Up).await.unwrap();
    fill(&database).await;
    for (name, statement) in lists(DatabaseBackend::Postgres) {
        // A page of each state may be sorted with the others'.
        let merged = statement.sql.matches("LIMIT $1").count() > 1;
        let plan = plan(&database, statement).await;
        let wrong = ["Seq Scan", "Bitmap", "Hash"];
        let sorts = plan.iter().any(|step| step.contains("Sort"));
        assert!(
            (merged || !sorts)
                && !plan.iter().any(|step| wrong.iter().any(|wrong| step.contains(wrong))),
            "{name}: {plan:#?}"
        );
    }
}
