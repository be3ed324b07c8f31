//! A shell between this process and a server, which ends the server when this process is gone.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::find;

/// How one server is run.
pub(crate) struct Plan {
    /// Removed when all is over, also where this process can't do it any more.
    pub(crate) folder: Option<PathBuf>,
    /// Where the server's output goes.
    pub(crate) log: PathBuf,
    /// The signal that stops it in good order.
    pub(crate) stop_signal: &'static str,
    /// The signal that ends it for good; `KILL` where nothing needs to be tidied up.
    pub(crate) end_signal: &'static str,
    /// The program and its arguments.
    pub(crate) command: Vec<OsString>,
    /// Its whole environment, but for `PATH`.
    pub(crate) env: Vec<(&'static str, OsString)>,
}

/// What a supervisor can be told.
#[derive(Clone, Copy)]
pub(crate) enum Order {
    /// Starts the server, where it doesn't run.
    Start,
    /// Stops all its processes where they are.
    Pause,
    /// Lets them go on.
    Resume,
    /// Kills all its processes.
    Kill,
    /// Lets it end in good order.
    Stop,
    /// Nothing but an answer.
    Look,
}

/// The shell. Dropped, it ends the server, and drop returns when that is done.
pub(crate) struct Supervisor {
    shell: Child,
    // The pipe is what tells the shell that this process lives.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Supervisor {
    /// Starts the shell; the server waits for [`Order::Start`].
    pub(crate) fn new(plan: &Plan) -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", include_str!("supervisor.sh"), "daybook-services"])
            .arg(plan.folder.as_deref().unwrap_or(Path::new("")))
            .arg(&plan.log)
            .args([plan.stop_signal, plan.end_signal])
            .args(&plan.command)
            .env_clear()
            .env("PATH", find::search_path())
            .envs(plan.env.iter().map(|(name, value)| (name, value)))
            // Where a crashing server may leave a file.
            .current_dir(plan.log.parent().unwrap_or(Path::new("/")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Inherited, it would keep a test runner waiting for its end.
            .stderr(Stdio::null());
        // What a terminal or a runner sends to this process's group must not reach the server first.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        File::options().create(true).append(true).open(&plan.log)?;
        let mut shell = command.spawn()?;
        let answers = shell.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let orders = shell.stdin.take();
        Ok(Self { shell, orders, answers: BufReader::new(answers) })
    }

    /// Has an order carried out; the server's process, where it then runs.
    pub(crate) fn tell(&mut self, order: Order) -> io::Result<Option<u32>> {
        let word = match order {
            Order::Start => "start",
            Order::Pause => "pause",
            Order::Resume => "resume",
            Order::Kill => "kill",
            Order::Stop => "stop",
            Order::Look => "look",
        };
        let orders = self.orders.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        orders.write_all(format!("{word}\n").as_bytes())?;
        let mut answer = String::new();
        if self.answers.read_line(&mut answer)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(answer.trim().parse().ok())
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.orders = None;
        // Nobody is left to tell of a failure.
        let _ = self.shell.wait();
    }
}
