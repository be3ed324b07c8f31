//! Where installed programs are.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Where servers are that are not meant to be started by hand. Not every account has these in its `PATH`.
const PLACES: [&str; 7] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/opt/homebrew/bin",
];

/// `PATH` and the usual places.
pub(crate) fn search_path() -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = env::split_paths(&path).filter(|it| it.is_absolute()).collect();
    for place in PLACES.map(PathBuf::from) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    // Only a `PATH` that could not have been split can't be joined.
    env::join_paths(places).unwrap_or(path)
}

/// A program in `PATH` or the usual places.
pub(crate) fn in_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&search_path()).map(|folder| folder.join(program)).find(|it| it.is_file())
}

/// A program in a folder whose parents carry a version, such as `("/usr/lib/postgresql", "", "bin")` or
/// `("/opt/homebrew/opt", "postgresql@", "bin")`: its folders, the highest version first.
pub(crate) fn versioned(parent: &str, prefix: &str, below: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let mut found: Vec<(Vec<u32>, PathBuf)> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let version = numbers(entry.file_name().to_str()?.strip_prefix(prefix)?)?;
            Some((version, entry.path().join(below)))
        })
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, folder)| folder).collect()
}

/// A program in one of these folders.
pub(crate) fn among<P: AsRef<Path>>(
    folders: impl IntoIterator<Item = P>,
    program: &str,
) -> Option<PathBuf> {
    folders.into_iter().map(|folder| folder.as_ref().join(program)).find(|it| it.is_file())
}

/// The numbers at the beginning of a version such as `15`, `3.10.8` or `16.2-1`.
pub(crate) fn numbers(version: &str) -> Option<Vec<u32>> {
    let end = version.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(version.len());
    version.get(..end)?.split('.').map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_numbers() {
        assert_eq!(numbers("15"), Some(vec![15]));
        assert_eq!(numbers("3.10.8"), Some(vec![3, 10, 8]));
        assert_eq!(numbers("16.2-1"), Some(vec![16, 2]));
        assert_eq!(numbers("common"), None);
    }

    #[test]
    fn the_highest_version_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        for version in ["9.6", "15", "common", "100"] {
            fs::create_dir(folder.path().join(version)).unwrap();
        }
        let found = versioned(folder.path().to_str().unwrap(), "", "bin");
        let expected = ["100", "15", "9.6"].map(|it| folder.path().join(it).join("bin"));
        assert_eq!(found, expected);
    }
}
