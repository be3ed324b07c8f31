//! The product: `daybook serve` in a folder of its own, on a new `SQLite` database or on the servers of a figure.

use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use crate::error::BenchError;
use crate::http;
use crate::options::Options;
use crate::process::Process;
use crate::servers::OwnDatabase;

/// Variables that would lead the product away from its defaults.
const ENGINES: [&str; 5] = ["DATABASE_URL", "REDIS_URL", "REDIS_ADDR", "AMQP_URL", "SMTP_URL"];

/// A running product. Process and folder go away with it, in this order.
pub(crate) struct Product {
    process: Process,
    folder: TempDir,
}

impl Product {
    /// Starts it on an empty folder, with a new `SQLite` database in there.
    ///
    /// # Errors
    /// Where it does not come to listen.
    pub(crate) fn start(options: &Options) -> Result<Self, BenchError> {
        let folder = options.temporary_folder()?;
        let database = format!("sqlite://{}", folder.path().join("daybook.db").display());
        Self::launch(options, folder, &["--database-url", &database])
    }

    /// Starts it on these servers.
    ///
    /// # Errors
    /// Where it does not come to listen.
    pub(crate) fn start_on(
        options: &Options,
        database: &OwnDatabase<'_>,
        redis_url: Option<&str>,
    ) -> Result<Self, BenchError> {
        let mut arguments = vec!["--database-url", database.url()];
        arguments.extend(redis_url.iter().flat_map(|url| ["--redis-url", url]));
        Self::launch(options, options.temporary_folder()?, &arguments)
    }

    fn launch(options: &Options, folder: TempDir, engines: &[&str]) -> Result<Self, BenchError> {
        let mut command = Command::new(options.daybook()?);
        for (name, _) in env::vars_os() {
            if name
                .to_str()
                .is_some_and(|name| name.starts_with("DAYBOOK_") || ENGINES.contains(&name))
            {
                command.env_remove(name);
            }
        }
        command.envs(options.daybook_env.iter().map(|(name, value)| (name, value)));
        command.current_dir(folder.path());
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(engines);
        let process = Process::start("daybook", &mut command, folder.path())?;
        Ok(Self { process, folder })
    }

    /// Its process.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.process.address()
    }

    /// Registers someone and gives the token.
    ///
    /// # Errors
    /// Where that is refused.
    pub(crate) fn register(&self) -> Result<String, BenchError> {
        let body = json!({
            "email": "bench@example.com",
            "password": "a password for measuring",
            "full_name": "Bench",
        });
        let request = http::request("POST", "/register", None, Some(&body.to_string()));
        http::call(self.address(), &request, 201)?.text_member("token")
    }

    /// Opens an account and gives its id.
    ///
    /// # Errors
    /// Where that is refused.
    pub(crate) fn open_account(&self, token: &str) -> Result<String, BenchError> {
        let body =
            json!({ "name": "Savings", "currency_code": "EUR", "initial_balance": "250.00" });
        let request = http::request("POST", "/accounts", Some(token), Some(&body.to_string()));
        http::call(self.address(), &request, 201)?.text_member("account_id")
    }

    /// Where its `SQLite` database is, where it has one.
    pub(crate) fn database_file(&self) -> PathBuf {
        self.folder.path().join("daybook.db")
    }

    /// Ends it; what is left is its folder and the database's path in there.
    pub(crate) fn end(self) -> (TempDir, PathBuf) {
        let database = self.database_file();
        drop(self.process);
        (self.folder, database)
    }
}
