//! `cargo xtask security`: attacks on a running Daybook, and what its dependencies may be.

use std::env::consts::EXE_SUFFIX;
use std::path::{Path, PathBuf};

use crate::step::{self, Step, words};

/// The tests that attack, by their names; SECURITY.md says what each is about.
const ATTACKS: &str = "access_matrix tokens framing sessions sign_in bounds canaries quiet_log fair_tasks startup_faults";

/// Which part is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// The attacks, in full doses
    Attacks,
    /// Licences, sources, banned crates and, where the database can be had, advisories
    Deny,
}

/// Attacks, with these variables for their servers. The slow clients come first, and by themselves: there
/// answers are timed.
pub(crate) fn attacks(nextest: bool, env: &[(&'static str, String)]) -> Vec<Step> {
    let runner = if nextest { "nextest run" } else { "test" };
    let tests =
        || Step::cargo(runner).args(words("--workspace --all-features")).env(env.iter().cloned());
    let alone = if nextest {
        "slow_clients --test-threads 1 --no-capture"
    } else {
        "slow_clients -- --test-threads=1 --nocapture"
    };
    let names = if nextest { ATTACKS.to_owned() } else { format!("-- {ATTACKS}") };
    vec![
        tests().args(words(alone)).env([("SECURITY_FULL", "1")]),
        tests().args(words("--no-fail-fast")).args(words(&names)),
    ]
}

/// cargo-deny: the one that is installed, or one of our own in the folder of builds.
pub(crate) struct Deny {
    own: Option<PathBuf>,
}

impl Deny {
    /// Finds it.
    pub(crate) fn find(build_folder: &Path) -> Self {
        let own = (!step::has("deny")).then(|| build_folder.join("tools"));
        Self { own }
    }

    fn step(&self, args: &str) -> Step {
        match &self.own {
            Some(folder) => {
                let program = folder.join("bin").join(format!("cargo-deny{EXE_SUFFIX}"));
                Step::program(program).args(words(args))
            }
            None => Step::cargo("deny").args(words(args)),
        }
    }

    /// What the dependencies may be, by `deny.toml`.
    pub(crate) fn check(&self) -> Vec<Step> {
        let install = self.own.as_ref().map(|folder| {
            // A debug build is made sooner than an optimised one would be done.
            let install = Step::cargo("install --locked --debug cargo-deny@0.20.2 --root");
            install.args([folder.display().to_string()])
        });
        install.into_iter().chain([self.step("check licenses bans sources")]).collect()
    }

    /// Looks for advisories; where their database can't be had that is said, and no fault.
    pub(crate) fn advisories(&self) -> Vec<Step> {
        if self.step("fetch db").run().is_err() {
            eprintln!("xtask: the database of advisories can't be had; they are not looked at");
            return Vec::new();
        }
        vec![self.step("check --disable-fetch advisories")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_clients_run_alone_and_in_full() {
        let steps: Vec<_> = attacks(true, &[]).iter().map(ToString::to_string).collect();
        assert_eq!(
            steps,
            [
                "SECURITY_FULL='1' cargo nextest run --workspace --all-features slow_clients --test-threads 1 --no-capture".to_owned(),
                format!("cargo nextest run --workspace --all-features --no-fail-fast {ATTACKS}"),
            ]
        );
    }

    #[test]
    fn what_is_installed_for_it_stays_in_the_folder_of_builds() {
        let deny = Deny { own: Some(PathBuf::from("target/tools")) };
        let steps: Vec<_> = deny.check().iter().map(ToString::to_string).collect();
        assert_eq!(
            steps,
            [
                "cargo install --locked --debug cargo-deny@0.20.2 --root target/tools".to_owned(),
                format!("target/tools/bin/cargo-deny{EXE_SUFFIX} check licenses bans sources"),
            ]
        );
    }

    #[test]
    fn without_nextest_the_names_follow_two_hyphens() {
        let steps: Vec<_> = attacks(false, &[]).iter().map(ToString::to_string).collect();
        assert_eq!(
            steps.last().map(String::as_str),
            Some(&*format!("cargo test --workspace --all-features --no-fail-fast -- {ATTACKS}"))
        );
    }
}
