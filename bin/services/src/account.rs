//! The account that PostgreSQL runs under: it refuses root.

use std::ffi::OsString;
use std::path::Path;

use crate::ServiceError;

/// An account without privileges.
pub(crate) struct Account {
    user: u32,
    group: u32,
    setpriv: OsString,
}

impl Account {
    /// The account to change to, where this process is root: `postgres`, or else `nobody`.
    ///
    /// `folder` is one that this process made.
    #[cfg(unix)]
    pub(crate) fn instead_of_root(folder: &Path) -> Result<Option<Self>, ServiceError> {
        use std::os::unix::fs::MetadataExt as _;
        let made = folder.metadata().map_err(ServiceError::system("reading a folder"))?;
        if made.uid() != 0 {
            return Ok(None);
        }
        let (user, group) = ids("postgres").or_else(|| ids("nobody")).ok_or(NO_ACCOUNT)?;
        let setpriv = crate::find::in_path("setpriv").ok_or(NO_SETPRIV)?.into();
        Ok(Some(Self { user, group, setpriv }))
    }

    /// Only Unix has root.
    #[cfg(not(unix))]
    pub(crate) fn instead_of_root(_: &Path) -> Result<Option<Self>, ServiceError> {
        Ok(None)
    }

    /// Gives a file or folder to the account.
    #[cfg(unix)]
    pub(crate) fn own(&self, path: &Path) -> Result<(), ServiceError> {
        std::os::unix::fs::chown(path, Some(self.user), Some(self.group))
            .map_err(ServiceError::system("giving a file to another account"))
    }

    /// Only Unix has accounts of this kind.
    #[cfg(not(unix))]
    pub(crate) fn own(&self, _: &Path) -> Result<(), ServiceError> {
        Ok(())
    }

    /// What stands before a command line that this account is to run.
    pub(crate) fn prefix(self) -> Vec<OsString> {
        vec![
            self.setpriv,
            format!("--reuid={}", self.user).into(),
            format!("--regid={}", self.group).into(),
            "--clear-groups".into(),
        ]
    }
}

#[cfg(unix)]
const NO_ACCOUNT: ServiceError = ServiceError::Missing {
    what: "an account for PostgreSQL",
    hint: "it refuses root; add the user postgres or nobody, or run this under another account",
};

#[cfg(unix)]
const NO_SETPRIV: ServiceError = ServiceError::Missing {
    what: "setpriv",
    hint: "install util-linux (on Alpine the package setpriv), or run this under another account \
           than root, which PostgreSQL refuses",
};

#[cfg(unix)]
fn ids(name: &str) -> Option<(u32, u32)> {
    let id = |option: &str| -> Option<u32> {
        let output = std::process::Command::new("id").args([option, name]).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    Some((id("-u")?, id("-g")?))
}
