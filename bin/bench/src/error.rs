//! What can go wrong while measuring.

use std::io;

/// Why a figure could not be measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// The operating system refused.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// What it said.
        source: io::Error,
    },
    /// `SQLite` refused.
    #[error("SQLite")]
    Sqlite(#[from] rusqlite::Error),
    /// PostgreSQL refused.
    #[error("PostgreSQL")]
    Postgres(#[from] sea_orm::sqlx::Error),
    /// Redis refused.
    #[error("Redis")]
    Redis(#[from] redis::RedisError),
    /// The AMQP client refused.
    #[error("RabbitMQ")]
    RabbitMq(#[from] amqprs::error::Error),
    /// A server is not installed or did not start.
    #[error(transparent)]
    Service(#[from] daybook_services::ServiceError),
    /// Product or control did not do what was asked of it.
    #[error("{0}")]
    Failed(String),
    /// The run was asked to end.
    #[error("interrupted")]
    Interrupted,
}

impl BenchError {
    /// A failure in these words.
    pub(crate) fn failed(words: impl Into<String>) -> Self {
        Self::Failed(words.into())
    }
}

/// Says what was being done when an [`io::Error`] came.
pub(crate) trait Doing<T> {
    /// Turns the error into a [`BenchError`] that names what was being done.
    fn doing(self, what: impl Into<String>) -> Result<T, BenchError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl Into<String>) -> Result<T, BenchError> {
        self.map_err(|source| BenchError::Io { doing: what.into(), source })
    }
}
