//! PostgreSQL.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::account::Account;
use crate::controls::controls;
use crate::database::{create_with, encoded};
use crate::server::{Ready, Server};
use crate::supervisor::Plan;
use crate::{ServiceError, find, folder, port};

const WHAT: &str = "PostgreSQL";
const OLDEST: u32 = 15;
const WITHIN: Duration = Duration::from_secs(90);
/// The name of the folder that has a file system of its own, where one has.
const ROOM: &str = "room";
/// Mounts it, and becomes the rest of the command line, as an account that is not root.
const IN_SMALL_ROOM: &str = "mount -t tmpfs -o size=$0 tmpfs \"$1\" && shift && \
    exec unshare --user --map-user=1000 --map-group=1000 \"$@\"";

/// Where packages put each major version beside the others.
const PLACES: [(&str, &str, &str); 6] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/usr/libexec", "postgresql", ""),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql@", "bin"),
];

pub(crate) const MISSING: ServiceError = ServiceError::Missing {
    what: "PostgreSQL 15 or newer",
    hint: "install the package postgresql (Debian, Ubuntu, Arch, Alpine), postgresql-server (Fedora) or \
           postgresql@17 (Homebrew), or let `cargo xtask test` do it, or set TEST_DATABASE_URL to a server for tests",
};

/// A PostgreSQL server with `fsync` on, as in production. It never runs as root.
pub struct Postgres {
    server: Server,
    port: u16,
    password: Option<String>,
    psql: PathBuf,
}

controls!(Postgres);

impl Postgres {
    /// Starts one that lets in the superuser `postgres` without a password.
    ///
    /// # Errors
    /// Where PostgreSQL is not installed or does not start.
    pub fn start() -> Result<Self, ServiceError> {
        start(&[], None, None)
    }

    /// Starts one whose tables have a file system of their own with room for so many bytes;
    /// [`room`](Self::room) is the way to it. The write-ahead log is elsewhere. Killed, it has lost
    /// its tables.
    ///
    /// # Errors
    /// Where PostgreSQL is not installed, or does not start, which it does not where nobody but root
    /// may mount file systems.
    pub fn start_in_small_room(bytes: u64) -> Result<Self, ServiceError> {
        start(&[], None, Some(bytes))
    }

    /// Where others find the folder that its tables are in.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn room(&self) -> Result<PathBuf, ServiceError> {
        let pid = self.pid()?.ok_or_else(|| ServiceError::Failed {
            what: WHAT,
            problem: "does not run",
            log: String::new(),
        })?;
        let folder = self.folder().join(ROOM);
        let inside = folder.strip_prefix("/").unwrap_or(&folder);
        Ok(Path::new("/proc").join(pid.to_string()).join("root").join(inside))
    }

    /// Starts one with more settings, such as `[("max_connections", "10")]`.
    ///
    /// Logging must be left alone: the log says when the server is ready.
    ///
    /// # Errors
    /// Where PostgreSQL is not installed or does not start.
    pub fn start_with(settings: &[(&str, &str)]) -> Result<Self, ServiceError> {
        start(settings, None, None)
    }

    /// Starts one that asks the superuser `postgres` for this password.
    ///
    /// # Errors
    /// Where PostgreSQL is not installed or does not start, or the password has more than one line.
    pub fn start_with_password(password: &str) -> Result<Self, ServiceError> {
        start(&[], Some(password), None)
    }

    /// Such as `postgres://postgres@127.0.0.1:15432/postgres`, with the password where it has one.
    pub fn url(&self) -> String {
        let password = self.password.as_ref().map(|it| format!(":{}", encoded(it)));
        let password = password.unwrap_or_default();
        format!("postgres://postgres{password}@127.0.0.1:{}/postgres", self.port)
    }

    /// Makes it a standby of nobody, which takes reads only until `pg_promote()` is called: it stops in good
    /// order and starts again. One with a small room can't be.
    ///
    /// # Errors
    /// Where it does not become ready.
    pub fn demote(&self) -> Result<(), ServiceError> {
        self.stop()?;
        let signal = self.folder().join("data/standby.signal");
        fs::write(signal, "").map_err(ServiceError::system("writing a file"))?;
        self.restart()
    }

    /// Creates an empty database; its URL.
    ///
    /// # Errors
    /// Where there is one of this name, or the server does not answer.
    pub fn create_database(&self, name: &str) -> Result<String, ServiceError> {
        create_with(&self.psql, &self.url(), name)
    }
}

impl Drop for Postgres {
    /// Removes the segment of shared memory that a killed server leaves behind. A server that ends in good
    /// order removes it, and the file that names it, itself.
    fn drop(&mut self) {
        if !matches!(self.pid(), Ok(None)) {
            return;
        }
        let file =
            fs::read_to_string(self.folder().join("data/postmaster.pid")).unwrap_or_default();
        let segment = file.lines().nth(6).and_then(|line| line.split_whitespace().nth(1));
        if let Some(segment) = segment {
            // Where there is no such program, a few bytes stay.
            let _ = Command::new("ipcrm").args(["-m", segment]).output();
        }
    }
}

fn start(
    settings: &[(&str, &str)],
    password: Option<&str>,
    room: Option<u64>,
) -> Result<Postgres, ServiceError> {
    let programs = programs().ok_or(MISSING)?;
    let psql = psql_of(&programs).ok_or(MISSING)?;
    port::retry(|| {
        let port = port::free()?;
        let folder = folder::new("postgres")?;
        // In a room of its own nobody is root.
        let account = if room.is_none() { Account::instead_of_root(folder.path())? } else { None };
        let secret = folder.path().join("password");
        fs::write(&secret, password.unwrap_or("unused"))
            .map_err(ServiceError::system("writing a file"))?;
        if let Some(account) = &account {
            account.own(folder.path())?;
            account.own(&secret)?;
        }
        let mut command = account.map(Account::prefix).unwrap_or_default();
        let (mut data, mut wal) = (folder.path().join("data"), OsString::new());
        if let Some(bytes) = room {
            let room = folder.path().join(ROOM);
            fs::create_dir(&room).map_err(ServiceError::system("making a folder"))?;
            (data, wal) = (room.join("data"), folder.path().join("wal").into());
            command.extend(["unshare", "--user", "--map-root-user", "--mount"].map(Into::into));
            command.extend(["/bin/sh", "-c", IN_SMALL_ROOM].map(Into::into));
            command.extend([bytes.to_string().into(), room.into()]);
        }
        command.extend(["/bin/sh", "-c", include_str!("postgres.sh"), "postgres"].map(Into::into));
        command.extend([programs.clone().into(), data.into()]);
        command.push(if password.is_some() { "scram-sha-256" } else { "trust" }.into());
        command.extend([secret.into(), wal]);
        command.extend(options(port, settings));
        let plan = Plan {
            folder: Some(folder.path().into()),
            log: Server::log_in(folder.path()),
            stop_signal: "INT",
            // Killed, it would leave shared memory behind.
            end_signal: "QUIT",
            command,
            env: vec![("LC_ALL", "C".into()), ("HOME", folder.path().into())],
        };
        // "connections", or "read-only connections".
        let text = "database system is ready to accept ";
        let server = Server::start(Ready { what: WHAT, text, within: WITHIN }, &plan, folder)?;
        Ok(Postgres { server, port, password: password.map(Into::into), psql: psql.clone() })
    })
}

fn options(port: u16, settings: &[(&str, &str)]) -> Vec<OsString> {
    let port = port.to_string();
    let ours = [
        ("port", port.as_str()),
        ("listen_addresses", "127.0.0.1"),
        // A socket's path may not be longer than some hundred bytes.
        ("unix_socket_directories", ""),
        ("max_connections", "200"),
        // In the folder, where nothing stays behind when it is killed.
        ("dynamic_shared_memory_type", "mmap"),
    ];
    ours.iter()
        .chain(settings)
        .flat_map(|(name, value)| ["-c".into(), format!("{name}={value}").into()])
        .collect()
}

/// The folder with `postgres` and `initdb` of a version that is new enough.
fn programs() -> Option<PathBuf> {
    let in_path = find::in_path("initdb").and_then(|it| it.parent().map(Path::to_path_buf));
    let elsewhere = PLACES
        .into_iter()
        .flat_map(|(parent, prefix, below)| find::versioned(parent, prefix, below));
    in_path.into_iter().chain(elsewhere).find(|folder| {
        folder.join("initdb").is_file()
            && version(&folder.join("postgres")).is_some_and(|it| it >= OLDEST)
    })
}

/// The client, of the server's version where there is one.
pub(crate) fn psql() -> Option<PathBuf> {
    programs().and_then(|programs| psql_of(&programs)).or_else(|| find::in_path("psql"))
}

fn psql_of(programs: &Path) -> Option<PathBuf> {
    find::among([programs], "psql").or_else(|| find::in_path("psql"))
}

/// The major version, from such as `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`.
fn version(postgres: &Path) -> Option<u32> {
    let output = Command::new(postgres).arg("--version").output().ok()?;
    let output = String::from_utf8(output.stdout).ok()?;
    find::numbers(output.split_whitespace().nth(2)?)?.first().copied()
}
