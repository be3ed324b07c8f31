//! RabbitMQ.

use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::controls::controls;
use crate::server::{Ready, Server, tail};
use crate::supervisor::{Order, Plan, Supervisor};
use crate::{ServiceError, find, folder, port};

const WHAT: &str = "RabbitMQ";
const WITHIN: Duration = Duration::from_mins(2);
const EPMD_WITHIN: Duration = Duration::from_secs(20);

/// Where the script itself is: the one of the same name in `sbin` changes to another account.
const PLACES: [&str; 4] = [
    "/usr/lib/rabbitmq/bin",
    "/opt/homebrew/opt/rabbitmq/sbin",
    "/usr/local/opt/rabbitmq/sbin",
    "/home/linuxbrew/.linuxbrew/opt/rabbitmq/sbin",
];

pub(crate) const MISSING: ServiceError = ServiceError::Missing {
    what: WHAT,
    hint: "install the package rabbitmq-server (Debian, Ubuntu, Fedora, Alpine) or rabbitmq (Arch, Homebrew), or let \
           `cargo xtask test` do it, or set TEST_AMQP_URL to a server for tests",
};

/// A RabbitMQ node without plugins, with the user `guest`. What is durable survives a restart.
pub struct RabbitMq {
    server: Server,
    port: u16,
    /// What its tools have to know of it.
    env: Vec<(&'static str, OsString)>,
    // Erlang's register of nodes. It ends after the server.
    _epmd: Supervisor,
}

controls!(RabbitMq);

impl RabbitMq {
    /// Starts one.
    ///
    /// # Errors
    /// Where RabbitMQ is not installed or does not start.
    pub fn start() -> Result<Self, ServiceError> {
        Self::start_with(&[])
    }

    /// Starts one with more lines in its `rabbitmq.conf`, such as `["heartbeat = 1"]`.
    ///
    /// # Errors
    /// Where RabbitMQ is not installed or does not start.
    pub fn start_with(settings: &[&str]) -> Result<Self, ServiceError> {
        let program = find::among(PLACES, "rabbitmq-server")
            .or_else(|| find::in_path("rabbitmq-server"))
            .ok_or(MISSING)?;
        let epmd = epmd().ok_or(MISSING)?;
        port::retry(|| start(&program, &epmd, settings))
    }

    /// Such as `amqp://guest:guest@127.0.0.1:15672/%2f`.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// Has `rabbitmqctl` do something, such as `["purge_queue", "tasks"]`, as its operator would; what it
    /// answers. It takes a second or two.
    ///
    /// # Errors
    /// Where it is not installed, or the node refuses or does not run.
    pub fn control(&self, args: &[&str]) -> Result<String, ServiceError> {
        let program = find::among(PLACES, "rabbitmqctl")
            .or_else(|| find::in_path("rabbitmqctl"))
            .ok_or(MISSING)?;
        let output = Command::new(program)
            .arg("--quiet")
            .args(args)
            .env_clear()
            .env("PATH", find::search_path())
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder())
            .stdin(Stdio::null())
            .output()
            .map_err(ServiceError::system("running rabbitmqctl"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
        }
        let log = tail(&String::from_utf8_lossy(&output.stderr));
        Err(ServiceError::Failed { what: "rabbitmqctl", problem: "failed", log })
    }
}

fn start(program: &Path, epmd: &Path, settings: &[&str]) -> Result<RabbitMq, ServiceError> {
    let (port, peer_port, epmd_port) = (port::free()?, port::free()?, port::free()?);
    let folder = folder::new("rabbitmq")?;
    for (name, content) in [("rabbitmq.conf", settings.join("\n")), ("plugins", "[].".into())] {
        fs::write(folder.path().join(name), content + "\n")
            .map_err(ServiceError::system("writing a file"))?;
    }
    let epmd = start_epmd(epmd, epmd_port, folder.path())?;
    let env = env(folder.path(), port, peer_port, epmd_port);
    let plan = Plan {
        folder: Some(folder.path().into()),
        log: Server::log_in(folder.path()),
        stop_signal: "TERM",
        end_signal: "KILL",
        command: vec![program.into()],
        env: env.clone(),
    };
    let ready = Ready { what: WHAT, text: "Server startup complete", within: WITHIN };
    Ok(RabbitMq { server: Server::start(ready, &plan, folder)?, port, env, _epmd: epmd })
}

fn env(folder: &Path, port: u16, peer_port: u16, epmd_port: u16) -> Vec<(&'static str, OsString)> {
    let path = |name: &str| folder.join(name).into();
    vec![
        ("LC_ALL", "C.UTF-8".into()),
        ("HOME", folder.into()),
        ("ERL_EPMD_PORT", epmd_port.to_string().into()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
        ("RABBITMQ_NODENAME", "daybook@localhost".into()),
        ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".into()),
        ("RABBITMQ_NODE_PORT", port.to_string().into()),
        ("RABBITMQ_DIST_PORT", peer_port.to_string().into()),
        ("RABBITMQ_MNESIA_BASE", path("mnesia")),
        ("RABBITMQ_LOG_BASE", path("log")),
        ("RABBITMQ_LOGS", "-".into()),
        ("RABBITMQ_PID_FILE", path("pid")),
        // Without its `.conf`, which older versions add.
        ("RABBITMQ_CONFIG_FILE", path("rabbitmq")),
        ("RABBITMQ_CONFIG_FILES", path("conf.d")),
        ("RABBITMQ_ADVANCED_CONFIG_FILE", path("advanced.config")),
        ("RABBITMQ_GENERATED_CONFIG_DIR", path("generated")),
        ("RABBITMQ_CONF_ENV_FILE", "/dev/null".into()),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins")),
        // The script then becomes the server, and signals reach it.
        ("RABBITMQ_ALLOW_INPUT", "true".into()),
        (
            "RABBITMQ_SERVER_START_ARGS",
            "-noinput -start_epmd false -kernel inet_dist_use_interface {127,0,0,1}".into(),
        ),
    ]
}

/// Starts Erlang's register of nodes. One that the server started itself would outlive it.
fn start_epmd(program: &Path, port: u16, folder: &Path) -> Result<Supervisor, ServiceError> {
    let what = "epmd";
    let log = folder.join("epmd.log");
    let port_argument = port.to_string();
    let mut command: Vec<OsString> = vec![program.into()];
    command.extend(["-port", &port_argument, "-address", "127.0.0.1"].map(Into::into));
    let plan = Plan {
        folder: None,
        log: log.clone(),
        stop_signal: "TERM",
        end_signal: "KILL",
        command,
        env: Vec::new(),
    };
    let mut epmd = Supervisor::new(&plan).map_err(ServiceError::system("starting a supervisor"))?;
    let mut tell = |order| epmd.tell(order).map_err(ServiceError::system("starting epmd"));
    tell(Order::Start)?;
    let deadline = Instant::now() + EPMD_WITHIN;
    loop {
        let answers = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        let log = || fs::read_to_string(&log).unwrap_or_default();
        if tell(Order::Look)?.is_none() {
            return Err(ServiceError::PortTaken { what, log: log() });
        }
        if answers {
            return Ok(epmd);
        }
        if Instant::now() >= deadline {
            return Err(ServiceError::Failed { what, problem: "did not answer", log: log() });
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn epmd() -> Option<PathBuf> {
    find::in_path("epmd").or_else(|| {
        let beside =
            ["/usr/lib/erlang", "/usr/lib64/erlang"].map(|it| find::versioned(it, "erts-", "bin"));
        find::among(beside.into_iter().flatten(), "epmd")
    })
}
