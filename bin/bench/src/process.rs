//! Child processes, ended and reaped with the value that stands for them: those that serve HTTP, and those that do one
//! thing and end.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{BenchError, Doing};
use crate::interrupt;

/// How long a child may take until it listens.
const PATIENCE: Duration = Duration::from_secs(20);
const ANNOUNCEMENT: &str = "http://127.0.0.1:";

/// A server that runs as a child.
pub(crate) struct Process {
    child: Reaped,
    address: SocketAddr,
    begun: Instant,
}

impl Process {
    /// Starts a server and waits until it writes to its standard output where it listens, as `http://127.0.0.1:PORT`.
    /// What it writes to its standard error goes to a file in `folder`, and into the error where it fails.
    ///
    /// # Errors
    /// Where it does not start, ends, or does not listen in time.
    pub(crate) fn start(
        name: &str,
        command: &mut Command,
        folder: &Path,
    ) -> Result<Self, BenchError> {
        let errors = folder.join(format!("{name}.stderr"));
        let error_file = File::create(&errors).doing(format!("making {}", errors.display()))?;
        let begun = Instant::now();
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(error_file).spawn();
        let child = Reaped(child.doing(format!("starting {name}"))?);
        let mut starting = Starting { child, name, errors };
        let address = starting.address()?;
        Ok(Self { child: starting.child, address, begun })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How long ago it was started.
    pub(crate) fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.0.id()
    }
}

/// Runs a child to its end and gives what it wrote to its standard output.
///
/// # Errors
/// Where it does not start, fails, takes longer than `patience`, or the run was asked to end.
pub(crate) fn run_to_end(
    name: &str,
    command: &mut Command,
    folder: &Path,
    patience: Duration,
) -> Result<String, BenchError> {
    let [output, errors] =
        ["stdout", "stderr"].map(|stream| folder.join(format!("{name}.{stream}")));
    let create = |path: &Path| File::create(path).doing(format!("making {}", path.display()));
    command.stdin(Stdio::null()).stdout(create(&output)?).stderr(create(&errors)?);
    let mut child = Reaped(command.spawn().doing(format!("starting {name}"))?);
    let deadline = Instant::now() + patience;
    let status = loop {
        interrupt::check()?;
        if let Some(status) = child.0.try_wait().doing(format!("waiting for {name}"))? {
            break status;
        }
        if Instant::now() >= deadline {
            return Err(failure(name, "did not end in time", &errors));
        }
        interrupt::sleep(interrupt::TICK)?;
    };
    if !status.success() {
        return Err(failure(name, &format!("ended with {status}"), &errors));
    }
    fs::read_to_string(&output).doing(format!("reading {}", output.display()))
}

/// A child that does not outlive the value.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        // Fails only where the child has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a child did not do, with its last words.
fn failure(name: &str, what: &str, errors: &Path) -> BenchError {
    let errors = fs::read_to_string(errors).unwrap_or_default();
    let lines: Vec<&str> = errors.lines().collect();
    let last = lines.get(lines.len().saturating_sub(10)..).unwrap_or_default().join("\n");
    BenchError::failed(format!("{name} {what}; it wrote:\n{last}"))
}

/// A child that does not listen yet.
struct Starting<'a> {
    child: Reaped,
    name: &'a str,
    errors: PathBuf,
}

impl Starting<'_> {
    fn address(&mut self) -> Result<SocketAddr, BenchError> {
        let stdout = self.child.0.stdout.take();
        let port =
            watch(stdout.ok_or_else(|| BenchError::failed("the child has no standard output"))?);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            interrupt::check()?;
            match port.recv_timeout(interrupt::TICK) {
                Ok(port) => return Ok((Ipv4Addr::LOCALHOST, port).into()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.failure("ended before it listened"));
                }
            }
        }
        Err(self.failure("did not say in time where it listens"))
    }

    fn failure(&self, what: &str) -> BenchError {
        failure(self.name, what, &self.errors)
    }
}

/// Hands on the port that is announced, and reads on to the end so that the child never waits for a reader.
fn watch(stdout: ChildStdout) -> Receiver<u16> {
    let (found, port) = mpsc::channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
            if let Some(port) = announced_port(&line) {
                let _ = found.send(port);
                break;
            }
            line.clear();
        }
        drop(found);
        let _ = io::copy(&mut reader, &mut io::sink());
    });
    port
}

fn announced_port(line: &str) -> Option<u16> {
    let (_, rest) = line.split_once(ANNOUNCEMENT)?;
    let digits = rest.split(|character: char| !character.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_found_wherever_it_stands_in_the_line() {
        assert_eq!(announced_port("Daybook listens on http://127.0.0.1:4711/docs\n"), Some(4711));
        assert_eq!(
            announced_port(r#"{"message":"listening","url":"http://127.0.0.1:80"}"#),
            Some(80)
        );
        assert_eq!(announced_port("http://127.0.0.1:"), None);
        assert_eq!(announced_port("starting"), None);
    }

    #[test]
    fn a_child_that_ends_at_once_is_reported_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no port free >&2"]);
        let error = Process::start("child", &mut command, folder.path()).err().unwrap().to_string();
        assert!(
            error.contains("ended before it listened") && error.contains("no port free"),
            "{error}"
        );
    }

    #[test]
    fn a_child_that_runs_to_its_end_gives_its_output_or_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let run = |script, patience| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            run_to_end("child", &mut command, folder.path(), patience)
        };
        assert_eq!(run("echo 42", Duration::from_mins(1)).unwrap(), "42\n");
        let error = run("echo no disk >&2; exit 3", Duration::from_mins(1)).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("exit status: 3") && error.contains("no disk"), "{error}");
        let error = run("exec sleep 600", Duration::from_millis(100)).unwrap_err().to_string();
        assert!(error.contains("did not end in time"), "{error}");
    }

    #[test]
    fn a_child_ends_with_its_value() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo http://127.0.0.1:1; exec sleep 600"]);
        let process = Process::start("child", &mut command, folder.path()).unwrap();
        let status = format!("/proc/{}", process.id());
        assert!(Path::new(&status).exists());
        drop(process);
        assert!(!Path::new(&status).exists());
    }
}
