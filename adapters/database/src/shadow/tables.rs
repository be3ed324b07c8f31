//! The read models beside the live ones: their tables, and what compares and replaces.

use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, QueryResult, Statement, Value};
use uuid::Uuid;

use crate::error::Fault;
use crate::insert::Insert;
use crate::journal::rows::{ACCOUNTS, ORDERS, POSTINGS};

/// A read model: its live table, the one beside it, and the list of what may differ.
pub(super) struct ReadModel {
    pub(super) live: &'static str,
    pub(super) beside: &'static str,
    differing: &'static str,
    /// What differing rows are listed and replaced by.
    key: &'static str,
    /// What makes a row one of a kind.
    identity: &'static [&'static str],
    columns: &'static [&'static str],
}

pub(super) const ACCOUNTS_MODEL: ReadModel = ReadModel {
    live: "accounts",
    beside: BESIDE_ACCOUNTS.table,
    differing: "rebuild_differing_accounts",
    key: "id",
    identity: &["id"],
    columns: &ACCOUNTS.columns,
};
pub(super) const ORDERS_MODEL: ReadModel = ReadModel {
    live: "orders",
    beside: BESIDE_ORDERS.table,
    differing: "rebuild_differing_orders",
    key: "id",
    identity: &["id"],
    columns: &ORDERS.columns,
};
/// All postings of a position are replaced together.
pub(super) const POSTINGS_MODEL: ReadModel = ReadModel {
    live: "postings",
    beside: BESIDE_POSTINGS.table,
    differing: "rebuild_differing_postings",
    key: "position",
    identity: &["position", "ledger"],
    columns: &POSTINGS.columns,
};
pub(super) const READ_MODELS: [ReadModel; 3] = [ACCOUNTS_MODEL, ORDERS_MODEL, POSTINGS_MODEL];

/// Rows that were replaced, as they were and as they are.
pub(super) const STALE: &str = "rebuild_stale";

pub(super) const BESIDE_ACCOUNTS: Insert<10> = Insert { table: "rebuild_accounts", ..ACCOUNTS };
pub(super) const BESIDE_ORDERS: Insert<10> = Insert { table: "rebuild_orders", ..ORDERS };
pub(super) const BESIDE_POSTINGS: Insert<8> = Insert { table: "rebuild_postings", ..POSTINGS };

/// How many rows that may differ are listed at a time.
const PAGE: i64 = 1_000;

/// Removes everything that stands beside the live tables.
pub(super) async fn remove(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    for model in READ_MODELS {
        for table in [model.beside, model.differing] {
            db.execute_unprepared(&format!("DROP TABLE IF EXISTS {table}")).await?;
        }
    }
    db.execute_unprepared(&format!("DROP TABLE IF EXISTS {STALE}")).await?;
    Ok(())
}

/// Makes everything that stands beside the live tables, empty. It need not survive a crash.
pub(super) async fn make(db: &impl ConnectionTrait) -> Result<(), Fault> {
    let (unlogged, id) = match db.get_database_backend() {
        DatabaseBackend::Postgres => ("UNLOGGED", "uuid"),
        _ => ("", "blob"),
    };
    for model in READ_MODELS {
        db.execute_unprepared(&like(db, &model).await?).await?;
        let key = if model.key == "id" { id } else { "bigint" };
        let sql = format!("CREATE {unlogged} TABLE {} (key {key} PRIMARY KEY)", model.differing);
        db.execute_unprepared(&sql).await?;
    }
    let sql = format!(
        "CREATE {unlogged} TABLE {STALE} (kind text, id {id}, holder_id {id}, version bigint)"
    );
    db.execute_unprepared(&sql).await?;
    Ok(())
}

/// The statement that makes a table like the live one.
async fn like(db: &impl ConnectionTrait, model: &ReadModel) -> Result<String, Fault> {
    if db.get_database_backend() == DatabaseBackend::Postgres {
        let (beside, live) = (model.beside, model.live);
        let identity = model.identity.join(",");
        return Ok(format!(
            "CREATE UNLOGGED TABLE {beside} (LIKE {live} INCLUDING DEFAULTS, PRIMARY KEY ({identity}))"
        ));
    }
    let sql = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = $1";
    let found = query(db, sql, [model.live.into()]).await?;
    let row = found.first().ok_or_else(|| Fault::corrupt("a table is missing"))?;
    let made: String = row.try_get("", "sql")?;
    let (_, columns) = made.split_once('(').ok_or_else(|| Fault::corrupt("a table is missing"))?;
    Ok(format!("CREATE TABLE {} ({columns}", model.beside))
}

pub(super) async fn query(
    db: &impl ConnectionTrait,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Vec<QueryResult>, DbErr> {
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    db.query_all_raw(statement).await
}

impl ReadModel {
    /// Lists what may differ, without holding anyone up: reading, and a few rows written at a time.
    pub(super) async fn list(
        &self,
        reader: &impl ConnectionTrait,
        writer: &impl ConnectionTrait,
    ) -> Result<(), Fault> {
        let key = self.key;
        let wrong = format!(
            "SELECT DISTINCT made.{key} AS key FROM {} WHERE made.{key} > $1 AND {} \
             ORDER BY made.{key} LIMIT $2",
            self.made_and_live(),
            self.is_wrong()
        );
        let unknown = format!(
            "SELECT DISTINCT live.{key} AS key FROM {} WHERE live.{key} > $1 AND made.{key} IS NULL \
             ORDER BY live.{key} LIMIT $2",
            self.live_and_made()
        );
        for sql in [wrong, unknown] {
            let mut after = self.lowest();
            loop {
                let rows = query(reader, &sql, [after.clone(), PAGE.into()]).await?;
                let keys: Vec<Value> =
                    rows.iter().map(|row| self.key_of(row)).collect::<Result<_, _>>()?;
                let Some(last) = keys.last() else { break };
                after = last.clone();
                self.may_differ(writer, keys).await?;
            }
        }
        Ok(())
    }

    /// Adds to the list.
    pub(super) async fn may_differ(
        &self,
        db: &impl ConnectionTrait,
        keys: impl IntoIterator<Item = Value>,
    ) -> Result<(), DbErr> {
        let list = Insert {
            table: self.differing,
            columns: ["key"],
            on_conflict: "ON CONFLICT DO NOTHING",
        };
        list.run(db, keys.into_iter().map(|key| [key]).collect()).await
    }

    /// Leaves on the list what does differ; answers how much that is.
    pub(super) async fn settle(&self, db: &impl ConnectionTrait) -> Result<u64, Fault> {
        let (key, list) = (self.key, self.differing);
        let sql = format!(
            "DELETE FROM {list} WHERE NOT EXISTS (SELECT 1 FROM {} WHERE made.{key} = {list}.key \
             AND {}) AND NOT EXISTS (SELECT 1 FROM {} WHERE live.{key} = {list}.key \
             AND made.{key} IS NULL)",
            self.made_and_live(),
            self.is_wrong(),
            self.live_and_made()
        );
        db.execute_unprepared(&sql).await?;
        let count = format!("SELECT count(*) AS number FROM {list}");
        let left: Option<i64> = crate::database::scalar(db, &count, "number").await?;
        crate::accounts::restored(left.unwrap_or_default())
    }

    /// Replaces what is on the list.
    pub(super) async fn replace(&self, db: &impl ConnectionTrait) -> Result<(), DbErr> {
        let (live, key) = (self.live, self.key);
        let listed = format!("WHERE {key} IN (SELECT key FROM {})", self.differing);
        let columns = self.columns.join(",");
        db.execute_unprepared(&format!("DELETE FROM {live} {listed}")).await?;
        let sql = format!(
            "INSERT INTO {live} ({columns}) SELECT {columns} FROM {} {listed}",
            self.beside
        );
        db.execute_unprepared(&sql).await?;
        Ok(())
    }

    /// Keeps the rows on the list, as they are and as they will be.
    pub(super) async fn keep_stale(&self, db: &impl ConnectionTrait) -> Result<(), DbErr> {
        for table in [self.live, self.beside] {
            let sql = format!(
                "INSERT INTO {STALE} SELECT '{}', id, holder_id, version FROM {table} \
                 WHERE id IN (SELECT key FROM {})",
                self.live, self.differing
            );
            db.execute_unprepared(&sql).await?;
        }
        Ok(())
    }

    fn made_and_live(&self) -> String {
        format!("{} AS made LEFT JOIN {} AS live ON {}", self.beside, self.live, self.same_row())
    }

    fn live_and_made(&self) -> String {
        format!("{} AS live LEFT JOIN {} AS made ON {}", self.live, self.beside, self.same_row())
    }

    fn same_row(&self) -> String {
        let same = self.identity.iter().map(|column| format!("live.{column} = made.{column}"));
        same.collect::<Vec<_>>().join(" AND ")
    }

    fn is_wrong(&self) -> String {
        let differ = self
            .columns
            .iter()
            .map(|column| format!("live.{column} IS DISTINCT FROM made.{column}"));
        format!("({})", differ.collect::<Vec<_>>().join(" OR "))
    }

    fn lowest(&self) -> Value {
        if self.key == "id" { Uuid::nil().into() } else { i64::MIN.into() }
    }

    fn key_of(&self, row: &QueryResult) -> Result<Value, DbErr> {
        if self.key == "id" {
            Ok(row.try_get::<Uuid>("", "key")?.into())
        } else {
            Ok(row.try_get::<i64>("", "key")?.into())
        }
    }
}
