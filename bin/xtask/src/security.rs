//! `cargo xtask security`: attacks on a running Daybook, and what its dependencies may be.

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

/// What the dependencies may be, by `deny.toml`.
pub(crate) fn deny() -> Vec<Step> {
    let mut steps = Vec::new();
    if !step::has("deny") {
        steps.push(Step::cargo("install --locked cargo-deny"));
    }
    steps.push(Step::cargo("deny check licenses bans sources"));
    steps
}

/// Looks for advisories; where their database can't be had that is said, and no fault.
pub(crate) fn advisories() -> Vec<Step> {
    if Step::cargo("deny fetch db").run().is_err() {
        eprintln!("xtask: the database of advisories can't be had; they are not looked at");
        return Vec::new();
    }
    vec![Step::cargo("deny check --disable-fetch advisories")]
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
    fn without_nextest_the_names_follow_two_hyphens() {
        let steps: Vec<_> = attacks(false, &[]).iter().map(ToString::to_string).collect();
        assert_eq!(
            steps.last().map(String::as_str),
            Some(&*format!("cargo test --workspace --all-features --no-fail-fast -- {ATTACKS}"))
        );
    }
}
