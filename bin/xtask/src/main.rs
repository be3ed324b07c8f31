//! `cargo xtask`: what a developer runs, and what CI runs.
//!
//! To add a command, add a variant to [`Task`] and its steps to [`Task::run`].

mod packages;
mod security;
mod servers;
mod step;

use std::env::consts::EXE_SUFFIX;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use clap::{Parser, Subcommand};

use crate::servers::Servers;
use crate::step::{Step, words};

/// Developer commands of Daybook.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Builds and runs all tests, with cargo-nextest where it is installed.
    ///
    /// They need PostgreSQL, Redis and RabbitMQ: throw-away servers are started for them, and installed
    /// where they are missing. A server that `TEST_DATABASE_URL`, `TEST_REDIS_URL` or `TEST_AMQP_URL` leads
    /// to is used instead.
    Test {
        /// Handed on to the test runner, such as a part of a test's name; examples in the
        /// documentation are then left out.
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Checks formatting, lints and documentation; every warning is an error.
    Lint,
    /// Starts throw-away servers: PostgreSQL, Redis and RabbitMQ, installed where they are missing.
    ///
    /// Prints the variables that lead Daybook (`DATABASE_URL` and so on) and its tests
    /// (`TEST_DATABASE_URL` and so on) to them, and keeps them until it is interrupted.
    Services {
        /// Run with the variables for tests in its environment; the servers end with it, and its exit
        /// code is handed on.
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Kills, cuts off, stops and fills up what Daybook runs on, and looks whether its promises hold.
    ///
    /// Short doses in a debug build, or the full ones (`--full`) in a release build. PostgreSQL, Redis and
    /// RabbitMQ are installed where they are missing; every trial starts servers of its own.
    Faults {
        /// Handed on to daybook-faults, such as `r1 --seed 7` or `--full`; `--list` shows the trials.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Attacks a running Daybook, as SECURITY.md says it withstands, and looks at what it depends on.
    ///
    /// The short form of the attacks is part of the tests. cargo-deny is installed where it is missing.
    Security {
        /// Only this part
        part: Option<security::Part>,
    },
    /// Measures Daybook beside its controls, in a release build.
    Bench {
        /// Handed on to daybook-bench, such as `p1 --rounds 3`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

fn main() -> ExitCode {
    Cli::parse().task.run().unwrap_or_else(|error| {
        eprintln!("xtask: {error}");
        ExitCode::FAILURE
    })
}

impl Task {
    /// Runs its steps one after the other, up to the first that fails.
    fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        let steps = match self {
            Self::Test { args } => {
                let servers = Servers::for_tests()?;
                return Ok(step::run(&test(args, step::has("nextest"), &servers.for_tests_env())));
            }
            Self::Services { command } => return services(command),
            Self::Lint => lint(),
            Self::Faults { args } => {
                // They are there, and they can be started.
                drop(Servers::all()?);
                faults(args, &step::build_folder()?)
            }
            Self::Security { part } => return security(part),
            Self::Bench { args } => bench(args, &step::build_folder()?),
        };
        Ok(step::run(&steps))
    }
}

fn security(part: Option<security::Part>) -> Result<ExitCode, Box<dyn Error>> {
    if part != Some(security::Part::Deny) {
        let servers = Servers::for_tests()?;
        let attacks = security::attacks(step::has("nextest"), &servers.for_tests_env());
        let ended = step::run(&attacks);
        if ended != ExitCode::SUCCESS || part.is_some() {
            return Ok(ended);
        }
    }
    let deny = security::Deny::find(&step::build_folder()?);
    let ended = step::run(&deny.check());
    if ended != ExitCode::SUCCESS {
        return Ok(ended);
    }
    Ok(step::run(&deny.advisories()))
}

fn services(command: Vec<String>) -> Result<ExitCode, Box<dyn Error>> {
    let servers = Servers::all()?;
    if let Some(step) = given(command, &servers.for_tests_env()) {
        return Ok(step::run(&[step]));
    }
    print!("{}", servers.exports()?);
    eprintln!("xtask: the servers run until this is interrupted");
    // They end with this process, however it ends.
    loop {
        thread::park();
    }
}

/// Variables for a program.
type Env = [(&'static str, String)];

fn test(args: Vec<String>, nextest: bool, env: &Env) -> Vec<Step> {
    let runner = if nextest { "nextest run" } else { "test" };
    let cargo = |command| Step::cargo(command).env(env.iter().cloned());
    let tests = cargo(runner).args(words("--workspace --all-features"));
    if !args.is_empty() {
        return vec![tests.args(args)];
    }
    // Whoever runs everything wants to know of everything that fails.
    let tests = tests.args(words("--no-fail-fast"));
    // nextest does not run the examples in the documentation. They are few and come first: the
    // last thing to read is how the tests ended.
    let examples = nextest.then(|| cargo("test --workspace --all-features --doc"));
    examples.into_iter().chain([tests]).collect()
}

/// The command that someone gave, where there is one.
fn given(command: Vec<String>, env: &Env) -> Option<Step> {
    let mut words = command.into_iter();
    let program = words.next()?;
    Some(Step::program(program).args(words).env(env.iter().cloned()).here())
}

fn lint() -> Vec<Step> {
    vec![
        Step::cargo("fmt --all --check"),
        Step::cargo("clippy --workspace --all-targets --all-features -- -D warnings"),
        Step::cargo("doc --workspace --all-features --no-deps")
            .env([("RUSTDOCFLAGS", "-D warnings")]),
    ]
}

/// The debug build is the one that the tests have made, with the features that are theirs.
fn faults(args: Vec<String>, build_folder: &Path) -> Vec<Step> {
    let (build, folder) = if args.iter().any(|arg| arg == "--full") {
        ("build --release --package daybook --package daybook-faults", "release")
    } else {
        ("build --workspace --all-features --all-targets", "debug")
    };
    let program = build_folder.join(folder).join(format!("daybook-faults{EXE_SUFFIX}"));
    vec![Step::cargo(build), Step::program(program).args(args)]
}

fn bench(args: Vec<String>, build_folder: &Path) -> Vec<Step> {
    let program = build_folder.join("release").join(format!("daybook-bench{EXE_SUFFIX}"));
    vec![
        Step::cargo("build --release --package daybook --package daybook-bench"),
        Step::program(program).args(args),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(steps: &[Step]) -> Vec<String> {
        steps.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_command_line_is_well_formed() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_fresh_machine_tests_with_cargo_alone() {
        assert_eq!(
            lines(&test(Vec::new(), false, &[])),
            ["cargo test --workspace --all-features --no-fail-fast"]
        );
    }

    #[test]
    fn nextest_leaves_the_examples_to_cargo() {
        assert_eq!(
            lines(&test(Vec::new(), true, &[])),
            [
                "cargo test --workspace --all-features --doc",
                "cargo nextest run --workspace --all-features --no-fail-fast",
            ]
        );
    }

    #[test]
    fn what_follows_two_hyphens_goes_to_the_runner() {
        let cli = Cli::try_parse_from(["xtask", "test", "--", "--no-capture", "money"]);
        let Ok(Cli { task: Task::Test { args } }) = cli else { panic!("not a test command") };
        assert_eq!(
            lines(&test(args, true, &[])),
            ["cargo nextest run --workspace --all-features --no-capture money"]
        );
    }

    #[test]
    fn tests_are_told_where_the_servers_are() {
        let env = [("TEST_REDIS_URL", "redis://127.0.0.1:1/".to_owned())];
        assert_eq!(
            lines(&test(vec!["money".into()], false, &env)),
            ["TEST_REDIS_URL='redis://127.0.0.1:1/' cargo test --workspace --all-features money"]
        );
    }

    #[test]
    fn the_servers_serve_a_command_that_follows_two_hyphens() {
        let cli = Cli::try_parse_from(["xtask", "services", "--", "printenv", "-0", "PATH"]);
        let Ok(Cli { task: Task::Services { command } }) = cli else { panic!("not the servers") };
        let step = given(command, &[("TEST_AMQP_URL", "amqp://127.0.0.1:1/".to_owned())]);
        assert_eq!(
            lines(step.as_slice()),
            ["TEST_AMQP_URL='amqp://127.0.0.1:1/' printenv -0 PATH"]
        );
    }

    #[test]
    fn without_a_command_the_servers_wait() {
        let cli = Cli::try_parse_from(["xtask", "services"]);
        let Ok(Cli { task: Task::Services { command } }) = cli else { panic!("not the servers") };
        assert!(given(command, &[]).is_none());
    }

    #[test]
    fn full_doses_are_tried_on_a_release_build() {
        let steps = |line: &str| {
            let cli = Cli::try_parse_from(line.split(' '));
            let Ok(Cli { task: Task::Faults { args } }) = cli else { panic!("not the faults") };
            lines(&faults(args, Path::new("target")))
        };
        assert_eq!(
            steps("xtask faults r1 --full"),
            [
                "cargo build --release --package daybook --package daybook-faults".to_owned(),
                format!("target/release/daybook-faults{EXE_SUFFIX} r1 --full"),
            ]
        );
        assert_eq!(
            steps("xtask faults r1 --seed 7"),
            [
                "cargo build --workspace --all-features --all-targets".to_owned(),
                format!("target/debug/daybook-faults{EXE_SUFFIX} r1 --seed 7"),
            ]
        );
    }

    #[test]
    fn the_bench_gets_its_own_options() {
        let cli = Cli::try_parse_from(["xtask", "bench", "p1", "--rounds", "3"]);
        let Ok(Cli { task: Task::Bench { args } }) = cli else { panic!("not a bench command") };
        let steps = lines(&bench(args, Path::new("target")));
        assert_eq!(
            steps.last().map(String::as_str),
            Some(format!("target/release/daybook-bench{EXE_SUFFIX} p1 --rounds 3").as_str())
        );
    }
}
