//! Daybook: the composition root. It reads the configuration, puts the adapters behind the ports,
//! and runs what was asked for. Nothing is decided here.
//!
//! A library, so that the fault suite can run the same service with a fault planted ([`Wrap`]).
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may stop at the first surprise"))]

mod audit;
mod cli;
mod engines;
mod health;
mod one_line;
mod programs;
mod serve;
mod signing_key;
mod startup;
mod system;
mod wrap;

use std::io::ErrorKind;
use std::process::ExitCode;
use std::sync::Arc;

use cli::{Cli, Command};
use startup::{StartupError, say};

pub use wrap::{Plain, Wrap};

/// Does what the command line says, with this around the adapters.
pub fn main(wrap: impl Wrap) -> ExitCode {
    let cli = Cli::read();
    let failure = match cli.command {
        Some(Command::Verify(_)) => ExitCode::from(audit::NOT_LOOKED_AT),
        _ => ExitCode::FAILURE,
    };
    match run(cli, Arc::new(wrap)) {
        Ok(code) => code,
        // Whoever read the output has seen enough.
        Err(StartupError::Io(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("daybook: {error}");
            failure
        }
    }
}

fn run(cli: Cli, wrap: Arc<dyn Wrap>) -> Result<ExitCode, StartupError> {
    if let Some(Command::Openapi) = cli.command {
        say(daybook_http::openapi())?;
        return Ok(ExitCode::SUCCESS);
    }
    startup::log_to_stderr(&cli.common)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.command.unwrap_or_else(|| Command::Serve(Box::new(cli.serve))) {
            Command::Verify(options) => {
                return audit::verify(&cli.common, &options).await;
            }
            Command::Rebuild => audit::rebuild(&cli.common).await,
            Command::Serve(options) => serve::serve(&cli.common, &options, wrap).await,
            Command::Worker(options) => programs::work(&cli.common, &options, wrap).await,
            Command::Migrate => programs::migrate(&cli.common).await,
            Command::Publish(options) => programs::publish(&cli.common, &options, wrap).await,
            Command::Subscribe(options) => programs::subscribe(&cli.common, &options, wrap).await,
            Command::Enqueue(options) => programs::enqueue(&cli.common, &options, wrap).await,
            Command::Health(options) => health::health(&options).await,
            Command::Openapi => Ok(()),
        }
        .map(|()| ExitCode::SUCCESS)
    })
}
