//! Read models beside the live ones, made anew from the log.
//!
//! Rows that differ are replaced, rather than the tables swapped: a table that takes another's place
//! would need its names, indexes and grants, and make every session plan anew. What is done while
//! nobody may append is as much as what differs, and what came last.

mod tables;

use std::time::Duration;

use async_trait::async_trait;
use daybook_accounts::{Account, AccountId};
use daybook_application::{Projected, RebuildError, Rebuilt, Replace, Shadow, Shadows, Stale};
use daybook_events::{HolderId, Lead, Placed, Position, RecordedEvent, Version};
use daybook_orders::{Order, OrderId};
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, EntityTrait, Statement, TransactionOptions, Value,
};
use uuid::Uuid;

use crate::accounts::{restored, stored};
use crate::database::{Engine, scalar};
use crate::entities::{account, event, order};
use crate::error::Fault;
use crate::insert::padded;
use crate::journal::read::restore;
use crate::journal::rows::{account_values, order_values, posting_values};
use crate::pool::Pool;
use crate::{Database, accounts, orders};
use tables::{
    ACCOUNTS_MODEL, BESIDE_ACCOUNTS, BESIDE_ORDERS, BESIDE_POSTINGS, ORDERS_MODEL, POSTINGS_MODEL,
    READ_MODELS, STALE, query,
};

/// Keeps rebuilds apart, on Postgres; it goes with the session.
const REBUILD_LOCK: &str = "SELECT pg_try_advisory_lock(1684109676, 3) AS taken";

/// How long, and how often, it is looked whether another rebuild has ended.
const PATIENCE: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[async_trait]
impl Shadows for Database {
    async fn begin(&self) -> Result<Box<dyn Shadow>, RebuildError> {
        let (writer, lead) = match &self.engine {
            Engine::Sqlite(sqlite) => {
                let lead = sqlite.try_lead("rebuild");
                let lead = lead.map_err(|error| RebuildError::Unavailable(error.0))?;
                (self.writer.clone(), Some(lead.ok_or(RebuildError::Busy)?))
            }
            Engine::Postgres(postgres) => (Pool::lasting(postgres.unhurried()), None),
        };
        let beside =
            Beside { database: self.clone(), writer, locked: None, compared: false, _lead: lead };
        // The session of one that was killed ends with the statement it is at.
        let began = tokio::time::Instant::now();
        while !beside.is_only_one(&beside.writer).await? {
            if began.elapsed() > PATIENCE {
                return Err(RebuildError::Busy);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let transaction = beside.begin().await?;
        tables::remove(&transaction).await.map_err(Fault::from)?;
        tables::make(&transaction).await?;
        transaction.commit().await.map_err(Fault::from)?;
        Ok(Box::new(beside))
    }
}

struct Beside {
    database: Database,
    /// What writes; on Postgres one session, which has the lock of rebuilds.
    writer: Pool,
    /// The transaction that keeps others from appending.
    locked: Option<DatabaseTransaction>,
    /// Whether it was compared: what is written from then on may differ.
    compared: bool,
    _lead: Option<Box<dyn Lead>>,
}

impl Beside {
    async fn begin(&self) -> Result<DatabaseTransaction, Fault> {
        let options = match &self.database.engine {
            Engine::Sqlite(_) => crate::sqlite::immediate(),
            Engine::Postgres(_) => TransactionOptions::default(),
        };
        Ok(self.writer.begin(options).await?)
    }

    /// Whether no other rebuild is at work. Where the session was lost, its lock was too.
    async fn is_only_one(&self, db: &impl ConnectionTrait) -> Result<bool, Fault> {
        match &self.database.engine {
            // The locked file is held as long as this is.
            Engine::Sqlite(_) => Ok(true),
            Engine::Postgres(_) => Ok(scalar(db, REBUILD_LOCK, "taken").await? == Some(true)),
        }
    }

    /// The rows that a statement answers, as the transaction sees them where there is one.
    async fn rows<E: EntityTrait>(
        &self,
        sql: &str,
        values: Vec<Value>,
    ) -> Result<Vec<E::Model>, Fault> {
        let statement =
            Statement::from_sql_and_values(self.writer.get_database_backend(), sql, values);
        let select = E::find().from_raw_sql(statement);
        Ok(match &self.locked {
            Some(transaction) => select.all(transaction).await?,
            None => select.all(&self.writer).await?,
        })
    }

    async fn of_ids<E: EntityTrait>(
        &self,
        table: &str,
        ids: Vec<Uuid>,
    ) -> Result<Vec<E::Model>, Fault> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids = padded(ids);
        let places: Vec<_> = (1..=ids.len()).map(|number| format!("${number}")).collect();
        let sql = format!("SELECT * FROM {table} WHERE id IN ({})", places.join(","));
        self.rows::<E>(&sql, ids.into_iter().map(Value::from).collect()).await
    }

    async fn write_to(&self, db: &impl ConnectionTrait, page: &Projected) -> Result<(), Fault> {
        let accounts = page
            .accounts
            .iter()
            .map(|account| account_values(&account.thing, stored(account.position.get())?))
            .collect::<Result<Vec<_>, _>>()?;
        let orders = page
            .orders
            .iter()
            .map(|order| order_values(&order.thing, stored(order.position.get())?))
            .collect::<Result<Vec<_>, _>>()?;
        let postings = page
            .postings
            .iter()
            .map(|posting| posting_values(&posting.row, posting.position.get().saturating_sub(1)));
        BESIDE_POSTINGS.run(db, postings.collect::<Result<Vec<_>, _>>()?).await?;
        BESIDE_ACCOUNTS.run(db, accounts).await?;
        BESIDE_ORDERS.run(db, orders).await?;
        if self.compared {
            let accounts = page.accounts.iter().map(|account| account.thing.id.uuid().into());
            ACCOUNTS_MODEL.may_differ(db, accounts.collect::<Vec<_>>()).await?;
            let orders = page.orders.iter().map(|order| order.thing.id.uuid().into());
            ORDERS_MODEL.may_differ(db, orders.collect::<Vec<_>>()).await?;
            let positions = page.positions.iter().map(|p| Ok(stored(p.get())?.into()));
            let positions = positions.collect::<Result<Vec<_>, Fault>>()?;
            POSTINGS_MODEL.may_differ(db, positions).await?;
        }
        Ok(())
    }

    async fn replace_in(
        &self,
        db: &impl ConnectionTrait,
        replace: Replace,
    ) -> Result<Rebuilt, RebuildError> {
        if !self.is_only_one(db).await? {
            return Err(RebuildError::Busy);
        }
        let rebuilt = Rebuilt {
            events: 0,
            accounts: ACCOUNTS_MODEL.settle(db).await?,
            orders: ORDERS_MODEL.settle(db).await?,
            postings: POSTINGS_MODEL.settle(db).await?,
            uncached: 0,
        };
        if rebuilt.replaced() == 0 {
            return Ok(rebuilt);
        }
        if replace == Replace::Forbidden {
            return Err(RebuildError::Served(rebuilt.replaced()));
        }
        for model in [ACCOUNTS_MODEL, ORDERS_MODEL] {
            model.keep_stale(db).await.map_err(Fault::from)?;
        }
        for model in READ_MODELS {
            model.replace(db).await.map_err(Fault::from)?;
        }
        Ok(rebuilt)
    }
}

#[async_trait]
impl Shadow for Beside {
    async fn write(&mut self, page: &Projected) -> Result<(), RebuildError> {
        if let Some(transaction) = &self.locked {
            return Ok(self.write_to(transaction, page).await?);
        }
        let transaction = self.begin().await?;
        self.write_to(&transaction, page).await?;
        Ok(transaction.commit().await.map_err(Fault::from)?)
    }

    async fn events(
        &mut self,
        after: Position,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, RebuildError> {
        let sql = "SELECT * FROM events WHERE position > $1 ORDER BY position LIMIT $2";
        let values = vec![stored(after.get())?.into(), i64::from(limit).into()];
        let found = self.rows::<event::Entity>(sql, values).await?;
        Ok(found.into_iter().map(restore).collect::<Result<_, _>>()?)
    }

    async fn accounts(&mut self, ids: &[AccountId]) -> Result<Vec<Placed<Account>>, RebuildError> {
        let ids = ids.iter().map(|id| id.uuid()).collect();
        let found = self.of_ids::<account::Entity>(ACCOUNTS_MODEL.beside, ids).await?;
        Ok(found.iter().map(accounts::restore_placed).collect::<Result<_, _>>()?)
    }

    async fn orders(&mut self, ids: &[OrderId]) -> Result<Vec<Placed<Order>>, RebuildError> {
        let ids = ids.iter().map(|id| id.uuid()).collect();
        let found = self.of_ids::<order::Entity>(ORDERS_MODEL.beside, ids).await?;
        Ok(found.into_iter().map(orders::restore_placed).collect::<Result<_, _>>()?)
    }

    async fn compare(&mut self) -> Result<(), RebuildError> {
        self.compared = true;
        if let Engine::Postgres(_) = &self.database.engine {
            // Tables that were just filled have no statistics yet.
            for model in READ_MODELS {
                let analyze = format!("ANALYZE {}", model.beside);
                self.writer.execute_unprepared(&analyze).await.map_err(Fault::from)?;
                model.list(&self.writer, &self.writer).await?;
            }
            return Ok(());
        }
        for model in READ_MODELS {
            model.list(&self.database.readers, &self.writer).await?;
        }
        Ok(())
    }

    async fn lock(&mut self) -> Result<(), RebuildError> {
        if let Engine::Postgres(postgres) = &self.database.engine {
            postgres.keep_from_appending(&self.writer).await.map_err(Fault::from)?;
        }
        self.locked = Some(self.begin().await?);
        Ok(())
    }

    async fn replace(&mut self, replace: Replace) -> Result<Rebuilt, RebuildError> {
        let Some(transaction) = self.locked.take() else {
            return Err(RebuildError::Unavailable("nobody was kept from appending".to_owned()));
        };
        let rebuilt = self.replace_in(&transaction, replace).await?;
        transaction.commit().await.map_err(Fault::from)?;
        if let Engine::Postgres(postgres) = &self.database.engine {
            if rebuilt.replaced() > 0 {
                postgres.make_forget(&self.writer).await.map_err(Fault::from)?;
            }
            postgres.let_append(&self.writer).await.map_err(Fault::from)?;
        }
        Ok(rebuilt)
    }

    async fn stale(&mut self, offset: u64, limit: u32) -> Result<Vec<Stale>, RebuildError> {
        let sql = format!(
            "SELECT kind, id, holder_id, version FROM {STALE} \
             ORDER BY kind, id, version, holder_id LIMIT $1 OFFSET $2"
        );
        let values = [i64::from(limit).into(), stored(offset)?.into()];
        let rows = query(&self.writer, &sql, values).await.map_err(Fault::from)?;
        let stale = rows.iter().map(|row| {
            let kind: String = row.try_get("", "kind")?;
            let id: Uuid = row.try_get("", "id")?;
            let holder = HolderId::from_uuid(row.try_get("", "holder_id")?);
            // A version that can't be is not cached, and what is cached has to go all the same.
            let version = restored(row.try_get("", "version")?).unwrap_or_default();
            let version = Version::new(version);
            Ok::<_, Fault>(if kind == ACCOUNTS_MODEL.live {
                Stale::Account(AccountId::from_uuid(id), holder, version)
            } else {
                Stale::Order(OrderId::from_uuid(id), holder, version)
            })
        });
        Ok(stale.collect::<Result<_, _>>()?)
    }

    async fn end(&mut self) -> Result<(), RebuildError> {
        if let Some(transaction) = self.locked.take() {
            transaction.rollback().await.map_err(Fault::from)?;
        }
        let removed = tables::remove(&self.writer).await;
        if let Engine::Postgres(_) = &self.database.engine {
            // With the session go its locks.
            self.writer.close().await.map_err(Fault::from)?;
        }
        Ok(removed.map_err(Fault::from)?)
    }
}
