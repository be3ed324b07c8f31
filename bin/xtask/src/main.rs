//! `cargo xtask`: what a developer runs, and what CI runs.
//!
//! To add a command, add a variant to [`Task`] and its steps to [`Task::steps`].

mod step;

use std::env::consts::EXE_SUFFIX;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    Test {
        /// Handed on to the test runner, such as a part of a test's name; examples in the
        /// documentation are then left out.
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Checks formatting, lints and documentation; every warning is an error.
    Lint,
    /// Measures Daybook beside its controls, in a release build.
    Bench {
        /// Handed on to daybook-bench, such as `p1 --rounds 3`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

fn main() -> ExitCode {
    match Cli::parse().task.steps() {
        Ok(steps) => step::run(&steps),
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Task {
    /// What is run, one after the other, up to the first that fails.
    fn steps(self) -> io::Result<Vec<Step>> {
        match self {
            Self::Test { args } => Ok(test(args, step::has_nextest())),
            Self::Lint => Ok(lint()),
            Self::Bench { args } => Ok(bench(args, &step::build_folder()?)),
        }
    }
}

fn test(args: Vec<String>, nextest: bool) -> Vec<Step> {
    let runner = if nextest { "nextest run" } else { "test" };
    let tests = Step::cargo(runner).args(words("--workspace --all-features"));
    if !args.is_empty() {
        return vec![tests.args(args)];
    }
    // Whoever runs everything wants to know of everything that fails.
    let tests = tests.args(words("--no-fail-fast"));
    // nextest does not run the examples in the documentation. They are few and come first: the
    // last thing to read is how the tests ended.
    let examples = nextest.then(|| Step::cargo("test --workspace --all-features --doc"));
    examples.into_iter().chain([tests]).collect()
}

fn lint() -> Vec<Step> {
    vec![
        Step::cargo("fmt --all --check"),
        Step::cargo("clippy --workspace --all-targets --all-features -- -D warnings"),
        Step::cargo("doc --workspace --all-features --no-deps").env("RUSTDOCFLAGS", "-D warnings"),
    ]
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
            lines(&test(Vec::new(), false)),
            ["cargo test --workspace --all-features --no-fail-fast"]
        );
    }

    #[test]
    fn nextest_leaves_the_examples_to_cargo() {
        assert_eq!(
            lines(&test(Vec::new(), true)),
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
            lines(&test(args, true)),
            ["cargo nextest run --workspace --all-features --no-capture money"]
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
