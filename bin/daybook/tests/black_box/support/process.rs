//! Processes of the built binary. Each ends with the value that stands for it.

use std::env;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{Client, eventually};

/// Variables that would lead a process away from the embedded default.
const ENGINES: [&str; 5] = ["DATABASE_URL", "REDIS_URL", "REDIS_ADDR", "AMQP_URL", "SMTP_URL"];

/// A folder with a database in it, or not yet.
pub(crate) struct Folder(TempDir);

impl Folder {
    /// An empty folder.
    pub(crate) fn new() -> Self {
        Self(tempfile::Builder::new().prefix("daybook-test-").tempdir().unwrap())
    }

    /// The path of a file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The database's file.
    pub(crate) fn database(&self) -> PathBuf {
        self.file("daybook.db")
    }

    /// Starts `daybook` in it, on its database.
    pub(crate) fn start(&self, args: &[&str]) -> Process {
        self.start_with(args, &[])
    }

    /// The same, with variables set.
    pub(crate) fn start_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_daybook"));
        for (name, _) in env::vars_os() {
            let known =
                name.to_str().is_some_and(|n| n.starts_with("DAYBOOK_") || ENGINES.contains(&n));
            if known {
                command.env_remove(name);
            }
        }
        let database = format!("sqlite://{}", self.database().display());
        command.args(args).args(["--database-url", &database]);
        command.envs(variables.iter().copied()).current_dir(self.0.path());
        Process::start(command, self.0.path())
    }
}

/// A process. What it writes goes to files, so that it never waits for a reader.
pub(crate) struct Process {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// How.
    pub(crate) status: ExitStatus,
    /// All that it wrote to its standard output.
    pub(crate) stdout: String,
    /// All that it wrote to its standard error.
    pub(crate) stderr: String,
}

impl Process {
    fn start(mut command: Command, folder: &Path) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let stdout = folder.join(format!("{number}.stdout"));
        let stderr = folder.join(format!("{number}.stderr"));
        command.stdin(Stdio::null());
        command.stdout(File::create(&stdout).unwrap());
        command.stderr(File::create(&stderr).unwrap());
        Self { child: command.spawn().unwrap(), stdout, stderr }
    }

    /// What it has written to its standard output.
    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    /// What it has written to its standard error.
    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn ended(mut self) -> Ended {
        let status = eventually("the process ends", || self.child.try_wait().unwrap());
        Ended { status, stdout: self.stdout(), stderr: self.stderr() }
    }

    /// Asks it to end, and waits until it has.
    #[track_caller]
    pub(crate) fn terminate(self) -> Ended {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// Whether it has ended.
    fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running `daybook serve`.
pub(crate) struct Server {
    process: Process,
    address: SocketAddr,
}

impl Server {
    /// Starts it, and waits until it says where it listens.
    pub(crate) fn start(folder: &Folder) -> Self {
        Self::start_with(folder, &[])
    }

    /// The same, with variables set.
    pub(crate) fn start_with(folder: &Folder, variables: &[(&str, &str)]) -> Self {
        let mut process = folder.start_with(&["serve", "--listen", "127.0.0.1:0"], variables);
        let address = eventually("the server listens", || {
            let over = process.is_over();
            let address = announced(&process.stdout());
            assert!(address.is_some() || !over, "it ended at once:\n{}", process.stderr());
            address
        });
        Self { process, address }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client without a token.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// A client for someone who registers with this address.
    pub(crate) fn register(&self, email: &str) -> Client {
        self.client().register(email)
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        self.process.stderr()
    }

    /// What it has said on its standard output.
    pub(crate) fn stdout(&self) -> String {
        self.process.stdout()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn ended(self) -> Ended {
        self.process.ended()
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// Asks it to end, and waits until it has.
    #[track_caller]
    pub(crate) fn terminate(self) -> Ended {
        self.process.terminate()
    }
}

/// The address in the first line that is complete and has one.
fn announced(output: &str) -> Option<SocketAddr> {
    let (complete, _) = output.rsplit_once('\n')?;
    let (_, rest) = complete.split_once("http://")?;
    let end = rest.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ':')));
    rest.get(..end.unwrap_or(rest.len()))?.parse().ok()
}
