//! Temporary folders that a server can use.

use std::env;
use std::fs;
use std::path::{self, Path, PathBuf};

use tempfile::TempDir;

use crate::ServiceError;

/// A folder of its own for a server, removed when it is dropped.
///
/// It lies in the system's folder for such things, or, where other accounts can't get there, in `/tmp`.
pub(crate) fn new(server: &str) -> Result<TempDir, ServiceError> {
    let usual = path::absolute(env::temp_dir()).unwrap_or_default();
    let place = [usual.clone(), PathBuf::from("/tmp"), PathBuf::from("/var/tmp")]
        .into_iter()
        .find(|place| is_open(place))
        .unwrap_or(usual);
    tempfile::Builder::new()
        .prefix(&format!("daybook-{server}-"))
        .tempdir_in(place)
        .map_err(ServiceError::system("making a temporary folder"))
}

#[cfg(unix)]
fn is_open(folder: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let may_pass = |folder: &Path| {
        fs::metadata(folder).is_ok_and(|it| it.is_dir() && it.permissions().mode() & 0o001 != 0)
    };
    folder.ancestors().all(may_pass)
}

#[cfg(not(unix))]
fn is_open(folder: &Path) -> bool {
    fs::metadata(folder).is_ok_and(|it| it.is_dir())
}
