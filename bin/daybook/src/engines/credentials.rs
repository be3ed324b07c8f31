//! Passwords of engines that everybody knows.

use std::net::IpAddr;

use super::secret::secret;
use crate::cli::CommonOptions;
use crate::startup::StartupError;

/// Passwords that engines come with, or that examples have.
const KNOWN: [&str; 8] =
    ["guest", "postgres", "password", "admin", "root", "secret", "redis", "rabbitmq"];

/// Warns of every engine elsewhere that anyone could use who reaches it; in production it is refused.
pub(crate) fn check(options: &CommonOptions) -> Result<(), StartupError> {
    let (database, redis, amqp) = (&options.database, &options.redis, &options.amqp);
    let address = redis.redis_addr.as_deref().filter(|address| !address.is_empty());
    let urls = [
        ("DATABASE_URL", database.database_url.as_deref(), database.database_url_file.as_deref()),
        ("REDIS_URL", redis.redis_url.as_deref(), redis.redis_url_file.as_deref()),
        ("AMQP_URL", amqp.amqp_url.as_deref(), amqp.amqp_url_file.as_deref()),
    ];
    let mut weak = Vec::new();
    for (name, value, file) in urls {
        let fault = secret(name, value, file)?.and_then(|url| fault(&url));
        weak.extend(fault.map(|fault| (name, fault)));
    }
    let has_url = redis.redis_url.is_some() || redis.redis_url_file.is_some();
    let fault = address.filter(|_| !has_url).and_then(|at| fault(&format!("redis://{at}")));
    weak.extend(fault.map(|fault| ("REDIS_ADDR", fault)));
    for (setting, fault) in weak {
        if options.production {
            return Err(StartupError::WeakCredentials(setting, fault));
        }
        tracing::warn!(setting, "an engine on another machine {fault}: give it one of its own");
    }
    Ok(())
}

/// What is wrong with the credentials in the URL of a server, if it is not on this machine.
fn fault(url: &str) -> Option<&'static str> {
    let (_, rest) = url.split_once("://").filter(|(scheme, _)| *scheme != "sqlite")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    if hosts.split(',').all(is_here) {
        return None;
    }
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    if password.is_empty() {
        return Some("has no password");
    }
    let lower = password.to_ascii_lowercase();
    let is_known = KNOWN.contains(&&*lower) || password == user;
    is_known.then_some("has a password that everybody knows")
}

/// Whether a host, with a port or without, is this machine. None is a socket.
fn is_here(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    // The path of a socket is escaped where it stands for a host.
    let is_socket = name.is_empty() || name.starts_with("%2F") || name.starts_with("%2f");
    is_socket
        || name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_everybody_knows_is_found() {
        for url in [
            "amqp://guest:guest@broker",
            "amqp://broker:5672/%2f",
            "postgres://postgres:postgres@db/daybook",
            "postgres://daybook:daybook@db/daybook",
            "postgres://daybook@db/daybook",
            "redis://cache:6379",
            "redis://:Password@cache",
            "redis+cluster://127.0.0.1:1,cache:2",
            "rediss://10.0.0.7/0",
        ] {
            assert!(fault(url).is_some(), "{url}");
        }
    }

    #[test]
    fn one_of_its_own_or_one_on_this_machine_is_not() {
        for url in [
            "sqlite://daybook.db",
            "amqp://guest:guest@localhost",
            "amqp://guest:guest@127.0.0.1:5672/%2f",
            "redis://[::1]:6379",
            "redis+cluster://127.0.0.1:1,localhost:2",
            "postgres:///daybook?host=/run/postgresql",
            "postgres://daybook@%2Frun%2Fpostgresql/daybook",
            "postgres://daybook:9f86d081884c7d65@db/daybook",
            "redis://default:9f86d081884c7d65@cache",
        ] {
            assert_eq!(fault(url), None, "{url}");
        }
    }
}
