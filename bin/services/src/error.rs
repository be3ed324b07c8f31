//! What can go wrong with a server.

use std::io;

/// Why there is no server, or why it did not do as it was told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// A program is not installed.
    #[error("{what} is not installed: {hint}")]
    Missing {
        /// The program or server.
        what: &'static str,
        /// What to do about it.
        hint: &'static str,
    },
    /// It ran and failed, or did not answer in time.
    #[error("{what} {problem}; the end of its output:\n{log}")]
    Failed {
        /// The program or server.
        what: &'static str,
        /// What it did, or failed to do.
        problem: &'static str,
        /// The last lines that it wrote.
        log: String,
    },
    /// Another program took the port that had been free.
    #[error("{what} found no free port; the end of its output:\n{log}")]
    PortTaken {
        /// The server.
        what: &'static str,
        /// The last lines that it wrote.
        log: String,
    },
    /// A URL of a database server has no host or is otherwise not understood.
    #[error("not a URL of a database server")]
    Url,
    /// The system refused something.
    #[error("{action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the system answered.
        source: io::Error,
    },
}

impl ServiceError {
    /// For [`Result::map_err`].
    pub(crate) fn system(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { action, source }
    }
}
