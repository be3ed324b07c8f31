//! The command line: every option has a flag, an environment variable and a line in `--help`.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use daybook_events::{Message, Topic};
use humantime::parse_duration;

/// Accounts, orders, notifications and tasks, all from one log.
///
/// Without a command it serves: `daybook` is `daybook serve`.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub serve: ServeOptions,
    #[command(flatten)]
    pub common: CommonOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the API, relay events and do tasks
    Serve(ServeOptions),
    /// Do tasks, beside a server or without one
    Worker(WorkerOptions),
    /// Bring the database to the present schema
    Migrate,
    /// Publish five messages on a topic
    Publish(PublishOptions),
    /// Print the messages of a topic as they come
    Subscribe(SubscribeOptions),
    /// Put five tasks on the queue
    Enqueue(EnqueueOptions),
    /// Print the OpenAPI document
    Openapi,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct CommonOptions {
    /// Where the database is: a file, made where it doesn't exist
    #[arg(
        long,
        env = "DATABASE_URL",
        default_value = "sqlite://daybook.db",
        hide_env_values = true,
        global = true
    )]
    pub database_url: String,
    /// What is logged to stderr: a level, or levels by module
    #[arg(long, env = "DAYBOOK_LOG", default_value = "info", global = true)]
    pub log: String,
    /// How the log is written
    #[arg(long, env = "DAYBOOK_LOG_FORMAT", default_value = "text", global = true)]
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ServeOptions {
    /// Where to listen
    #[arg(long, env = "DAYBOOK_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// The secret that tokens are signed with: a file with 32 bytes or more. Without one a secret
    /// is made once and kept beside the database
    #[arg(long, env = "DAYBOOK_SIGNING_KEY_FILE")]
    pub signing_key_file: Option<PathBuf>,
    /// Holders (ids, separated by commas) who may see everything
    #[arg(long, env = "DAYBOOK_OPERATORS", value_delimiter = ',')]
    pub operators: Vec<String>,
    /// How many connections there may be at a time
    #[arg(long, env = "DAYBOOK_CONNECTIONS", default_value = "16384")]
    pub connections: NonZeroUsize,
    /// How many commands may wait; past that they are refused with 503
    #[arg(long, env = "DAYBOOK_QUEUE", default_value = "4096")]
    pub queue: NonZeroUsize,
    /// How many commands are committed together at most
    #[arg(long, env = "DAYBOOK_BATCH", default_value = "1024")]
    pub batch: NonZeroUsize,
    /// How many accounts and orders are kept in memory for decisions
    #[arg(long, env = "DAYBOOK_STATES", default_value = "16384")]
    pub states: NonZeroUsize,
    /// How much memory the cache may take, in MiB
    #[arg(long, env = "DAYBOOK_CACHE_MIB", default_value = "64")]
    pub cache_mib: u32,
    /// How long an account or order stays in the cache
    #[arg(long, env = "DAYBOOK_CACHE_TTL", default_value = "10m", value_parser = parse_duration)]
    pub cache_ttl: Duration,
    /// Registrations and log-ins a second from one address; 0 for no limit
    #[arg(long, env = "DAYBOOK_CREDENTIAL_RATE", default_value = "100")]
    pub credential_rate: u32,
    /// Requests a second of one holder; 0 for no limit
    #[arg(long, env = "DAYBOOK_HOLDER_RATE", default_value = "0")]
    pub holder_rate: u32,
    /// How long requests and tasks in hand may take when the server has to stop
    #[arg(long, env = "DAYBOOK_DRAIN", default_value = "10s", value_parser = parse_duration)]
    pub drain: Duration,
    /// How long remembered outcomes of idempotency keys are kept
    #[arg(long, env = "DAYBOOK_KEEP_OUTCOMES", default_value = "48h", value_parser = parse_duration)]
    pub keep_outcomes: Duration,
    /// How long tasks are kept after they are done
    #[arg(long, env = "DAYBOOK_KEEP_TASKS", default_value = "7days", value_parser = parse_duration)]
    pub keep_tasks: Duration,
    #[command(flatten)]
    pub worker: WorkerOptions,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct WorkerOptions {
    /// How many tasks are done at a time
    #[arg(long, env = "DAYBOOK_TASKS", default_value = "8")]
    pub tasks: NonZeroU32,
    /// How often a task is tried before it is dead
    #[arg(long, env = "DAYBOOK_TASK_ATTEMPTS", default_value = "8")]
    pub task_attempts: NonZeroU32,
    /// The pause before a failed task is tried again; it doubles each time
    #[arg(long, env = "DAYBOOK_TASK_PAUSE", default_value = "1s", value_parser = parse_duration)]
    pub task_pause: Duration,
    /// How long a task is a worker's without a sign of life
    #[arg(long, env = "DAYBOOK_TASK_LEASE", default_value = "30s", value_parser = parse_duration)]
    pub task_lease: Duration,
    /// How long a plain text task takes
    #[arg(long, env = "DAYBOOK_TEXT_TASK_DURATION", default_value = "2s", value_parser = parse_duration)]
    pub text_task_duration: Duration,
    /// The mail server, such as `smtps://user:password@mail.example.com`; without one, mail is
    /// written to the log
    #[arg(long, env = "SMTP_URL", hide_env_values = true)]
    pub smtp_url: Option<String>,
    /// Whom mail is from
    #[arg(long, env = "DAYBOOK_MAIL_FROM", default_value = "Daybook <daybook@localhost>")]
    pub mail_from: String,
}

impl WorkerOptions {
    /// The mail server; an empty setting is none.
    pub(crate) fn mail_server(&self) -> Option<&str> {
        self.smtp_url.as_deref().filter(|url| !url.is_empty())
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct PublishOptions {
    /// The topic
    #[arg(long, default_value = Topic::DEFAULT)]
    pub topic: Topic,
    /// How many messages
    #[arg(long, default_value = "5")]
    pub count: u32,
    /// How long between them
    #[arg(long, default_value = "2s", value_parser = parse_duration)]
    pub interval: Duration,
    /// What they say; `Hello from publisher! Message #N` where it isn't given
    #[arg(long, value_parser = message)]
    pub message: Option<Message>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct SubscribeOptions {
    /// Begin after this position of the log, and not now
    #[arg(long)]
    pub after: Option<u64>,
    /// The topic
    #[arg(long, default_value = Topic::DEFAULT)]
    pub topic: Topic,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct EnqueueOptions {
    /// How many tasks
    #[arg(long, default_value = "5")]
    pub count: u32,
    /// How long between them
    #[arg(long, default_value = "1s", value_parser = parse_duration)]
    pub interval: Duration,
    /// What they say; `Task #N: Send email to userN@example.com` where it isn't given
    #[arg(long)]
    pub text: Option<String>,
}

impl Cli {
    /// Reads the command line. Options of `serve` stand after it, where it is named: before another
    /// command they would be ignored, and nobody learn of it.
    pub(crate) fn read() -> Self {
        let matches = Self::command().get_matches();
        if let Some(stray) = stray_option(&matches) {
            let text = format!(
                "--{} is an option of serve: it stands after the command\n",
                stray.replace('_', "-")
            );
            Self::command().error(ErrorKind::ArgumentConflict, text).exit();
        }
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// An option of `serve` that was given before a command.
fn stray_option(matches: &ArgMatches) -> Option<&str> {
    matches.subcommand()?;
    let common = ["database_url", "log", "log_format"];
    let given = |id: &&str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let options = ServeOptions::augment_args(clap::Command::new("serve"));
    let known: Vec<_> =
        options.get_arguments().map(|option| option.get_id().as_str().to_owned()).collect();
    matches
        .ids()
        .map(clap::Id::as_str)
        .filter(|id| !common.contains(id) && known.iter().any(|k| k == id))
        .find(given)
}

fn message(text: &str) -> Result<Message, String> {
    Message::new(text.to_owned())
        .ok_or_else(|| format!("a message has 1 to {} bytes", Message::MAX_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn common_options_stand_anywhere_and_those_of_serve_after_it() {
        let stray = |line: &str| {
            let matches = Cli::command().try_get_matches_from(line.split(' ')).unwrap();
            stray_option(&matches).map(str::to_owned)
        };
        assert_eq!(stray("daybook --database-url sqlite://x.db migrate"), None);
        assert_eq!(stray("daybook --listen 127.0.0.1:1"), None);
        assert_eq!(stray("daybook serve --listen 127.0.0.1:1"), None);
        assert_eq!(stray("daybook --listen 127.0.0.1:1 worker").as_deref(), Some("listen"));
    }
}
