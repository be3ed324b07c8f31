//! What all servers have in common: they start, answer, can be hurt, and end.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::ServiceError;
use crate::supervisor::{Order, Plan, Supervisor};

const PAUSE: Duration = Duration::from_millis(10);
const TAIL: usize = 60;

/// How to tell that a server is ready.
pub(crate) struct Ready {
    /// The server, in words.
    pub(crate) what: &'static str,
    /// What it then writes. Only its own output can tell: on its port another program might answer.
    pub(crate) text: &'static str,
    /// How long it may take.
    pub(crate) within: Duration,
}

/// A running server and its folder. Dropped, it ends, and the folder is gone.
pub(crate) struct Server {
    ready: Ready,
    log: PathBuf,
    // Before the folder: a server must not lose its folder while it runs.
    supervisor: Mutex<Supervisor>,
    folder: TempDir,
}

impl Server {
    /// Where a server's output goes in its folder.
    pub(crate) fn log_in(folder: &Path) -> PathBuf {
        folder.join("server.log")
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn start(ready: Ready, plan: &Plan, folder: TempDir) -> Result<Self, ServiceError> {
        let supervisor =
            Supervisor::new(plan).map_err(ServiceError::system("starting a supervisor"))?;
        let log = plan.log.clone();
        let server = Self { ready, log, supervisor: Mutex::new(supervisor), folder };
        server.launch()?;
        Ok(server)
    }

    /// Starts it again, with the same port and the same folder; one that runs is stopped first.
    pub(crate) fn restart(&self) -> Result<(), ServiceError> {
        self.tell(Order::Stop)?;
        let deadline = Instant::now() + self.ready.within;
        loop {
            match self.launch() {
                // Whoever has the port may only be passing through.
                Err(ServiceError::PortTaken { .. }) if Instant::now() < deadline => {
                    thread::sleep(PAUSE);
                }
                other => return other,
            }
        }
    }

    /// Has an order carried out.
    pub(crate) fn tell(&self, order: Order) -> Result<Option<u32>, ServiceError> {
        self.supervisor().tell(order).map_err(ServiceError::system("signalling a server"))
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn launch(&self) -> Result<(), ServiceError> {
        let from = self.log.metadata().map_or(0, |log| log.len());
        let deadline = Instant::now() + self.ready.within;
        self.tell(Order::Start)?;
        loop {
            // In this order: what it wrote before its end must have been read.
            let ended = self.tell(Order::Look)?.is_none();
            let output = read_from(&self.log, from).unwrap_or_default();
            if ended {
                return Err(self.failure("ended at once", &output));
            }
            if output.contains(self.ready.text) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                self.tell(Order::Kill)?;
                return Err(self.failure("was not ready in time", &output));
            }
            thread::sleep(PAUSE);
        }
    }

    fn failure(&self, problem: &'static str, output: &str) -> ServiceError {
        let what = self.ready.what;
        let log = tail(output);
        if output.contains("in use") || output.contains("eaddrinuse") {
            ServiceError::PortTaken { what, log }
        } else {
            ServiceError::Failed { what, problem, log }
        }
    }

    fn supervisor(&self) -> MutexGuard<'_, Supervisor> {
        self.supervisor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last lines of some output.
pub(crate) fn tail(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    let first = lines.len().saturating_sub(TAIL);
    lines.get(first..).unwrap_or_default().join("\n")
}

fn read_from(log: &Path, from: u64) -> io::Result<String> {
    let mut log = File::open(log)?;
    log.seek(SeekFrom::Start(from))?;
    let mut output = Vec::new();
    log.read_to_end(&mut output)?;
    Ok(String::from_utf8_lossy(&output).into_owned())
}
