//! The throw-away servers that the tests need.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::thread;
use std::time::Instant;

use daybook_services::{
    Postgres, RabbitMq, Redis, ServiceError, TEST_AMQP_URL, TEST_DATABASE_URL, TEST_REDIS_URL,
};

use crate::packages::{self, Kind};

/// The servers that this process started; they end when this is dropped.
#[derive(Default)]
pub(crate) struct Servers {
    postgres: Option<Postgres>,
    redis: Option<Redis>,
    rabbitmq: Option<RabbitMq>,
}

impl Servers {
    /// Starts all of them.
    pub(crate) fn all() -> Result<Self, Box<dyn Error>> {
        Self::start(&Kind::ALL)
    }

    /// Starts those that no variable leads to.
    pub(crate) fn for_tests() -> Result<Self, Box<dyn Error>> {
        Self::start(&needed(|name| env::var(name).ok()))
    }

    fn start(kinds: &[Kind]) -> Result<Self, Box<dyn Error>> {
        let started = Instant::now();
        let mut servers = Self::default();
        let mut failures = servers.add(kinds);
        let missing: Vec<Kind> = failures.iter().filter_map(Failure::missing).collect();
        if !missing.is_empty() {
            match packages::install(&missing) {
                Ok(installed) => {
                    eprintln!("xtask: installed {}", installed.join(", "));
                    failures.retain(|failure| failure.missing().is_none());
                    failures.extend(servers.add(&missing));
                }
                Err(reason) => eprintln!("xtask: nothing was installed: {reason}"),
            }
        }
        if !failures.is_empty() {
            let problems: Vec<String> = failures.iter().map(|it| it.error.to_string()).collect();
            return Err(problems.join("\nxtask: ").into());
        }
        if !kinds.is_empty() {
            let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            let seconds = started.elapsed().as_secs_f32();
            eprintln!("xtask: started {} in {seconds:.1} s", names.join(", "));
        }
        Ok(servers)
    }

    /// Starts some side by side; what kept them from it.
    fn add(&mut self, kinds: &[Kind]) -> Vec<Failure> {
        thread::scope(|scope| {
            let starts = kinds.iter().map(|&kind| (kind, scope.spawn(move || One::start(kind))));
            let starts: Vec<_> = starts.collect();
            starts
                .into_iter()
                .filter_map(|(kind, start)| {
                    match start.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
                        Ok(One::Postgres(it)) => self.postgres = Some(it),
                        Ok(One::Redis(it)) => self.redis = Some(it),
                        Ok(One::RabbitMq(it)) => self.rabbitmq = Some(it),
                        Err(error) => return Some(Failure { kind, error }),
                    }
                    None
                })
                .collect()
        })
    }

    /// The variables that lead tests to the servers that were started.
    pub(crate) fn for_tests_env(&self) -> Vec<(&'static str, String)> {
        [
            self.postgres.as_ref().map(|it| (TEST_DATABASE_URL, it.url())),
            self.redis.as_ref().map(|it| (TEST_REDIS_URL, it.url())),
            self.rabbitmq.as_ref().map(|it| (TEST_AMQP_URL, it.url())),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Lines for a shell that set the variables for Daybook, with a database of its own, and for tests.
    pub(crate) fn exports(&self) -> Result<String, ServiceError> {
        let database =
            self.postgres.as_ref().map(|it| it.create_database("daybook")).transpose()?;
        let product = [
            ("DATABASE_URL", database),
            ("REDIS_URL", self.redis.as_ref().map(Redis::url)),
            ("AMQP_URL", self.rabbitmq.as_ref().map(RabbitMq::url)),
        ];
        let product = product.into_iter().filter_map(|(name, url)| Some((name, url?)));
        Ok(lines(product.chain(self.for_tests_env())))
    }
}

enum One {
    Postgres(Postgres),
    Redis(Redis),
    RabbitMq(RabbitMq),
}

impl One {
    fn start(kind: Kind) -> Result<Self, ServiceError> {
        match kind {
            Kind::Postgres => Postgres::start().map(Self::Postgres),
            Kind::Redis => Redis::start().map(Self::Redis),
            Kind::RabbitMq => RabbitMq::start().map(Self::RabbitMq),
        }
    }
}

struct Failure {
    kind: Kind,
    error: ServiceError,
}

impl Failure {
    fn missing(&self) -> Option<Kind> {
        matches!(self.error, ServiceError::Missing { .. }).then_some(self.kind)
    }
}

/// The servers that no variable leads to.
fn needed(variable: impl Fn(&str) -> Option<String>) -> Vec<Kind> {
    let is_given = |kind: &Kind| {
        let name = match kind {
            Kind::Postgres => TEST_DATABASE_URL,
            Kind::Redis => TEST_REDIS_URL,
            Kind::RabbitMq => TEST_AMQP_URL,
        };
        variable(name).is_some_and(|url| !url.is_empty())
    };
    Kind::ALL.into_iter().filter(|kind| !is_given(kind)).collect()
}

fn lines(variables: impl Iterator<Item = (&'static str, String)>) -> String {
    variables.fold(String::new(), |mut lines, (name, url)| {
        // Writing to a `String` does not fail.
        let _ = writeln!(lines, "export {name}='{url}'");
        lines
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_variables_all_servers_are_needed() {
        assert_eq!(needed(|_| None), Kind::ALL);
    }

    #[test]
    fn an_empty_variable_leads_nowhere() {
        assert_eq!(needed(|_| Some(String::new())), Kind::ALL);
    }

    #[test]
    fn a_server_that_a_variable_leads_to_is_not_started() {
        let given = |name: &str| (name == TEST_REDIS_URL).then(|| "redis://elsewhere".to_owned());
        assert_eq!(needed(given), [Kind::Postgres, Kind::RabbitMq]);
    }

    #[test]
    fn a_shell_reads_the_lines() {
        let variables = [("REDIS_URL", "redis://127.0.0.1:1/".to_owned())];
        assert_eq!(lines(variables.into_iter()), "export REDIS_URL='redis://127.0.0.1:1/'\n");
    }
}
