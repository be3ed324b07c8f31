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
use crate::engines::Engines;

/// Variables that would lead a process away from the engines of the test.
const ENGINES: [&str; 9] = [
    "DATABASE_URL",
    "DATABASE_URL_FILE",
    "REDIS_URL",
    "REDIS_URL_FILE",
    "REDIS_ADDR",
    "AMQP_URL",
    "AMQP_URL_FILE",
    "SMTP_URL",
    "SMTP_URL_FILE",
];

/// A folder with a database of its own, or not yet, on the engines of this test program.
pub(crate) struct Folder {
    engines: Engines,
    folder: TempDir,
}

impl Folder {
    /// An empty folder.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("daybook-test-").tempdir().unwrap();
        Self { engines: Engines::new(folder.path()), folder }
    }

    /// The path of a file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The engines that processes in it run on.
    pub(crate) fn engines(&self) -> &Engines {
        &self.engines
    }

    /// Starts `daybook` in it, on its engines.
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
        command.args(args).envs(self.engines.variables());
        command.envs(variables.iter().copied()).current_dir(self.folder.path());
        Process::start(command, self.folder.path())
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

/// A running installation: as many instances of `daybook serve`, and of `daybook worker` beside
/// them, as the engines of this test program are to be tried with.
pub(crate) struct Server {
    instances: Vec<(Process, SocketAddr)>,
    workers: Vec<Process>,
}

impl Server {
    /// Starts it, and waits until it says where it listens.
    pub(crate) fn start(folder: &Folder) -> Self {
        Self::start_with(folder, &[])
    }

    /// The same, with variables set.
    pub(crate) fn start_with(folder: &Folder, variables: &[(&str, &str)]) -> Self {
        let begun: Vec<_> = (0..Engines::SERVERS)
            .map(|_| folder.start_with(&["serve", "--listen", "127.0.0.1:0"], variables))
            .collect();
        let workers: Vec<_> =
            (0..Engines::WORKERS).map(|_| folder.start_with(&["worker"], variables)).collect();
        let instances = begun.into_iter().map(Process::listening).collect();
        for worker in &workers {
            eventually("the worker works", || worker.stdout().contains('\n').then_some(()));
        }
        Self { instances, workers }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.instances[0].1
    }

    /// A client without a token. It goes to one instance after the other.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.instances.iter().map(|(_, address)| *address))
    }

    /// A client for someone who registers with this address.
    pub(crate) fn register(&self, email: &str) -> Client {
        self.client().register(email)
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        self.processes().map(Process::stderr).collect()
    }

    /// What it has said on its standard output.
    pub(crate) fn stdout(&self) -> String {
        self.processes().map(Process::stdout).collect()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        self.processes().for_each(|process| process.signal(signal));
    }

    /// Waits for its end; a status that is not good counts.
    #[track_caller]
    pub(crate) fn ended(self) -> Ended {
        let processes = self.instances.into_iter().map(|(process, _)| process).chain(self.workers);
        let ended: Vec<_> = processes.map(Process::ended).collect();
        let worst = ended.iter().find(|one| !one.status.success()).unwrap_or(&ended[0]).status;
        Ended {
            status: worst,
            stdout: ended.iter().map(|one| one.stdout.as_str()).collect(),
            stderr: ended.iter().map(|one| one.stderr.as_str()).collect(),
        }
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// Asks it to end, and waits until it has.
    #[track_caller]
    pub(crate) fn terminate(self) -> Ended {
        self.signal(Signal::TERM);
        self.ended()
    }

    fn processes(&self) -> impl Iterator<Item = &Process> {
        self.instances.iter().map(|(process, _)| process).chain(&self.workers)
    }
}

impl Process {
    /// Waits until a server says where it listens.
    pub(crate) fn listening(mut self) -> (Self, SocketAddr) {
        let address = eventually("the server listens", || {
            let over = self.is_over();
            let address = announced(&self.stdout());
            assert!(address.is_some() || !over, "it ended at once:\n{}", self.stderr());
            address
        });
        (self, address)
    }
}

/// The address in the first line that is complete and has one.
fn announced(output: &str) -> Option<SocketAddr> {
    let (complete, _) = output.rsplit_once('\n')?;
    let (_, rest) = complete.split_once("http://")?;
    let end = rest.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ':')));
    rest.get(..end.unwrap_or(rest.len()))?.parse().ok()
}
