//! The secret that tokens are signed with.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use daybook_http::SigningKey;

use crate::startup::StartupError;

/// Reads the configured secret; or the one kept beside the database, which is made where there is none.
pub(crate) fn signing_key(
    configured: Option<&Path>,
    database: &Path,
) -> Result<SigningKey, StartupError> {
    if let Some(file) = configured {
        return read(file);
    }
    let file = database.with_extension("key");
    if !file.exists() {
        make(&file).map_err(|error| StartupError::SigningKey(file.clone(), error.to_string()))?;
    }
    read(&file)
}

fn read(file: &Path) -> Result<SigningKey, StartupError> {
    let unusable = |reason: String| StartupError::SigningKey(file.to_owned(), reason);
    let secret = fs::read(file).map_err(|error| unusable(error.to_string()))?;
    SigningKey::new(secret.trim_ascii())
        .ok_or_else(|| unusable(format!("it has fewer than {} bytes", SigningKey::MIN_BYTES)))
}

/// Makes a secret that only its owner can read. It gets its name when it is whole, and only where
/// nothing has that name: a crash leaves no half of it behind, and of two that start at once one is
/// quicker, and both use its secret.
fn make(file: &Path) -> io::Result<()> {
    let secret: [u8; 32] = rand::random();
    let unfinished = file.with_extension(format!("key.{}", std::process::id()));
    let mut out =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    writeln!(out, "{}", STANDARD.encode(secret))?;
    out.sync_all()?;
    let named = fs::hard_link(&unfinished, file);
    fs::remove_file(&unfinished)?;
    match named {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        named => named,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_made_once_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("daybook.db");
        assert!(signing_key(None, &database).is_ok());
        let file = folder.path().join("daybook.key");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let first = fs::read(&file).unwrap();
        assert!(signing_key(None, &database).is_ok());
        assert_eq!(fs::read(&file).unwrap(), first);
    }

    #[test]
    fn of_two_that_make_a_secret_at_once_one_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("daybook.key");
        make(&file).unwrap();
        let first = fs::read(&file).unwrap();
        make(&file).unwrap();
        assert_eq!(fs::read(&file).unwrap(), first);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("short");
        fs::write(&file, "too short\n").unwrap();
        for file in [&file, folder.path(), &folder.path().join("absent")] {
            assert!(
                matches!(signing_key(Some(file), file), Err(StartupError::SigningKey(..))),
                "{}",
                file.display()
            );
        }
    }
}
