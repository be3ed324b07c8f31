//! The system's packages with the servers that the tests need.
//!
//! To add a system, add its package manager to [`MANAGERS`].

use std::process::{Command, Stdio};

use crate::step::{Step, words};

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// PostgreSQL.
    Postgres,
    /// Redis, or its fork Valkey.
    Redis,
    /// RabbitMQ.
    RabbitMq,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Postgres, Self::Redis, Self::RabbitMq];

    /// Its name, for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Redis => "Redis",
            Self::RabbitMq => "RabbitMQ",
        }
    }
}

/// How a system installs packages.
struct Manager {
    program: &'static str,
    /// What comes first, where its list of packages may be old or missing.
    update: Option<&'static str>,
    /// What the packages follow.
    install: &'static str,
    as_root: bool,
    postgres: &'static str,
    redis: &'static str,
    rabbitmq: &'static str,
}

const MANAGERS: [Manager; 5] = [
    Manager {
        program: "apt-get",
        update: Some("apt-get update"),
        install: "env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends",
        as_root: true,
        postgres: "postgresql",
        redis: "redis-server",
        rabbitmq: "rabbitmq-server",
    },
    Manager {
        program: "dnf",
        update: None,
        install: "dnf install -y --setopt=install_weak_deps=False",
        as_root: true,
        postgres: "postgresql-server postgresql",
        redis: "valkey",
        rabbitmq: "rabbitmq-server",
    },
    Manager {
        program: "apk",
        update: None,
        install: "apk add --no-cache",
        as_root: true,
        // With the program that PostgreSQL is started with where this is root's process.
        postgres: "postgresql postgresql-client setpriv",
        redis: "valkey",
        rabbitmq: "rabbitmq-server",
    },
    Manager {
        program: "pacman",
        update: None,
        install: "pacman -Sy --noconfirm --needed",
        as_root: true,
        postgres: "postgresql",
        redis: "valkey",
        rabbitmq: "rabbitmq",
    },
    Manager {
        program: "brew",
        update: None,
        install: "brew install",
        as_root: false,
        postgres: "postgresql@17",
        redis: "redis",
        rabbitmq: "rabbitmq",
    },
];

impl Manager {
    fn packages(&self, kinds: &[Kind]) -> Vec<String> {
        let of_one = |kind: &Kind| match kind {
            Kind::Postgres => self.postgres,
            Kind::Redis => self.redis,
            Kind::RabbitMq => self.rabbitmq,
        };
        kinds.iter().flat_map(|kind| words(of_one(kind))).collect()
    }

    /// The step that reads the list of packages anew, where one is needed, and the one that installs.
    fn steps(&self, packages: &[String], sudo: bool) -> (Option<Step>, Step) {
        let call = |line: &str| {
            let line = if sudo && self.as_root { format!("sudo -n {line}") } else { line.into() };
            let mut words = words(&line);
            Step::program(words.next().unwrap_or_default()).args(words)
        };
        (self.update.map(call), call(self.install).args(packages.iter().cloned()))
    }
}

/// Installs servers with the system's package manager; the packages.
///
/// # Errors
/// Where there is none that is known here, it may not be used, or it fails: the reason, for people.
pub(crate) fn install(kinds: &[Kind]) -> Result<Vec<String>, &'static str> {
    let manager = MANAGERS
        .iter()
        .find(|it| succeeds(it.program, &["--version"]))
        .ok_or("no package manager is known here")?;
    let is_root = succeeds("sh", &["-c", "[ \"$(id -u)\" = 0 ]"]);
    if manager.as_root && !is_root && !succeeds("sudo", &["-n", "true"]) {
        return Err("this is not root, and sudo needs a password or is missing");
    }
    let packages = manager.packages(kinds);
    let (update, install) = manager.steps(&packages, !is_root);
    // Some other repository may be out of order; what counts is whether the packages can be had.
    let _ = update.map(|step| step.run());
    install.run().map_err(|_| "the package manager failed")?;
    Ok(packages)
}

fn succeeds(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(program: &str, kinds: &[Kind], sudo: bool) -> Vec<String> {
        let manager = MANAGERS.iter().find(|it| it.program == program);
        let Some(manager) = manager else { panic!("{program} is not known") };
        let (update, install) = manager.steps(&manager.packages(kinds), sudo);
        update.iter().chain([&install]).map(ToString::to_string).collect()
    }

    #[test]
    fn debian_reads_its_list_first() {
        assert_eq!(
            lines("apt-get", &Kind::ALL, false),
            [
                "apt-get update",
                "env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql \
                 redis-server rabbitmq-server",
            ]
        );
    }

    #[test]
    fn only_what_is_missing_is_installed() {
        assert_eq!(
            lines("dnf", &[Kind::Redis], false),
            ["dnf install -y --setopt=install_weak_deps=False valkey"]
        );
    }

    #[test]
    fn others_than_root_go_by_sudo_which_never_asks() {
        assert_eq!(
            lines("pacman", &[Kind::Postgres], true),
            ["sudo -n pacman -Sy --noconfirm --needed postgresql"]
        );
    }

    #[test]
    fn homebrew_refuses_root() {
        assert_eq!(
            lines("brew", &[Kind::Postgres, Kind::RabbitMq], true),
            ["brew install postgresql@17 rabbitmq"]
        );
    }
}
