//! All that is stored at one moment, for whoever compares it with the log.

mod checks;
mod compare;

use async_trait::async_trait;
use daybook_application::{Books, BooksError, BooksSnapshot, Check, Difference, Projected};
use daybook_events::{RecordedEvent, StreamId, Version};
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseConnection, DatabaseTransaction, EntityTrait,
    IsolationLevel, QueryResult, Statement, TransactionOptions, TransactionTrait, Value,
};

use crate::Database;
use crate::accounts::{restored, stored};
use crate::database::{Engine, scalar};
use crate::entities::event;
use crate::error::Fault;
use crate::journal::read::restore;

/// How many rows are read at a time.
const PAGE: i64 = 1_000;
/// How many differences one look at a whole table names.
const MOST: usize = 1_000;

#[async_trait]
impl Books for Database {
    async fn snapshot(&self) -> Result<Box<dyn BooksSnapshot>, BooksError> {
        Ok(Box::new(Snapshot::of(self).await?))
    }
}

/// One transaction, which sees everything as it was when it began.
struct Snapshot {
    db: DatabaseTransaction,
    /// On Postgres the session that it runs in, which is nobody else's.
    _session: Option<DatabaseConnection>,
    /// How many rows of streams were there to be compared.
    accounts: u64,
    orders: u64,
}

impl Snapshot {
    async fn of(database: &Database) -> Result<Self, Fault> {
        let (db, session) = match &database.engine {
            // A transaction that begins to read sees the file as it is then.
            Engine::Sqlite(_) => {
                (database.readers.begin(TransactionOptions::default()).await?, None)
            }
            Engine::Postgres(postgres) => {
                let session = postgres.unhurried();
                let options = TransactionOptions {
                    isolation_level: Some(IsolationLevel::RepeatableRead),
                    access_mode: Some(AccessMode::ReadOnly),
                    ..TransactionOptions::default()
                };
                (session.begin_with_options(options).await?, Some(session))
            }
        };
        // What a transaction sees is settled by the first it reads.
        let _: Option<i64> =
            scalar(&db, "SELECT count(*) AS number FROM checkpoints", "number").await?;
        Ok(Self { db, _session: session, accounts: 0, orders: 0 })
    }

    /// The rows that a statement answers. Its parameters are `$1`, `$2` and so on, on both engines.
    async fn rows(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<QueryResult>, Fault> {
        let backend = self.db.get_database_backend();
        Ok(self.db.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await?)
    }

    async fn number(&self, sql: &str) -> Result<u64, Fault> {
        restored(scalar::<i64>(&self.db, sql, "number").await?.unwrap_or_default())
    }
}

#[async_trait]
impl BooksSnapshot for Snapshot {
    async fn count(&mut self) -> Result<u64, BooksError> {
        Ok(self.number("SELECT count(*) AS number FROM events").await?)
    }

    async fn read(
        &mut self,
        after: Option<&(StreamId, Version)>,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, BooksError> {
        let (stream, version) = match after {
            Some((stream, version)) => (stream.as_str(), stored(version.get())?),
            None => ("", 0),
        };
        let sql = "SELECT * FROM events WHERE (stream, version) > ($1, $2) \
                   ORDER BY stream, version LIMIT $3";
        let values: [Value; 3] = [stream.into(), version.into(), i64::from(limit).into()];
        let statement = Statement::from_sql_and_values(self.db.get_database_backend(), sql, values);
        let found = event::Entity::find().from_raw_sql(statement).all(&self.db).await;
        Ok(found.map_err(Fault::from)?.into_iter().map(restore).collect::<Result<_, _>>()?)
    }

    async fn check(&mut self, check: Check) -> Result<Vec<Difference>, BooksError> {
        let found = match check {
            Check::Positions => self.gaps().await,
            Check::Versions => self.repeated_versions().await,
            Check::EventIds => self.repeated_ids().await,
            Check::Accounts => self.unknown_rows(check, "accounts", "account", self.accounts).await,
            Check::Orders => self.unknown_rows(check, "orders", "order", self.orders).await,
            Check::Holders => self.holders().await,
            Check::Balance => self.balance().await,
            Check::Outcomes => self.outcomes().await,
            Check::Tasks => self.unknown_tasks().await,
            Check::Checkpoints => self.checkpoints().await,
            // What belongs to single streams is compared page by page.
            Check::Streams | Check::Postings => Ok(Vec::new()),
        };
        Ok(found?)
    }

    async fn compare(&mut self, page: &Projected) -> Result<Vec<Difference>, BooksError> {
        Ok(self.compare_page(page).await?)
    }
}
