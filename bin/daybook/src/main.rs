//! Daybook: the composition root. It reads the configuration, puts the adapters behind the ports,
//! and runs what was asked for. Nothing is decided here.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may stop at the first surprise"))]

mod cli;
mod engines;
mod health;
mod programs;
mod serve;
mod signing_key;
mod startup;
mod system;

use std::io::ErrorKind;
use std::process::ExitCode;

use cli::{Cli, Command};
use startup::{StartupError, say};

/// Requests are many small allocations on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::read();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has seen enough.
        Err(StartupError::Io(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("daybook: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), StartupError> {
    if let Some(Command::Openapi) = cli.command {
        return say(daybook_http::openapi());
    }
    startup::log_to_stderr(&cli.common)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.command.unwrap_or(Command::Serve(cli.serve)) {
            Command::Serve(options) => serve::serve(&cli.common, &options).await,
            Command::Worker(options) => programs::work(&cli.common, &options).await,
            Command::Migrate => programs::migrate(&cli.common).await,
            Command::Publish(options) => programs::publish(&cli.common, &options).await,
            Command::Subscribe(options) => programs::subscribe(&cli.common, &options).await,
            Command::Enqueue(options) => programs::enqueue(&cli.common, &options).await,
            Command::Health(options) => health::health(&options).await,
            Command::Openapi => Ok(()),
        }
    })
}
