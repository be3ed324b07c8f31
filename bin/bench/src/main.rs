//! `daybook-bench`: what Daybook reaches, each figure beside a control measured in the same run.
//!
//! A figure is a ratio. Product and control take turns for some rounds, so that a slow minute of the machine meets
//! both, and the median of the rounds' ratios is what counts. The load comes from this process ([`load`]), over
//! loopback alone; product and controls are child processes that end with it ([`process`]). Where HTTP is no part of
//! the figure, the product is this program in a process of its own ([`direct`]). Servers are private ones, as durable
//! as in production, with a new database or queue for each turn ([`servers`]); programs that others wrote to measure
//! them are looked for where they are installed ([`programs`]).
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
mod programs;
mod report;
mod rounds;
mod servers;

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
    /// The same with PostgreSQL and Redis, where the reply comes from Redis, beside redis-benchmark.
    P2,
    /// Durable create-order commands on PostgreSQL, one client, beside pgbench; also over HTTP.
    P3,
    /// Durable POST /orders on PostgreSQL, one client, beside pgbench.
    P3Http,
    /// Durable create-order commands on PostgreSQL, 256 clients, beside pgbench; also over HTTP.
    P4,
    /// Durable POST /orders on PostgreSQL, 256 clients, beside pgbench.
    P4Http,
    /// Durable create-order commands on PostgreSQL, 256 clients, beside full batches on one connection.
    P5,
    /// Pay 256 orders at once from one account on PostgreSQL, beside P4's commands.
    P6,
    /// Relay of tasks from the log on PostgreSQL to RabbitMQ, confirmed, beside the AMQP client alone.
    P7,
    /// Tasks on RabbitMQ, done and recorded on PostgreSQL, beside the AMQP client alone.
    P8,
    /// Durable create-order commands on the embedded database, 256 clients, beside raw rusqlite; also over HTTP.
    P12,
    /// Durable POST /orders on the embedded database, 256 clients, beside raw rusqlite.
    P12Http,
    /// Durable POST /orders on the embedded database, 64 clients, beside an in-memory service.
    P14,
    /// Every list with every filter at 10⁶ rows, beside the same at 10³, on both databases.
    P17,
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
    /// Does something without HTTP, and prints what came of it.
    #[command(hide = true)]
    Product {
        /// What, as JSON.
        job: String,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let figures = match cli.command.unwrap_or(Command::All) {
        Command::P1 => vec![Figure::CachedRead],
        Command::P2 => vec![Figure::RedisRead],
        Command::P3 => vec![Figure::OneClient, Figure::OneClientOverHttp],
        Command::P3Http => vec![Figure::OneClientOverHttp],
        Command::P4 => vec![Figure::ManyClients, Figure::ManyClientsOverHttp],
        Command::P4Http => vec![Figure::ManyClientsOverHttp],
        Command::P5 => vec![Figure::FullBatches],
        Command::P6 => vec![Figure::OneAccount],
        Command::P7 => vec![Figure::TaskRelay],
        Command::P8 => vec![Figure::Tasks],
        Command::P12 => vec![Figure::DurableOrders, Figure::DurableOrdersOverHttp],
        Command::P12Http => vec![Figure::DurableOrdersOverHttp],
        Command::P14 => vec![Figure::OrdersBesideMemory],
        Command::P17 => vec![Figure::Lists],
        Command::Start => vec![Figure::Start],
        Command::All => Figure::ALL.to_vec(),
        Command::ControlPoem { reply } => return exit_code(&controls::bare_route::serve(&reply)),
        Command::ControlOrders => return exit_code(&controls::memory_orders::serve()),
        Command::Product { job } => return exit_code(&direct::run(&job)),
    };
    exit_code(&measure(&figures, &cli.options))
}

/// Measures every figure; one that fails does not keep the next from being measured.
fn measure(figures: &[Figure], options: &Options) -> Result<(), BenchError> {
    options.settle_folder()?;
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
