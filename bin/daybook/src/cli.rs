//! The command line: every option has a flag, an environment variable and a line in `--help`.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{
    ArgAction, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum,
};
use daybook_application::MailPolicy;
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
    Serve(Box<ServeOptions>),
    /// Do tasks, beside a server or without one
    Worker(WorkOptions),
    /// Bring the database to the present schema
    Migrate,
    /// Compare everything that is stored with the log, while commands go on
    ///
    /// Prints a line for each difference. Ends with 0 where nothing differs, with 1 where something
    /// does, and with 2 where it could not be looked at.
    Verify(VerifyOptions),
    /// Make accounts, orders and postings anew from the log, while commands go on
    ///
    /// Rows that differ are replaced in one step, and their number is printed. Where the log itself
    /// is damaged nothing is changed. On SQLite, rows are not replaced while a server is running.
    Rebuild,
    /// Publish five messages on a topic
    Publish(PublishOptions),
    /// Print the messages of a topic as they come
    Subscribe(SubscribeOptions),
    /// Put five tasks on the queue
    Enqueue(EnqueueOptions),
    /// Print the OpenAPI document
    Openapi,
    /// Ask a server whether it is ready, for containers without a shell
    Health(HealthOptions),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct CommonOptions {
    #[command(flatten)]
    pub database: DatabaseOptions,
    #[command(flatten)]
    pub redis: RedisOptions,
    #[command(flatten)]
    pub amqp: AmqpOptions,
    /// Refuse to start with what is good enough to try it out: engines on other machines without a
    /// password, or with one that everybody knows
    #[arg(long, env = "DAYBOOK_PRODUCTION", default_value = "false", action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", global = true, value_name = "BOOL")]
    pub production: bool,
    /// What is logged to stderr: a level, or levels by module
    #[arg(long, env = "DAYBOOK_LOG", default_value = "info", global = true)]
    pub log: String,
    /// How the log is written
    #[arg(long, env = "DAYBOOK_LOG_FORMAT", default_value = "text", global = true)]
    pub log_format: LogFormat,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Database")]
pub(crate) struct DatabaseOptions {
    /// Where the database is: `sqlite://daybook.db` where nothing is set, a file that is made where
    /// it doesn't exist; or a server, as in `postgres://user:password@host/database?sslmode=require`
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, global = true)]
    pub database_url: Option<String>,
    /// A file that holds the URL of the database, for secrets
    #[arg(long, env = "DATABASE_URL_FILE", global = true, value_name = "FILE")]
    pub database_url_file: Option<PathBuf>,
    /// How many connections to Postgres there are at most; some more are kept for the log
    #[arg(long, env = "DAYBOOK_DATABASE_CONNECTIONS", default_value = "16", global = true)]
    pub database_connections: NonZeroU32,
    /// How long a statement on Postgres may take
    #[arg(long, env = "DAYBOOK_STATEMENT_TIMEOUT", default_value = "10s", value_parser = parse_duration, global = true)]
    pub statement_timeout: Duration,
    /// Whether the schema is brought up to date at the start; otherwise it has to be
    #[arg(long, env = "DAYBOOK_MIGRATE", default_value = "true", action = ArgAction::Set, global = true, value_name = "BOOL")]
    pub migrate: bool,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Redis")]
pub(crate) struct RedisOptions {
    /// Where Redis is, such as `redis://host:6379`, `rediss://user:password@host` or
    /// `redis+cluster://host:6379,host:6380`; without one, cache and bus are in the process
    #[arg(long, env = "REDIS_URL", hide_env_values = true, global = true)]
    pub redis_url: Option<String>,
    /// A file that holds the URL of Redis, for secrets
    #[arg(long, env = "REDIS_URL_FILE", global = true, value_name = "FILE")]
    pub redis_url_file: Option<PathBuf>,
    /// The same as host:port, where no URL is given
    #[arg(long, env = "REDIS_ADDR", global = true, value_name = "HOST:PORT")]
    pub redis_addr: Option<String>,
    /// Whether this process keeps what it reads from Redis: faster, and some milliseconds behind
    /// what other instances write
    #[arg(long, env = "DAYBOOK_NEAR_CACHE", default_value = "false", action = ArgAction::Set, global = true, value_name = "BOOL")]
    pub near_cache: bool,
    /// What the names of keys and channels begin with: two installations on one Redis need one each.
    /// Letters, digits, hyphens, underscores and full stops
    #[arg(long, env = "DAYBOOK_NAMESPACE", default_value = "", global = true, value_name = "NAME")]
    pub namespace: String,
    /// The channel by which the instances on one database tell each other of events
    #[arg(
        long,
        env = "DAYBOOK_EVENTS_CHANNEL",
        default_value = "daybook:events",
        global = true,
        value_name = "NAME"
    )]
    pub events_channel: String,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "RabbitMQ")]
pub(crate) struct AmqpOptions {
    /// Where RabbitMQ is, such as `amqp://user:password@host:5672/vhost`; without one, tasks are in
    /// the database
    #[arg(long, env = "AMQP_URL", hide_env_values = true, global = true)]
    pub amqp_url: Option<String>,
    /// A file that holds the URL of RabbitMQ, for secrets
    #[arg(long, env = "AMQP_URL_FILE", global = true, value_name = "FILE")]
    pub amqp_url_file: Option<PathBuf>,
    /// The queue that tasks are put on; queues beside it have names that begin with it
    #[arg(
        long,
        env = "DAYBOOK_TASK_QUEUE",
        default_value = "tasks",
        global = true,
        value_name = "NAME"
    )]
    pub task_queue: String,
    /// Whether the queues are quorum queues, which other programs must then declare alike
    #[arg(long, env = "DAYBOOK_QUORUM_QUEUES", default_value = "false", action = ArgAction::Set, global = true, value_name = "BOOL")]
    pub quorum_queues: bool,
    /// Whether other programs' messages may say whose their tasks are, in x-daybook-owner
    #[arg(long, env = "DAYBOOK_AMQP_OWNERS", default_value = "false", action = ArgAction::Set, global = true, value_name = "BOOL")]
    pub amqp_owners: bool,
    /// How often `worker` and `enqueue` try to reach RabbitMQ at the start
    #[arg(long, env = "DAYBOOK_AMQP_TRIES", default_value = "10", global = true)]
    pub amqp_tries: NonZeroU32,
    /// How long they wait between two tries
    #[arg(long, env = "DAYBOOK_AMQP_PAUSE", default_value = "3s", value_parser = parse_duration, global = true)]
    pub amqp_pause: Duration,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct VerifyOptions {
    /// How many differences are printed at most; all are counted
    #[arg(long, default_value = "100", value_name = "NUMBER")]
    pub limit: u64,
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
    /// Whom holders may send mail to: `own` (the address they registered with), `anyone`, or also
    /// anyone at these domains: `example.com,example.org`. Operators may send it to anyone
    #[arg(long, env = "DAYBOOK_MAIL_POLICY", default_value = "own", value_name = "POLICY")]
    pub mail_policy: MailPolicy,
    /// How many connections there may be at a time
    #[arg(long, env = "DAYBOOK_CONNECTIONS", default_value = "16384")]
    pub connections: NonZeroUsize,
    /// How many commands may wait; past that they are refused with 503
    #[arg(long, env = "DAYBOOK_QUEUE", default_value = "4096")]
    pub queue: NonZeroUsize,
    /// How many commands are committed together at most
    #[arg(long, env = "DAYBOOK_BATCH", default_value = "1024")]
    pub batch: NonZeroUsize,
    /// How much memory may be taken by what is on its way from the log to those who follow it, in MiB
    #[arg(long, env = "DAYBOOK_STREAM_BUFFER_MIB", default_value = "40", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub stream_buffer_mib: u32,
    /// How much memory may be taken by replies that their readers have not taken yet, in MiB; of lists one
    /// holder may take a quarter
    #[arg(long, env = "DAYBOOK_REPLY_BUFFER_MIB", default_value = "64", value_parser = clap::value_parser!(u32).range(4..=65_536))]
    pub reply_buffer_mib: u32,
    /// How long a client may take nothing of what it is sent; then its connection is closed
    #[arg(long, env = "DAYBOOK_READER_PATIENCE", default_value = "30s", value_parser = parse_duration)]
    pub reader_patience: Duration,
    /// How many accounts and orders are kept in memory for decisions
    #[arg(long, env = "DAYBOOK_STATES", default_value = "16384")]
    pub states: NonZeroUsize,
    /// How much memory the cache may take, in MiB
    #[arg(long, env = "DAYBOOK_CACHE_MIB", default_value = "64")]
    pub cache_mib: u32,
    /// How long an account or order stays in the cache
    #[arg(long, env = "DAYBOOK_CACHE_TTL", default_value = "10m", value_parser = parse_duration)]
    pub cache_ttl: Duration,
    /// How many connections of one address (of one /64 of IPv6) there may be at a time, trusted proxies
    /// excepted; half of all where it isn't given
    #[arg(long, env = "DAYBOOK_ADDRESS_CONNECTIONS")]
    pub address_connections: Option<NonZeroUsize>,
    /// How many connections of one holder there may be at a time; a quarter of all where it isn't given
    #[arg(long, env = "DAYBOOK_HOLDER_CONNECTIONS")]
    pub holder_connections: Option<NonZeroUsize>,
    /// How many streams there may be at a time; half as many as connections where it isn't given
    #[arg(long, env = "DAYBOOK_STREAMS")]
    pub streams: Option<NonZeroUsize>,
    /// How many streams of one holder there may be at a time; an eighth of the connections where it
    /// isn't given
    #[arg(long, env = "DAYBOOK_HOLDER_STREAMS")]
    pub holder_streams: Option<NonZeroUsize>,
    /// The proxies (addresses or networks, separated by commas) whose X-Forwarded-For says where
    /// requests come from. Without them a proxy is one client
    #[arg(long, env = "DAYBOOK_TRUSTED_PROXIES", value_name = "NETWORKS")]
    pub trusted_proxies: Option<String>,
    /// Registrations and log-ins a second from one address, at most; 0 for as many as its share of
    /// what can be checked
    #[arg(long, env = "DAYBOOK_CREDENTIAL_RATE", default_value = "0")]
    pub credential_rate: u32,
    /// Requests a second of one holder; 0 for no limit
    #[arg(long, env = "DAYBOOK_HOLDER_RATE", default_value = "0")]
    pub holder_rate: u32,
    /// How long requests and tasks in hand may take when the server has to stop
    #[arg(long, env = "DAYBOOK_DRAIN", default_value = "10s", value_parser = parse_duration)]
    pub drain: Duration,
    /// How long the server still takes requests after SIGTERM while `/health/ready` says that it is
    /// stopping, so that whoever shares out the load has time to see it
    #[arg(long, env = "DAYBOOK_SHUTDOWN_DELAY", default_value = "1s", value_parser = parse_duration)]
    pub shutdown_delay: Duration,
    /// How long remembered outcomes of idempotency keys are kept
    #[arg(long, env = "DAYBOOK_KEEP_OUTCOMES", default_value = "48h", value_parser = parse_duration)]
    pub keep_outcomes: Duration,
    /// How long tasks are kept after they are done
    #[arg(long, env = "DAYBOOK_KEEP_TASKS", default_value = "7days", value_parser = parse_duration)]
    pub keep_tasks: Duration,
    /// A file of tasks that are due again and again: a JSON list of objects with `name`, `cron` (in
    /// UTC), `kind`, `payload` and, where a missed one may be late, `catch_up` (1h). All instances
    /// need the same
    #[arg(long, env = "DAYBOOK_SCHEDULES_FILE", value_name = "FILE")]
    pub schedules_file: Option<PathBuf>,
    #[command(flatten)]
    pub worker: WorkerOptions,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct WorkOptions {
    #[command(flatten)]
    pub worker: WorkerOptions,
    /// How long tasks in hand may take when the worker has to stop; what is not done by then goes
    /// back to the queue, as if it had not been begun
    #[arg(long, env = "DAYBOOK_DRAIN", default_value = "10s", value_parser = parse_duration)]
    pub drain: Duration,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct WorkerOptions {
    /// How many tasks are done at a time
    #[arg(long, env = "DAYBOOK_TASKS", default_value = "8")]
    pub tasks: NonZeroU32,
    /// How many tasks of one kind are done at a time, in this process: `send_email=2`; more than one
    /// by repeating it, or separated by commas
    #[arg(
        long = "task-limit",
        env = "DAYBOOK_TASK_LIMITS",
        value_delimiter = ',',
        value_name = "KIND=N"
    )]
    pub task_limits: Vec<String>,
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
    /// A file that holds the URL of the mail server, for secrets
    #[arg(long, env = "SMTP_URL_FILE", value_name = "FILE")]
    pub smtp_url_file: Option<PathBuf>,
    /// Whom mail is from
    #[arg(long, env = "DAYBOOK_MAIL_FROM", default_value = "Daybook <daybook@localhost>")]
    pub mail_from: String,
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

#[derive(Clone, Debug, Args)]
pub(crate) struct HealthOptions {
    /// Where the server listens
    #[arg(long, env = "DAYBOOK_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub address: SocketAddr,
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
    let common = CommonOptions::augment_args(clap::Command::new("common"));
    let common: Vec<_> = common.get_arguments().map(|option| option.get_id().as_str()).collect();
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
