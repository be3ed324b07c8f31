//! What can be wrong with the configuration, each in one line that names the setting.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use daybook_database::OpenError;
use daybook_http::InvalidProxies;
use daybook_rabbitmq::RabbitConfigError;
use daybook_redis::RedisConfigError;
use daybook_smtp::SmtpConfigError;
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::cli::{CommonOptions, LogFormat};
use crate::one_line::{Escape, OneLine};

/// Why Daybook does not start, or had to stop.
#[derive(Debug, Error)]
pub(crate) enum StartupError {
    #[error("DATABASE_URL: {0}")]
    DatabaseUrl(&'static str),
    #[error("DATABASE_URL: {0}")]
    Database(#[from] OpenError),
    #[error("DATABASE_URL: another daybook serves {0}; stop it, or name another file")]
    DatabaseInUse(PathBuf),
    #[error("DATABASE_URL: there is no {0}; name a file that daybook has made")]
    NoDatabase(PathBuf),
    #[error("{0} and {0}_FILE are both set; unset one")]
    GivenTwice(&'static str),
    #[error("{0}_FILE: {1} can't be read: {2}")]
    SecretFile(&'static str, PathBuf, io::Error),
    #[error("{0}_FILE: {1} is empty")]
    EmptySecretFile(&'static str, PathBuf),
    #[error("{0}")]
    Redis(#[from] RedisConfigError),
    #[error("REDIS_ADDR: give a host and a port, as in localhost:6379")]
    RedisAddress,
    #[error("{0}")]
    RabbitMq(#[from] RabbitConfigError),
    #[error("DAYBOOK_LISTEN: {0} can't be listened on: {1}")]
    Listen(SocketAddr, io::Error),
    #[error("DAYBOOK_SIGNING_KEY_FILE: {0} can't be used: {1}")]
    SigningKey(PathBuf, String),
    #[error("{0}: the engine is on another machine and {1}; with --production that is refused")]
    WeakCredentials(&'static str, &'static str),
    #[error("DAYBOOK_TRUSTED_PROXIES: {0}")]
    Proxies(#[from] InvalidProxies),
    #[error("DAYBOOK_LOG: {0}")]
    Log(String),
    #[error("{setting}: {error}", setting = mail_setting(.0), error = .0)]
    Mail(#[from] SmtpConfigError),
    #[error("DAYBOOK_OPERATORS: {0} is no holder's id: ids are UUIDs, separated by commas")]
    Operator(String),
    #[error(
        "DAYBOOK_TASK_LIMITS: {0} is no limit: give a kind and a number from 1 on, as in send_email=2"
    )]
    TaskLimit(String),
    #[error("DAYBOOK_SCHEDULES_FILE: {0}: {1}")]
    Schedules(PathBuf, String),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Failed(String),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "errors give their parts by reference")]
const fn mail_setting(error: &SmtpConfigError) -> &'static str {
    match error {
        SmtpConfigError::Url | SmtpConfigError::Unread => "SMTP_URL",
        SmtpConfigError::From => "DAYBOOK_MAIL_FROM",
    }
}

/// Sends the log to stderr. What the database libraries have to say is for those who ask for it.
pub(crate) fn log_to_stderr(options: &CommonOptions) -> Result<(), StartupError> {
    let quiet = "amqprs=off,redis=off,sqlx=warn,sea_orm=warn,sea_orm_migration=warn,hyper=warn";
    let filter = EnvFilter::try_new(format!("{quiet},{}", options.log));
    let filter = filter.map_err(|error| StartupError::Log(error.to_string()))?;
    let colours = io::stderr().is_terminal();
    let escape = match options.log_format {
        LogFormat::Text if colours => Escape::Coloured,
        LogFormat::Text => Escape::Text,
        LogFormat::Json => Escape::Json,
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(OneLine::new(io::stderr, escape));
    match options.log_format {
        LogFormat::Text => log.with_ansi(colours).with_target(false).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

/// Prints a line. Unlike `println!`, it says so when nobody reads any more.
pub(crate) fn say(line: impl Display) -> Result<(), StartupError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// SIGTERM and SIGINT, heard from the moment this is made.
pub(crate) struct StopSignal {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignal {
    pub(crate) fn listen() -> Result<Self, StartupError> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The name of the signal, once it comes.
    pub(crate) async fn heard(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Whether it is a manager of services that sends this signal, and not someone at a terminal.
    pub(crate) fn is_of_a_manager(signal: &str) -> bool {
        signal == "SIGTERM"
    }
}
