//! The command line of the fault suite.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use daybook_faults::run::{Run, Trial};
use daybook_faults::{leftovers, trials};
use indicatif::{ProgressBar, ProgressStyle};
use rand::Rng;

/// Kills, cuts off, stops and fills up what Daybook runs on, and looks whether its promises hold.
///
/// Prints for each trial how often it was done and what was seen. Every failure names the command that
/// repeats it.
#[derive(Parser)]
#[command(name = "cargo xtask faults", bin_name = "cargo xtask faults")]
struct Cli {
    /// The trials to run, such as `r1`; all where none is named.
    trials: Vec<String>,
    /// The full doses; otherwise short ones.
    #[arg(long)]
    full: bool,
    /// How often each fault is done, whatever its dose is.
    #[arg(long)]
    dose: Option<u32>,
    /// What all randomness comes from; a new one where it isn't given.
    #[arg(long)]
    seed: Option<u64>,
    /// Lists the trials and their doses.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.list {
        for trial in trials::all() {
            println!("{:<14} {:>7} {:>8}  {}", trial.name, trial.short, trial.full, trial.title);
        }
        return ExitCode::SUCCESS;
    }
    let mut chosen = Vec::new();
    for name in &cli.trials {
        let Some(trial) = trials::named(name) else {
            eprintln!("faults: there is no trial `{name}`; --list shows them");
            return ExitCode::FAILURE;
        };
        chosen.push(trial);
    }
    if chosen.is_empty() {
        chosen.extend(trials::all());
    }
    if let Err(error) = leftovers::end_with_signals() {
        eprintln!("faults: {error}");
        return ExitCode::FAILURE;
    }
    let seed = cli.seed.unwrap_or_else(|| rand::rng().random_range(0..1 << 32));
    eprintln!("faults: seed {seed}");
    let ended: Vec<_> = chosen.iter().map(|trial| report(trial, &cli, seed)).collect();
    let count = |wanted| ended.iter().filter(|verdict| **verdict == wanted).count();
    let failed = count(Verdict::Failed);
    println!(
        "{} passed, {failed} failed, {} skipped",
        count(Verdict::Passed),
        count(Verdict::Skipped)
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    Skipped,
}

/// Runs a trial and reports on it.
fn report(trial: &Trial, cli: &Cli, seed: u64) -> Verdict {
    let dose = cli.dose.unwrap_or(if cli.full { trial.full } else { trial.short });
    let progress = ProgressBar::new(u64::from(dose)).with_prefix(trial.name);
    if let Ok(style) = ProgressStyle::with_template("{prefix:14} {wide_bar} {pos}/{len} {elapsed}")
    {
        progress.set_style(style);
    }
    progress.enable_steady_tick(Duration::from_millis(200));
    let began = Instant::now();
    let run = Run { dose, seed, full: cli.full, progress };
    let ended = (trial.run)(&run);
    run.progress.finish_and_clear();
    let took = began.elapsed().as_secs_f64();
    match ended {
        Ok(tally) => {
            if let Some(reason) = tally.reason_to_skip() {
                println!("SKIP {:<14} {}: {reason}", trial.name, trial.title);
                return Verdict::Skipped;
            }
            println!("PASS {:<14} {dose} × {}: {tally} ({took:.0} s)", trial.name, trial.title);
            Verdict::Passed
        }
        Err(failure) => {
            let full = if cli.full { " --full" } else { "" };
            println!("FAIL {:<14} {dose} × {}: {failure} ({took:.0} s)", trial.name, trial.title);
            println!(
                "     again: cargo xtask faults {} --seed {seed} --dose {dose}{full}",
                trial.name
            );
            Verdict::Failed
        }
    }
}
