//! What can be wrong with the configuration, each in one line that names the setting.

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::PathBuf;

use daybook_database::OpenError;
use daybook_smtp::SmtpConfigError;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::cli::{CommonOptions, LogFormat};

/// Why Daybook does not start, or had to stop.
#[derive(Debug, Error)]
pub(crate) enum StartupError {
    #[error("DATABASE_URL: {0}")]
    DatabaseUrl(&'static str),
    #[error("DATABASE_URL: {0}")]
    Database(#[from] OpenError),
    #[error("DATABASE_URL: another daybook serves {0}; stop it, or name another file")]
    DatabaseInUse(PathBuf),
    #[error("{0} is set, but this version has only the embedded engines; unset it")]
    NoSuchEngine(&'static str),
    #[error("DAYBOOK_LISTEN: {0} can't be listened on: {1}")]
    Listen(SocketAddr, io::Error),
    #[error("DAYBOOK_SIGNING_KEY_FILE: {0} can't be used: {1}")]
    SigningKey(PathBuf, String),
    #[error("DAYBOOK_LOG: {0}")]
    Log(String),
    #[error("{0}")]
    Mail(#[from] SmtpConfigError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Failed(String),
}

/// Sends the log to stderr. What the database libraries have to say is for those who ask for it.
pub(crate) fn log_to_stderr(options: &CommonOptions) -> Result<(), StartupError> {
    let quiet = "sqlx=warn,sea_orm=warn,sea_orm_migration=warn,hyper=warn";
    let filter = EnvFilter::try_new(format!("{quiet},{}", options.log));
    let filter = filter.map_err(|error| StartupError::Log(error.to_string()))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match options.log_format {
        LogFormat::Text => log.with_ansi(io::stderr().is_terminal()).with_target(false).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

/// Waits for SIGTERM or SIGINT.
pub(crate) async fn told_to_stop() -> Result<&'static str, StartupError> {
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}
