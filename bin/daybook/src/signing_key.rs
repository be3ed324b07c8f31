//! The secret that tokens are signed with.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use daybook_http::{SigningKey, WeakKey};

use crate::startup::StartupError;

/// Where Docker and Podman mount secrets.
const MOUNTED_SECRETS: &str = "/run/secrets";

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
    let mut opened = File::open(file).map_err(|error| unusable(error.to_string()))?;
    let metadata = opened.metadata().map_err(|error| unusable(error.to_string()))?;
    let mode = metadata.permissions().mode() & 0o777;
    if !is_private(file, mode) {
        let reason = "others than its owner may read or write it; run chmod 600 on it";
        return Err(unusable(format!("it has mode {mode:04o}: {reason}")));
    }
    let mut secret = Vec::new();
    opened.read_to_end(&mut secret).map_err(|error| unusable(error.to_string()))?;
    SigningKey::new(secret.trim_ascii()).map_err(|weak| match weak {
        WeakKey::Short => unusable(format!("it has fewer than {} bytes", SigningKey::MIN_BYTES)),
        WeakKey::Repetitive => {
            unusable("its bytes repeat; make it with openssl rand -hex 32".to_owned())
        }
    })
}

/// Whether a file of this mode is its owner's alone, or its group's to read. Containers have no others:
/// there secrets are mounted for all to read, and for none to write.
fn is_private(file: &Path, mode: u32) -> bool {
    mode & 0o027 == 0 || (mode == 0o444 && file.starts_with(MOUNTED_SECRETS))
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
    fn a_secret_that_others_can_read_or_that_repeats_is_refused_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let refusal = |secret: &str, mode: u32| {
            fs::write(&file, secret).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            signing_key(Some(&file), &file).err().map(|error| error.to_string())
        };
        let good = "9f86d081884c7d659a2feaa0c55ad015";
        for mode in [0o644, 0o666, 0o604, 0o660, 0o620, 0o444, 0o777] {
            let told = refusal(good, mode).unwrap();
            assert!(told.contains(&format!("{mode:04o}")) && told.contains("/key"), "{told}");
        }
        for mode in [0o600, 0o400, 0o640, 0o440] {
            assert_eq!(refusal(good, mode), None, "{mode:o}");
        }
        for weak in ["a".repeat(32), "0123456789".repeat(4)] {
            let told = refusal(&weak, 0o600).unwrap();
            assert!(told.contains("repeat") && told.contains("/key"), "{told}");
        }
        assert!(is_private(Path::new("/run/secrets/signing_key"), 0o444));
        assert!(!is_private(Path::new("/run/secrets/signing_key"), 0o644));
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
