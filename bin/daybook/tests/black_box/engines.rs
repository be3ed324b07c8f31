//! The engines of these tests: none but those in the process.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

/// An SQLite file in the folder.
pub(crate) struct Engines(PathBuf);

impl Engines {
    /// How many instances serve.
    pub(crate) const SERVERS: usize = 1;
    /// How many work beside them.
    pub(crate) const WORKERS: usize = 0;

    /// Those of a folder.
    pub(crate) fn new(folder: &Path) -> Self {
        Self(folder.join("daybook.db"))
    }

    /// The database's file.
    pub(crate) fn database(&self) -> &Path {
        &self.0
    }

    /// Changes the database behind everyone's back.
    #[track_caller]
    pub(crate) fn execute(&self, sql: &str) {
        let changed = Connection::open(&self.0).unwrap().execute_batch(sql);
        assert!(changed.is_ok(), "{sql}: {changed:?}");
    }

    /// What tells a process of them.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        vec![("DATABASE_URL".to_owned(), format!("sqlite://{}", self.0.display()))]
    }
}
