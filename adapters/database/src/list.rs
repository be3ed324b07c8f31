//! Pages of what is in one of some states, newest first.

use sea_orm::{DatabaseBackend, Statement, Value};
use uuid::Uuid;

use crate::error::Fault;

/// A page that is put together of what can be read: a row that can't be hides no other.
pub(crate) struct Readable<T> {
    limit: usize,
    found: Vec<T>,
}

impl<T> Readable<T> {
    pub(crate) fn new(limit: u32) -> Self {
        Self { limit: usize::try_from(limit).unwrap_or(usize::MAX), found: Vec::new() }
    }

    /// Takes the rows that come next; answers whether the page is complete, or these were the last.
    ///
    /// # Errors
    /// Any but that a row can't be read.
    pub(crate) fn take<M>(
        &mut self,
        rows: Vec<M>,
        restore: impl Fn(M) -> Result<T, Fault>,
    ) -> Result<bool, Fault> {
        let are_last = rows.len() < self.limit;
        for row in rows {
            match restore(row) {
                Ok(thing) if self.found.len() < self.limit => self.found.push(thing),
                Ok(_) => {}
                Err(Fault::Corrupt(reason)) => {
                    tracing::error!(reason, "a row can't be read; it is left out of a list");
                }
                Err(other) => return Err(other),
            }
        }
        Ok(are_last || self.found.len() >= self.limit)
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
            let Self { table, state_column, .. } = &self;
            let rows = format!(
                "SELECT * FROM {table} WHERE {owner}{state_column} = '{state}' AND {before}"
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
