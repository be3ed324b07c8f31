//! A program that is run, with its output on ours.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// One program to run.
pub(crate) struct Step {
    program: OsString,
    args: Vec<String>,
    env: Vec<(&'static str, String)>,
    folder: Option<&'static Path>,
}

impl Step {
    /// `cargo` with these arguments, separated by blanks.
    pub(crate) fn cargo(args: &str) -> Self {
        Self::program("cargo").args(words(args))
    }

    /// Another program.
    pub(crate) fn program(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            folder: Some(workspace()),
        }
    }

    /// With these arguments after the ones it has.
    pub(crate) fn args(mut self, args: impl IntoIterator<Item = String>) -> Self {
        self.args.extend(args);
        self
    }

    /// With these variables in its environment.
    pub(crate) fn env<V: Into<String>>(
        mut self,
        env: impl IntoIterator<Item = (&'static str, V)>,
    ) -> Self {
        self.env.extend(env.into_iter().map(|(name, value)| (name, value.into())));
        self
    }

    /// In the folder that xtask was called in, and not in the workspace's.
    pub(crate) fn here(mut self) -> Self {
        self.folder = None;
        self
    }

    fn command(&self) -> Command {
        let mut command = if self.program == "cargo" {
            Command::new(cargo())
        } else {
            Command::new(&self.program)
        };
        command.args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = self.folder {
            command.current_dir(folder);
        }
        command
    }

    /// Runs it to its end; the code to end with, where it did not succeed.
    pub(crate) fn run(&self) -> Result<(), ExitCode> {
        eprintln!("xtask: {self}");
        match self.command().status() {
            Ok(status) if status.success() => Ok(()),
            // Without a code it was ended by a signal.
            Ok(status) => Err(status
                .code()
                .and_then(|code| u8::try_from(code).ok())
                .map_or(ExitCode::FAILURE, ExitCode::from)),
            Err(error) => {
                eprintln!("xtask: {} can't be run: {error}", self.program.display());
                Err(ExitCode::FAILURE)
            }
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.env.iter().try_for_each(|(name, value)| write!(f, "{name}='{value}' "))?;
        write!(f, "{}", self.program.display())?;
        self.args.iter().try_for_each(|arg| write!(f, " {arg}"))
    }
}

/// Runs the steps one after the other, up to the first that fails; its code is the answer.
pub(crate) fn run(steps: &[Step]) -> ExitCode {
    steps.iter().find_map(|step| step.run().err()).unwrap_or(ExitCode::SUCCESS)
}

/// Arguments that are separated by blanks.
pub(crate) fn words(args: &str) -> impl Iterator<Item = String> {
    args.split(' ').map(str::to_owned)
}

/// Whether cargo has this subcommand.
pub(crate) fn has(subcommand: &str) -> bool {
    Command::new(cargo())
        .args([subcommand, "--version"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The folder that cargo builds in: this program stands in a profile's folder there.
///
/// # Errors
/// Where the system does not tell where this program stands.
pub(crate) fn build_folder() -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    let folder = program.parent().and_then(Path::parent);
    folder.map(Path::to_path_buf).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The cargo that runs this program, so that a toolchain that was asked for is kept.
fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package)
}
