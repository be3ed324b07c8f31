//! The throw-away PostgreSQL of a figure, durable as in production, with a database of its own for each turn.

use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use daybook_services::Postgres;
use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::sqlx::{self, AssertSqlSafe, Connection};

use crate::error::{BenchError, Doing};
use crate::options::Options;

const PATIENCE: Duration = Duration::from_mins(1);

/// A server. It ends with the value.
pub(crate) struct PostgresServer {
    postgres: Postgres,
    databases: Cell<u32>,
}

impl PostgresServer {
    /// Starts it with its own defaults: every commit is on disk before it is answered.
    ///
    /// # Errors
    /// Where it is not installed or does not start.
    pub(crate) fn start() -> Result<Self, BenchError> {
        Ok(Self { postgres: Postgres::start()?, databases: Cell::new(0) })
    }

    /// The port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.postgres.port()
    }

    /// A new, empty database. What earlier turns wrote is on disk by then.
    ///
    /// # Errors
    /// Where the server refuses.
    pub(crate) fn database(&self) -> Result<OwnDatabase<'_>, BenchError> {
        let number = self.databases.get() + 1;
        self.databases.set(number);
        let name = format!("turn_{number}");
        let url = self.postgres.create_database(&name)?;
        execute(&self.postgres.url(), "CHECKPOINT")?;
        Ok(OwnDatabase { server: self, name, url })
    }

    /// What a reader must know of it.
    pub(crate) fn notes(&self, options: &Options) -> Vec<String> {
        let mut notes = vec![
            "PostgreSQL: its defaults, fsync on; a new database each turn; its processor time is in no column"
                .to_owned(),
        ];
        let place = self.postgres.folder().parent().unwrap_or(Path::new("/"));
        if options.base_folder().canonicalize().is_ok_and(|base| base != place) {
            let place = place.display();
            notes.push(format!(
                "its files were in {place}: other accounts, as PostgreSQL needs, can't get to the folder for them"
            ));
        }
        notes
    }
}

/// A database that goes away with the value.
pub(crate) struct OwnDatabase<'a> {
    server: &'a PostgresServer,
    name: String,
    url: String,
}

impl OwnDatabase<'_> {
    /// Such as `postgres://postgres@127.0.0.1:15432/turn_1`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Its name on the server.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Executes statements.
    ///
    /// # Errors
    /// Where the server refuses.
    pub(crate) fn execute(&self, sql: &str) -> Result<(), BenchError> {
        execute(&self.url, sql)
    }

    /// The number that a query answers; none where it is NULL.
    ///
    /// # Errors
    /// Where the server refuses, or it is no `float8`.
    pub(crate) fn number(&self, sql: &str) -> Result<Option<f64>, BenchError> {
        with_connection(&self.url, async |connection| {
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await
        })
    }

    /// Bytes of all its tables and their indexes.
    ///
    /// # Errors
    /// Where the server refuses.
    pub(crate) fn bytes(&self) -> Result<f64, BenchError> {
        let sum = "SELECT sum(pg_total_relation_size(relid))::float8 FROM pg_stat_user_tables";
        Ok(self.number(sum)?.unwrap_or_default())
    }

    /// Commands that the product committed together, on average: those of one transaction were decided at one
    /// instant.
    ///
    /// # Errors
    /// Where the server refuses, or has no such table.
    pub(crate) fn average_batch(&self) -> Result<Option<f64>, BenchError> {
        self.number("SELECT count(*)::float8 / nullif(count(DISTINCT timestamp), 0) FROM events")
    }
}

impl Drop for OwnDatabase<'_> {
    fn drop(&mut self) {
        // With the server it goes all the same.
        let drop = format!("DROP DATABASE \"{}\" WITH (FORCE)", self.name);
        let _ = execute(&self.server.postgres.url(), &drop);
    }
}

fn execute(url: &str, sql: &str) -> Result<(), BenchError> {
    with_connection(url, async |connection| {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
    })
}

/// Does something on a connection of its own.
fn with_connection<T>(
    url: &str,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
) -> Result<T, BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.doing("talking to PostgreSQL")?.block_on(async {
        let worked = tokio::time::timeout(PATIENCE, async {
            let mut connection = PgConnection::connect(url).await?;
            let worked = work(&mut connection).await?;
            connection.close().await?;
            Ok(worked)
        });
        worked.await.unwrap_or_else(|_| Err(BenchError::failed("PostgreSQL does not answer")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_turn_has_a_database_that_goes_away() {
        let server = PostgresServer::start().unwrap();
        let there = || {
            let sql = "SELECT count(*)::float8 FROM pg_database WHERE datname LIKE 'turn_%'";
            let postgres = OwnDatabase {
                server: &server,
                name: "no such database".to_owned(),
                url: server.postgres.url(),
            };
            postgres.number(sql).unwrap()
        };
        let (one, other) = (server.database().unwrap(), server.database().unwrap());
        assert_ne!(one.name(), other.name());
        one.execute("CREATE TABLE mine (id bigint); INSERT INTO mine VALUES (1)").unwrap();
        assert!(other.execute("SELECT * FROM mine").is_err());
        assert_eq!(there(), Some(2.0));
        drop(one);
        assert_eq!(there(), Some(1.0));
    }
}
