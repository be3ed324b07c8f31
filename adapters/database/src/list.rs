//! Pages of what is in one of some states, newest first.

use sea_orm::{ConnectionTrait, DatabaseBackend, Statement, Value};
use uuid::Uuid;

use crate::error::Fault;

/// Of so few rows the sizes are not asked for first: each has some 80 KB at most.
const FEW: u32 = 13;

/// A page that is put together of what can be read: a row that can't be hides no other. It has no more
/// bytes than it may, and the row that reaches the bound is its last.
pub(crate) struct Readable<T> {
    limit: usize,
    /// How many bytes it may still have.
    left: Option<u64>,
    found: Vec<T>,
}

/// The rows that come next: how many of them are to be read, and whether there are no others.
pub(crate) struct Next {
    pub rows: u32,
    is_all: bool,
}

impl Next {
    /// So many, whatever their size.
    pub(crate) const fn rows(rows: u32) -> Self {
        Self { rows, is_all: false }
    }
}

impl<T> Readable<T> {
    pub(crate) fn new(limit: u32, bytes: u64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { limit, left: Some(bytes), found: Vec::new() }
    }

    /// How many more there may be.
    pub(crate) fn missing(&self) -> u32 {
        u32::try_from(self.limit - self.found.len()).unwrap_or(u32::MAX)
    }

    /// How many of the next rows are read; `sizes` gives those of so many, or of all that there are.
    pub(crate) async fn next(
        &self,
        sizes: impl AsyncFnOnce(u32) -> Result<Vec<i64>, Fault>,
    ) -> Result<Next, Fault> {
        let missing = self.missing();
        if missing <= FEW {
            return Ok(Next::rows(missing));
        }
        let (sizes, mut left) = (sizes(missing).await?, self.left);
        let fit = sizes.iter().take_while(|size| {
            let fits = left.is_some();
            left = left.and_then(|left| left.checked_sub(u64::try_from(**size).unwrap_or(0)));
            fits
        });
        let count = fit.count();
        let rows = u32::try_from(count).unwrap_or(u32::MAX);
        Ok(Next { rows, is_all: count == sizes.len() && rows < missing })
    }

    /// Takes the rows that came next; answers whether the page is complete, or these were the last.
    ///
    /// # Errors
    /// Any but that a row can't be read.
    pub(crate) fn take<M>(
        &mut self,
        rows: Vec<M>,
        next: &Next,
        size: impl Fn(&M) -> usize,
        restore: impl Fn(M) -> Result<T, Fault>,
    ) -> Result<bool, Fault> {
        let are_last = next.is_all || u32::try_from(rows.len()).is_ok_and(|rows| rows < next.rows);
        for row in rows {
            let size = u64::try_from(size(&row)).unwrap_or(u64::MAX);
            match restore(row) {
                Ok(thing) if self.found.len() < self.limit => {
                    self.left = self.left.and_then(|left| left.checked_sub(size));
                    self.found.push(thing);
                }
                Ok(_) => {}
                Err(Fault::Corrupt(reason)) => {
                    tracing::error!(reason, "a row can't be read; it is left out of a list");
                }
                Err(other) => return Err(other),
            }
        }
        Ok(are_last || self.found.len() >= self.limit || self.left.is_none())
    }

    pub(crate) fn into_page(self) -> Vec<T> {
        self.found
    }
}

/// Which page of a table.
pub(crate) struct Newest<'a> {
    pub table: &'a str,
    /// The column of whose they are; only this one's, or everyone's.
    pub owner_column: &'a str,
    pub owner: Option<Uuid>,
    /// The column of their states, and which of them.
    pub state_column: &'a str,
    pub states: &'a [&'a str],
    /// What they are sorted by.
    pub key: &'a str,
    /// The key that the page before ended with, or one that is past all.
    pub before: Vec<Value>,
    pub limit: u32,
    /// What is read of them besides what they are sorted by.
    pub columns: &'a str,
}

impl Newest<'_> {
    /// For each state there is an index that has its rows in order, for an owner and for everyone.
    /// The database merges them, and reads no more than a page of each.
    pub(crate) fn statement(self, backend: DatabaseBackend) -> Statement {
        let places: Vec<_> = (2..).take(self.before.len()).map(|n| format!("${n}")).collect();
        let before = format!("({}) < ({})", self.key, places.join(","));
        let owner = match self.owner {
            Some(_) => format!("{} = ${} AND ", self.owner_column, self.before.len() + 2),
            None => String::new(),
        };
        let order = format!("ORDER BY {} DESC", self.key.replace(',', " DESC,"));
        let several = self.states.len() > 1;
        let in_state = |state: &&str| {
            let Self { table, state_column, columns, .. } = &self;
            let rows = format!(
                "SELECT {columns} FROM {table} WHERE {owner}{state_column} = '{state}' AND {before}"
            );
            // Postgres may sort them all unless it is told that a page of each is enough.
            if several && backend == DatabaseBackend::Postgres {
                return format!("({rows} {order} LIMIT $1)");
            }
            rows
        };
        let parts: Vec<_> = self.states.iter().map(in_state).collect();
        let sql = format!("{} {order} LIMIT $1", parts.join(" UNION ALL "));
        let mut values = vec![i64::from(self.limit).into()];
        values.extend(self.before);
        values.extend(self.owner.map(Value::from));
        Statement::from_sql_and_values(backend, sql, values)
    }
}

/// The sizes of the rows of a page.
pub(crate) async fn sizes(
    db: &impl ConnectionTrait,
    statement: Statement,
) -> Result<Vec<i64>, Fault> {
    let rows = db.query_all_raw(statement).await?;
    // Postgres counts in 32 bits.
    let size = |row: &sea_orm::QueryResult| {
        row.try_get::<i32>("", "size").map(i64::from).or_else(|_| row.try_get("", "size"))
    };
    Ok(rows.iter().map(size).collect::<Result<_, _>>()?)
}
