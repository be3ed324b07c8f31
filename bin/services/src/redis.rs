//! Redis.

use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::controls::controls;
use crate::server::{Ready, Server};
use crate::supervisor::Plan;
use crate::{ServiceError, find, folder, port};

const WHAT: &str = "Redis";
const WITHIN: Duration = Duration::from_secs(30);
const SLOTS: u16 = 16_384;

pub(crate) const MISSING: ServiceError = ServiceError::Missing {
    what: WHAT,
    hint: "install the package redis-server (Debian, Ubuntu), valkey (Fedora, Arch, Alpine) or redis (Homebrew), or \
           let `cargo xtask test` do it, or set TEST_REDIS_URL to a server for tests",
};

/// A Redis server that keeps nothing on disk: killed or restarted, it comes back empty.
pub struct Redis {
    server: Server,
    port: u16,
}

controls!(Redis);

impl Redis {
    /// Starts one, without a password.
    ///
    /// # Errors
    /// Where Redis is not installed or does not start.
    pub fn start() -> Result<Self, ServiceError> {
        Self::start_with(&[])
    }

    /// Starts one with more arguments, such as `["--requirepass", "secret"]`.
    ///
    /// The log level must be left at `notice`: the log says when the server is ready.
    ///
    /// # Errors
    /// Where Redis is not installed or does not start.
    pub fn start_with(args: &[&str]) -> Result<Self, ServiceError> {
        let program =
            ["redis-server", "valkey-server"].into_iter().find_map(find::in_path).ok_or(MISSING)?;
        port::retry(|| {
            let port = port::free()?;
            let folder = folder::new("redis")?;
            let mut command: Vec<OsString> = vec![program.clone().into()];
            command.extend(["--port", &port.to_string(), "--bind", "127.0.0.1"].map(Into::into));
            command.extend(["--save", "", "--appendonly", "no", "--dir"].map(Into::into));
            command.push(folder.path().into());
            command.extend(args.iter().map(Into::into));
            let plan = Plan {
                folder: Some(folder.path().into()),
                log: Server::log_in(folder.path()),
                stop_signal: "TERM",
                end_signal: "KILL",
                command,
                env: vec![("LC_ALL", "C".into())],
            };
            let ready = Ready { what: WHAT, text: "Ready to accept connections", within: WITHIN };
            Ok(Self { server: Server::start(ready, &plan, folder)?, port })
        })
    }

    /// Starts a cluster of one node, which has all slots, and waits until it is ready.
    ///
    /// After a restart a cluster refuses commands for two seconds.
    ///
    /// # Errors
    /// Where Redis is not installed or does not start.
    pub fn start_cluster() -> Result<Self, ServiceError> {
        let node =
            Self::start_with(&["--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1"])?;
        node.assign_slots().map_err(ServiceError::system("assigning a cluster's slots"))?;
        Ok(node)
    }

    /// Such as `redis://127.0.0.1:16379/`, without a password.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    fn assign_slots(&self) -> io::Result<()> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(WITHIN))?;
        let slots = (0..SLOTS).map(|slot| slot.to_string());
        let assigned =
            ask(&mut stream, ["CLUSTER", "ADDSLOTS"].map(String::from).into_iter().chain(slots))?;
        if !assigned.starts_with("+OK") {
            return Err(io::Error::other(assigned));
        }
        let deadline = Instant::now() + WITHIN;
        while !ask(&mut stream, ["CLUSTER", "INFO"].map(String::from))?.contains("cluster_state:ok")
        {
            if Instant::now() >= deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// Sends a command; the reply, which is a line or a text with its length before it.
fn ask(stream: &mut TcpStream, command: impl IntoIterator<Item = String>) -> io::Result<String> {
    let words: Vec<String> =
        command.into_iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    stream.write_all(format!("*{}\r\n{}", words.len(), words.concat()).as_bytes())?;
    let mut stream = BufReader::new(stream);
    let mut reply = String::new();
    stream.read_line(&mut reply)?;
    if let Some(length) = reply.strip_prefix('$').and_then(|it| it.trim().parse::<u64>().ok()) {
        // The text has a line end after it.
        stream.take(length + 2).read_to_string(&mut reply)?;
    }
    Ok(reply)
}
