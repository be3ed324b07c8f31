//! `daybook-bench`: what Daybook reaches, each figure beside a control measured in the same run.
//!
//! A figure is a ratio. Product and control take turns for some rounds, so that a slow minute of the machine meets
//! both, and the median of the rounds' ratios is what counts. The load comes from this process ([`load`]), over
//! loopback alone; product and controls are child processes that end with it ([`process`]).
//!
//! To add a figure: a file in [`figures`] that starts both sides and hands two closures to [`rounds::alternate`], and
//! where it needs a new control, a file in [`controls`].

#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may stop at the first surprise"))]

mod controls;
mod direct;
mod error;
mod figures;
mod histogram;
mod http;
mod interrupt;
mod load;
mod machine;
mod options;
mod process;
mod product;
mod report;
mod rounds;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::BenchError;
use crate::figures::Figure;
use crate::options::Options;

/// Measures Daybook beside its controls.
#[derive(Parser)]
#[command(name = "daybook-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Clone, Subcommand)]
enum Command {
    /// Cached GET /accounts/{id} beside a bare poem route.
    P1,
    /// Durable create-order commands on the embedded database, 256 clients, beside raw rusqlite; also over HTTP.
    P12,
    /// Durable POST /orders on the embedded database, 256 clients, beside raw rusqlite.
    P12Http,
    /// Durable POST /orders on the embedded database, 64 clients, beside an in-memory service.
    P14,
    /// Time to the first answer, and idle memory.
    Start,
    /// All of them.
    All,
    /// Serves one stored reply, by poem.
    #[command(hide = true)]
    ControlPoem {
        /// The file that holds the reply, head and body.
        reply: PathBuf,
    },
    /// Serves POST /orders from memory, by poem.
    #[command(hide = true)]
    ControlOrders,
    /// Creates orders without HTTP, and prints what came of it.
    #[command(hide = true)]
    ProductCommands {
        /// The database's file; it is made.
        database: PathBuf,
        /// Commands in flight.
        clients: u32,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let figures = match cli.command.unwrap_or(Command::All) {
        Command::P1 => vec![Figure::CachedRead],
        Command::P12 => vec![Figure::DurableOrders, Figure::DurableOrdersOverHttp],
        Command::P12Http => vec![Figure::DurableOrdersOverHttp],
        Command::P14 => vec![Figure::OrdersBesideMemory],
        Command::Start => vec![Figure::Start],
        Command::All => Figure::ALL.to_vec(),
        Command::ControlPoem { reply } => return exit_code(&controls::bare_route::serve(&reply)),
        Command::ControlOrders => return exit_code(&controls::memory_orders::serve()),
        Command::ProductCommands { database, clients } => {
            return exit_code(&direct::run(&database, clients, cli.options.pace()));
        }
    };
    exit_code(&measure(&figures, &cli.options))
}

/// Measures every figure; one that fails does not keep the next from being measured.
fn measure(figures: &[Figure], options: &Options) -> Result<(), BenchError> {
    interrupt::listen()?;
    report::conditions(options)?;
    let mut outcome = Ok(());
    for figure in figures {
        match figure.measure(options) {
            Ok(()) => {}
            Err(BenchError::Interrupted) => return Err(BenchError::Interrupted),
            Err(error) => {
                complain(&error);
                outcome =
                    Err(BenchError::failed("not every figure was measured without a failure"));
            }
        }
    }
    outcome
}

fn exit_code(outcome: &Result<(), BenchError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(error);
            ExitCode::FAILURE
        }
    }
}

/// Writes an error and what led to it.
fn complain(error: &dyn Error) {
    eprint!("daybook-bench: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        eprint!(": {cause}");
        source = cause.source();
    }
    eprintln!();
}
