//! Inserting many rows with few statements.

use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, Statement, Value};

/// Rows of one table that are inserted together.
pub(crate) struct Insert<const N: usize> {
    pub table: &'static str,
    pub columns: [&'static str; N],
    /// What follows the values: how a row that exists is updated.
    pub on_conflict: &'static str,
}

/// Up to so many rows every number of them has a statement of its own.
const SMALL: usize = 63;
/// SQLite takes 32 766 parameters in a statement; Postgres takes 65 535.
const MOST_PARAMETERS: usize = 32_000;

impl<const N: usize> Insert<N> {
    /// Inserts the rows, in groups of few different sizes, so that each size's statement stays
    /// prepared: every step to the database and back counts as much as many rows do.
    pub(crate) async fn run(
        &self,
        db: &impl ConnectionTrait,
        rows: Vec<[Value; N]>,
    ) -> Result<(), DbErr> {
        let backend = db.get_database_backend();
        let mut left = rows.len();
        let mut rows = rows.into_iter();
        while left > 0 {
            let size = group_size(left, N);
            let values = rows.by_ref().take(size).flatten();
            let sql = self.sql(backend, size);
            db.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
            left -= size;
        }
        Ok(())
    }

    fn sql(&self, backend: DatabaseBackend, rows: usize) -> String {
        let groups: Vec<String> =
            (0..rows).map(|row| format!("({})", placeholders(backend, row * N + 1, N))).collect();
        format!(
            "INSERT INTO {} ({}) VALUES {} {}",
            self.table,
            self.columns.join(","),
            groups.join(","),
            self.on_conflict
        )
    }
}

/// Placeholders of this many parameters, separated by commas; the first is number `first`.
pub(crate) fn placeholders(backend: DatabaseBackend, first: usize, count: usize) -> String {
    let placeholder = |number: usize| match backend {
        DatabaseBackend::Postgres => format!("${number}"),
        _ => "?".to_owned(),
    };
    (first..first + count).map(placeholder).collect::<Vec<_>>().join(",")
}

fn group_size(left: usize, columns: usize) -> usize {
    let most = MOST_PARAMETERS / columns;
    if left <= SMALL.min(most) {
        return left;
    }
    // The highest power of two that fits.
    1 << left.min(most).ilog2()
}

/// Repeats the last of some values until their number is a power of two: lists of a few different
/// lengths make few different statements.
pub(crate) fn padded<T: Clone>(mut values: Vec<T>) -> Vec<T> {
    if let Some(last) = values.last().cloned() {
        let length = values.len().next_power_of_two();
        values.resize(length, last);
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_few_sizes_within_the_limit() {
        let mut left = 1_000;
        let mut sizes = Vec::new();
        while left > 0 {
            let size = group_size(left, 12);
            sizes.push(size);
            left -= size;
        }
        assert_eq!(sizes, [512, 256, 128, 64, 40]);
        assert!(group_size(100_000, 12) * 12 <= MOST_PARAMETERS);
    }

    #[test]
    fn each_engine_has_its_own_placeholders() {
        let insert = Insert { table: "t", columns: ["a", "b"], on_conflict: "" };
        assert_eq!(
            insert.sql(DatabaseBackend::Sqlite, 2),
            "INSERT INTO t (a,b) VALUES (?,?),(?,?) "
        );
        assert_eq!(
            insert.sql(DatabaseBackend::Postgres, 2),
            "INSERT INTO t (a,b) VALUES ($1,$2),($3,$4) "
        );
    }

    #[test]
    fn lists_are_padded_to_powers_of_two() {
        assert_eq!(padded(vec![1, 2, 3]), [1, 2, 3, 3]);
        assert_eq!(padded(vec![1]), [1]);
        assert!(padded(Vec::<u8>::new()).is_empty());
    }
}
