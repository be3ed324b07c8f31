//! An installation of Daybook on engines of its own, and the processes that run in it.

use std::env;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use daybook_services::{Postgres, RabbitMq, Redis, ask_database, create_database_on, free_port};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use uuid::Uuid;

use crate::error::{Failure, Outcome, ensure};
use crate::leftovers::{self, held};

/// How long a process may take to begin or to end.
const PATIENCE: Duration = Duration::from_mins(1);
const TICK: Duration = Duration::from_millis(5);
/// The variable that names the fault to plant, for `daybook-planted`.
pub const PLANT: &str = "DAYBOOK_PLANTED_FAULT";

/// The variable that names the file by which a process's clock is off, for `daybook-planted`.
pub const CLOCK: &str = "DAYBOOK_PLANTED_CLOCK";

/// Which engines an installation runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engines {
    /// An `SQLite` file and what is in the process.
    Embedded,
    /// Postgres and Redis.
    Postgres,
    /// Postgres, Redis and `RabbitMQ`.
    All,
}

/// Servers of a trial's own, to be hurt.
pub struct Servers {
    /// The database.
    pub postgres: Postgres,
    /// The cache and the bus.
    pub redis: Redis,
    /// The queue, where the trial has one.
    pub rabbitmq: Option<RabbitMq>,
}

impl Servers {
    /// Starts them. What is committed is on disk, as it would be elsewhere.
    ///
    /// # Errors
    /// Where one is not installed or does not start.
    pub fn start(engines: Engines) -> Outcome<Self> {
        let rabbitmq = (engines == Engines::All).then(RabbitMq::start).transpose()?;
        Ok(Self { postgres: Postgres::start()?, redis: Redis::start()?, rabbitmq })
    }
}

/// An installation. Its folder goes away with it.
pub struct Site {
    folder: TempDir,
    variables: Vec<(String, String)>,
    database: String,
}

impl Site {
    /// A new one on an `SQLite` file of its own.
    ///
    /// # Errors
    /// Where there can be no folder.
    pub fn embedded() -> Outcome<Self> {
        let folder = folder()?;
        let file = folder.path().join("daybook.db");
        let database = format!("sqlite://{}", file.display());
        Ok(Self { folder, variables: Vec::new(), database }.with_defaults())
    }

    /// A new one on a database of its own on these servers.
    ///
    /// # Errors
    /// Where the database can't be made.
    pub fn on(servers: &Servers) -> Outcome<Self> {
        let name = Uuid::now_v7().simple().to_string();
        let database = create_database_on(&servers.postgres.url(), &format!("faults_{name}"))?;
        let mut site = Self { folder: folder()?, variables: Vec::new(), database }.with_defaults();
        site.set("REDIS_URL", &servers.redis.url());
        if let Some(rabbitmq) = &servers.rabbitmq {
            site.set("AMQP_URL", &rabbitmq.url());
            site.set("DAYBOOK_TASK_QUEUE", &format!("tasks-{name}"));
        }
        Ok(site)
    }

    /// A copy of it, as whoever tries something out makes one of production: the same database elsewhere,
    /// with the same signing key and settings. None of its processes may run.
    ///
    /// # Errors
    /// Where it can't be copied.
    pub fn copy(&self) -> Outcome<Self> {
        let folder = folder()?;
        for file in fs::read_dir(self.folder())? {
            let file = file?;
            if file.file_name().to_string_lossy().starts_with("daybook") {
                fs::copy(file.path(), folder.path().join(file.file_name()))?;
            }
        }
        let database = match self.database.rsplit_once('/') {
            Some((server, name)) if server.starts_with("postgres") => {
                let copied = format!("CREATE DATABASE \"{name}_copy\" TEMPLATE \"{name}\"");
                ask_database(&format!("{server}/postgres"), &copied)?;
                format!("{}_copy", self.database)
            }
            _ => format!("sqlite://{}", folder.path().join("daybook.db").display()),
        };
        let mut copy = Self { folder, variables: self.variables.clone(), database };
        let database = copy.database.clone();
        copy.set("DATABASE_URL", &database);
        Ok(copy)
    }

    fn with_defaults(mut self) -> Self {
        let database = self.database.clone();
        self.set("DATABASE_URL", &database);
        // One holder is everyone here.
        self.set("DAYBOOK_CREDENTIAL_RATE", "0");
        self.set("DAYBOOK_HOLDER_RATE", "0");
        self
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where its database is, with no proxy in between.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Sets a variable for the processes that are started from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Starts an instance at this address, and waits until it is ready.
    ///
    /// # Errors
    /// Where it does not become ready.
    pub fn serve(&self, address: SocketAddr) -> Outcome<Process> {
        self.begin(&["serve", "--listen", &address.to_string()])?.ready()
    }

    /// Starts a worker, and waits until it works.
    ///
    /// # Errors
    /// Where it does not begin to work.
    pub fn work(&self) -> Outcome<Process> {
        let mut process = self.begin(&["worker"])?;
        process.until_it_says("\n")?;
        Ok(process)
    }

    /// Starts `daybook` with these arguments.
    ///
    /// # Errors
    /// Where it can't be started.
    pub fn begin(&self, args: &[&str]) -> Outcome<Process> {
        Process::start(self.command(args)?, self.folder())
    }

    /// Starts `daybook` in a file system of its own, with room for so many bytes; [`Process::inside`] is
    /// the way to it.
    ///
    /// # Errors
    /// Where it can't be started.
    pub fn begin_in_small_room(&self, bytes: u64, args: &[&str]) -> Outcome<Process> {
        let inner = self.command(args)?;
        let mut command = Command::new("unshare");
        let script = "mount -t tmpfs -o size=$0 tmpfs \"$1\" && cd \"$1\" && shift && exec \"$@\"";
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
        command.arg(bytes.to_string()).arg(self.folder()).arg(inner.get_program());
        command.args(inner.get_args());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        // What it writes must not be in the room that gets full.
        let outside = self.folder().parent().unwrap_or(self.folder());
        Process::start(command, outside)
    }

    /// Why a process can't have a file system of its own here; `None` where it can.
    ///
    /// # Errors
    /// Where the program that makes one can't be run.
    pub fn no_small_room() -> Outcome<Option<String>> {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount"]);
        // As a database server wants it: whoever lives in the room is not root.
        let script = "mount -t tmpfs tmpfs /mnt && unshare --user --map-user=1000 true";
        let tried = command.args(["sh", "-c", script]).output()?;
        let reason = String::from_utf8_lossy(&tried.stderr).trim().to_owned();
        Ok((!tried.status.success()).then_some(reason))
    }

    /// Runs `daybook verify`.
    ///
    /// # Errors
    /// What it found to differ, or why it could not look.
    pub fn verify(&self) -> Outcome {
        self.audit().map(drop)
    }

    /// The same; what it said, which is more than whether something differs.
    ///
    /// # Errors
    /// What it found to differ, or why it could not look.
    pub fn audit(&self) -> Outcome<String> {
        let ended = self.begin(&["verify", "--database-url", &self.database])?.ended()?;
        ensure(ended.status.success(), || {
            format!("daybook verify: {}\n{}{}", ended.status, ended.stdout, ended.stderr)
        })?;
        Ok(ended.stdout)
    }

    fn command(&self, args: &[&str]) -> Outcome<Command> {
        let planted = self.get(PLANT).or(self.get(CLOCK)).is_some();
        let name = if planted { "daybook-planted" } else { "daybook" };
        let mut command = Command::new(program(name)?);
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(leads_elsewhere) {
                command.env_remove(name);
            }
        }
        command.args(args).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.folder());
        Ok(command)
    }
}

/// Whether a variable would lead a process away from the engines of the trial.
fn leads_elsewhere(name: &str) -> bool {
    let engines = ["DATABASE_URL", "REDIS_", "AMQP_URL", "SMTP_URL"];
    name.starts_with("DAYBOOK_") || engines.iter().any(|engine| name.starts_with(engine))
}

/// A program that is built beside this one.
///
/// # Errors
/// Where it isn't there.
pub fn program(name: &str) -> Outcome<PathBuf> {
    let this = env::current_exe()?;
    let mut folder = this.parent().unwrap_or(&this);
    // Tests stand one folder below.
    if folder.ends_with("deps") {
        folder = folder.parent().unwrap_or(folder);
    }
    let program = folder.join(format!("{name}{}", env::consts::EXE_SUFFIX));
    ensure(program.exists(), || {
        format!("{} is not there: `cargo xtask faults` builds it", program.display())
    })?;
    Ok(program)
}

fn folder() -> Outcome<TempDir> {
    let folder = tempfile::Builder::new().prefix("daybook-faults-").tempdir()?;
    leftovers::note_folder(folder.path().to_owned());
    Ok(folder)
}

/// An address of this machine that nobody listens on.
///
/// # Errors
/// Where there is none.
pub fn free_address() -> Outcome<SocketAddr> {
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)))
}

/// A process of the site. It ends with the value. What it writes goes to files, so that it never waits
/// for a reader.
pub struct Process {
    child: Arc<Mutex<Child>>,
    id: Pid,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// A process that has ended.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// All that it wrote to its standard output.
    pub stdout: String,
    /// All that it wrote to its standard error.
    pub stderr: String,
}

impl Process {
    fn start(mut command: Command, folder: &Path) -> Outcome<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = std::process::id();
        let [stdout, stderr] =
            ["stdout", "stderr"].map(|stream| folder.join(format!("{id}-{number}.{stream}")));
        command.stdin(Stdio::null());
        command.stdout(File::create(&stdout)?);
        command.stderr(File::create(&stderr)?);
        let child = leftovers::spawn(&mut command)?;
        let id = Pid::from_child(&held(&child));
        Ok(Self { child, id, stdout, stderr })
    }

    /// The same process, when it is ready.
    ///
    /// # Errors
    /// Where it does not become ready.
    pub fn ready(mut self) -> Outcome<Self> {
        self.until_it_says("http://")?;
        Ok(self)
    }

    fn until_it_says(&mut self, text: &str) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        while !self.stdout().contains(text) {
            if let Some(status) = held(&self.child).try_wait()? {
                return Err(Failure::new(format!("ended at once, {status}: {}", self.stderr())));
            }
            ensure(Instant::now() < deadline, || {
                format!("did not begin in time: {}", self.stderr())
            })?;
            thread::sleep(TICK);
        }
        Ok(())
    }

    /// What it has written to its standard output.
    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    /// What it has written to its standard error.
    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// A path as the process sees it, in the file systems that are its own.
    pub fn inside(&self, path: &Path) -> PathBuf {
        let path = path.strip_prefix("/").unwrap_or(path);
        Path::new("/proc").join(self.id.as_raw_nonzero().to_string()).join("root").join(path)
    }

    /// Its resident memory, in bytes.
    pub fn resident_bytes(&self) -> Option<u64> {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.id.as_raw_nonzero())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
    }

    /// Stops it where it is.
    ///
    /// # Errors
    /// Where it is gone.
    pub fn pause(&self) -> Outcome {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn resume(&self) -> Outcome {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Outcome {
        Ok(kill_process(self.id, signal)?)
    }

    /// Asks it to end.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn ask_to_end(&self) -> Outcome {
        self.signal(Signal::TERM)
    }

    /// Kills it, and waits until it is gone.
    ///
    /// # Errors
    /// Where that fails.
    pub fn kill(self) -> Outcome {
        let mut child = held(&self.child);
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// Where the system does not say.
    pub fn runs(&self) -> Outcome<bool> {
        Ok(held(&self.child).try_wait()?.is_none())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Where it does not end in time.
    pub fn ended(self) -> Outcome<Ended> {
        let deadline = Instant::now() + PATIENCE * 10;
        loop {
            if let Some(status) = held(&self.child).try_wait()? {
                return Ok(Ended { status, stdout: self.stdout(), stderr: self.stderr() });
            }
            ensure(Instant::now() < deadline, || "a process did not end in time".to_owned())?;
            thread::sleep(TICK);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        leftovers::kill(&self.child);
    }
}
