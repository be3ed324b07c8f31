//! Settings that may hold a secret: given as they are, or in a file.

use std::fs;
use std::path::Path;

use crate::startup::StartupError;

/// A setting that is given as it is, or in a file; an empty one is none.
pub(crate) fn secret(
    name: &'static str,
    value: Option<&str>,
    file: Option<&Path>,
) -> Result<Option<String>, StartupError> {
    let value = value.filter(|value| !value.is_empty());
    match (value, file.filter(|file| !file.as_os_str().is_empty())) {
        (Some(_), Some(_)) => Err(StartupError::GivenTwice(name)),
        (value, None) => Ok(value.map(str::to_owned)),
        (None, Some(file)) => {
            let text = fs::read_to_string(file)
                .map_err(|error| StartupError::SecretFile(name, file.to_owned(), error))?;
            let text = text.trim();
            if text.is_empty() {
                return Err(StartupError::EmptySecretFile(name, file.to_owned()));
            }
            Ok(Some(text.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_stands_for_itself_or_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let (file, empty) = (folder.path().join("url"), folder.path().join("empty"));
        fs::write(&file, "redis://:secret@host\n").unwrap();
        fs::write(&empty, "\n").unwrap();
        let read = |value, file: Option<&Path>| secret("REDIS_URL", value, file);
        assert_eq!(read(None, None).unwrap(), None);
        assert_eq!(read(Some(""), Some(Path::new(""))).unwrap(), None);
        assert_eq!(read(Some("redis://host"), None).unwrap().as_deref(), Some("redis://host"));
        assert_eq!(read(Some(""), Some(&file)).unwrap().as_deref(), Some("redis://:secret@host"));
        for wrong in [
            read(Some("redis://host"), Some(&file)),
            read(None, Some(&empty)),
            read(None, Some(&folder.path().join("absent"))),
        ] {
            let error = wrong.unwrap_err().to_string();
            assert!(error.starts_with("REDIS_URL") && !error.contains("secret"), "{error}");
        }
    }
}
