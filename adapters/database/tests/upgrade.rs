//! A database of the version before is brought to the present schema with what is in it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use std::time::Duration;

use daybook_accounts::{AccountPage, AccountRepository};
use daybook_database::{Database, DatabaseSettings, Migrate, PostgresSettings, SqliteSettings};
use daybook_events::{TaskPage, TaskRepository};
use daybook_migrations::Migrator;
use sea_orm::{ConnectionTrait, DatabaseBackend, DatabaseConnection, Statement};
use sea_orm_migration::MigratorTrait;
use uuid::Uuid;

/// The migrations before the one that gave accounts, orders and tasks their places in the log.
const BEFORE: u32 = 6;

/// A database as the version before left it.
struct Old {
    db: DatabaseConnection,
    settings: DatabaseSettings,
    _folder: tempfile::TempDir,
}

impl Old {
    async fn on_sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("daybook.db");
        let url = format!("sqlite://{}?mode=rwc", file.display());
        let settings = DatabaseSettings::Sqlite(SqliteSettings { file, readers: 1 });
        Self::made(&url, settings, folder).await
    }

    async fn on_postgres() -> Self {
        let server = daybook_services::test_postgres_url().unwrap();
        let name = format!("upgrade_{}", Uuid::now_v7().simple());
        let url = daybook_services::create_database_on(&server, &name).unwrap();
        let settings = PostgresSettings {
            url: url.clone(),
            connections: 2,
            statement_timeout: Duration::from_secs(30),
        };
        Self::made(&url, DatabaseSettings::Postgres(settings), tempfile::tempdir().unwrap()).await
    }

    async fn made(url: &str, settings: DatabaseSettings, folder: tempfile::TempDir) -> Self {
        let db = sea_orm::Database::connect(url).await.unwrap();
        Migrator::up(&db, Some(BEFORE)).await.unwrap();
        Self { db, settings, _folder: folder }
    }

    fn id(&self, number: u128) -> String {
        let id = Uuid::from_u128(number);
        match self.db.get_database_backend() {
            DatabaseBackend::Postgres => format!("'{id}'"),
            _ => format!("x'{}'", id.simple()),
        }
    }

    async fn tell(&self, sql: &str) {
        self.db.execute_unprepared(sql).await.unwrap();
    }

    async fn event(&self, position: u64, category: &str, number: u128, version: u64) {
        let stream = format!("{category}-{}", Uuid::from_u128(number));
        let (id, entry) = (self.id(1_000 + u128::from(position)), self.id(2_000));
        self.tell(&format!(
            "INSERT INTO events (position, id, stream, version, event_type, entry_id, timestamp, data, metadata) \
             VALUES ({position}, {id}, '{stream}', {version}, 'T', {entry}, 0, '{{}}', '{{}}')"
        ))
        .await;
    }

    async fn account(&self, number: u128) {
        let (id, holder) = (self.id(number), self.id(7));
        self.tell(&format!(
            "INSERT INTO accounts (id, holder_id, name, currency, initial_balance, balance, open, created_at, version) \
             VALUES ({id}, {holder}, 'A', 'EUR', 0, 0, true, 0, 1)"
        ))
        .await;
    }

    async fn order(&self, number: u128) {
        let (id, holder) = (self.id(number), self.id(7));
        self.tell(&format!(
            "INSERT INTO orders (id, holder_id, status, paid, created_at, version) \
             VALUES ({id}, {holder}, 'PENDING', false, 0, 1)"
        ))
        .await;
    }

    async fn task(&self, number: u128) {
        let id = self.id(number);
        self.tell(&format!(
            "INSERT INTO tasks (id, kind, payload, state, attempts, run_at, created_at, lease_token, version) \
             VALUES ({id}, 'text', '\"x\"', 'done', 1, 0, 0, 1, 1)"
        ))
        .await;
    }

    async fn positions(&self, table: &str) -> Vec<i64> {
        let sql = format!("SELECT position FROM {table} ORDER BY id");
        let statement = Statement::from_string(self.db.get_database_backend(), sql);
        let rows = self.db.query_all_raw(statement).await.unwrap();
        rows.iter().map(|row| row.try_get("", "position").unwrap()).collect()
    }
}

/// Ids that are in another order than the log, and tasks that no event asked for.
async fn rows_get_their_places(old: &Old) {
    old.event(1, "account", 30, 1).await;
    old.event(2, "order", 40, 1).await;
    old.event(3, "account", 20, 1).await;
    old.event(4, "account", 30, 2).await;
    old.event(5, "task", 51, 1).await;
    old.event(6, "order", 39, 1).await;
    for number in [20, 30] {
        old.account(number).await;
    }
    for number in [39, 40] {
        old.order(number).await;
    }
    for number in [50, 51, 52] {
        old.task(number).await;
    }
    let database = Database::open(&old.settings, Migrate::Up).await.unwrap();
    assert_eq!(old.positions("accounts").await, [3, 1]);
    assert_eq!(old.positions("orders").await, [6, 2]);
    assert_eq!(old.positions("tasks").await, [0, 5, 5]);

    let page = AccountPage { holder: None, after: None, limit: 9 };
    let listed = AccountRepository::list(&database, &page).await.unwrap();
    let listed: Vec<_> = listed.iter().map(|a| a.thing.id.uuid().as_u128()).collect();
    assert_eq!(listed, [30, 20]);
    let page = TaskPage { owner: None, state: None, after: None, limit: 9, bytes: u64::MAX };
    let listed = TaskRepository::list(&database, &page).await.unwrap();
    let listed: Vec<_> = listed.iter().map(|task| task.thing.id.uuid().as_u128()).collect();
    assert_eq!(listed, [52, 51, 50]);
    database.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_the_version_before_get_their_places_on_sqlite() {
    rows_get_their_places(&Old::on_sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_the_version_before_get_their_places_on_postgres() {
    let old = Old::on_postgres().await;
    rows_get_their_places(&old).await;
    // An instance of that version goes on beside the new ones, and says nothing of places.
    old.event(7, "account", 10, 1).await;
    old.account(10).await;
    old.event(8, "order", 41, 1).await;
    old.order(41).await;
    old.event(9, "task", 53, 1).await;
    old.task(53).await;
    old.task(54).await;
    assert_eq!(old.positions("accounts").await, [7, 3, 1]);
    assert_eq!(old.positions("orders").await, [6, 2, 8]);
    assert_eq!(old.positions("tasks").await, [0, 5, 5, 9, 9]);
}

/// What the version before called to append, with its parameters.
#[tokio::test(flavor = "multi_thread")]
async fn the_function_of_the_version_before_stays_beside_the_new_one() {
    let old = Old::on_postgres().await;
    Migrator::up(&old.db, None).await.unwrap();
    let sql = "SELECT pronargs::bigint AS count FROM pg_proc WHERE proname = 'daybook_append'";
    let statement = Statement::from_string(DatabaseBackend::Postgres, sql);
    let rows = old.db.query_all_raw(statement).await.unwrap();
    let mut counts: Vec<i64> = rows.iter().map(|row| row.try_get("", "count").unwrap()).collect();
    counts.sort_unstable();
    // One place each of tasks, accounts and orders.
    assert_eq!(counts.len(), 2);
    assert_eq!(counts[1] - counts[0], 3);
}
