//! Where the programs are that others wrote to measure their servers.

use std::env;
use std::fs;
use std::path::PathBuf;

use crate::error::BenchError;

const VERSIONS: &str = "/usr/lib/postgresql";
const PLACES: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/opt/homebrew/bin"];

/// PostgreSQL's own.
///
/// # Errors
/// Where it is not installed.
pub(crate) fn pgbench() -> Result<PathBuf, BenchError> {
    // The one in `PATH` may be a script that looks for clusters of its own.
    of_versions("pgbench").or_else(|| in_path("pgbench")).ok_or_else(|| {
        missing(
            "pgbench",
            "the package postgresql (Debian, Ubuntu), postgresql-contrib (Fedora, Alpine) or \
             postgresql@17 (Homebrew)",
        )
    })
}

/// Redis' own.
///
/// # Errors
/// Where it is not installed.
pub(crate) fn redis_benchmark() -> Result<PathBuf, BenchError> {
    let names = ["redis-benchmark", "valkey-benchmark"];
    names.into_iter().find_map(in_path).ok_or_else(|| {
        missing(
            "redis-benchmark",
            "the package redis-tools (Debian, Ubuntu), valkey (Fedora, Arch, Alpine) or redis (Homebrew)",
        )
    })
}

fn missing(program: &str, packages: &str) -> BenchError {
    BenchError::failed(format!("{program} is not installed: install {packages}"))
}

/// A program of the highest version of PostgreSQL that has it.
fn of_versions(program: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(VERSIONS).ok()?.filter_map(Result::ok);
    let numbered = entries.filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((version, entry.path().join("bin").join(program)))
    });
    numbered.filter(|(_, path)| path.is_file()).max().map(|(_, path)| path)
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = PLACES.map(PathBuf::from);
    env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .chain(places)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_in_one_line_with_what_to_install() {
        assert_eq!(in_path("no-such-program-of-daybook"), None);
        let told = missing("pgbench", "the package postgresql").to_string();
        assert_eq!(told, "pgbench is not installed: install the package postgresql");
    }

    #[test]
    fn programs_are_found_in_the_path() {
        assert!(in_path("sh").is_some());
    }
}
