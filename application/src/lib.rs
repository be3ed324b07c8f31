//! The use cases: everything Daybook does, said in terms of the domain and its ports.
//!
//! - [`Commands`] change something. Each becomes a [`Command`] that decides against the state of
//!   the streams it names; the [`Appender`] decides those that wait together and hands them to the
//!   journal as one transaction.
//! - [`Queries`] answer from the read models; single accounts and orders through the cache.
//! - [`Announcer`] follows the log for the subscribers of this process, and [`Feed`] gives it to each
//!   without gaps; a [`Relay`] hands it on to something outside, one instance at a time; [`Worker`]
//!   does tasks; [`Housekeeper`] forgets what need not be kept; [`Verify`] compares all that is stored
//!   with the log, and [`Rebuild`] makes the read models anew from it.
//!
//! This is the only crate that sees accounts and orders together. It knows ports and no adapter.
//! To add a use case, add its command under `commands/`, a method to [`Commands`], and whatever it
//! writes besides events to [`Row`].
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may stop at the first surprise"))]

mod announcer;
mod appender;
mod audit;
mod caller;
mod command;
mod commands;
#[cfg(feature = "contract")]
pub mod contract;
mod destinations;
#[cfg(test)]
mod fakes;
mod feed;
mod forks;
mod housekeeper;
mod identity;
mod mail;
mod mail_policy;
mod probe;
mod projection;
mod queries;
mod reads;
mod rebuild;
mod relay;
mod row;
mod schedules;
mod sessions;
mod sign_in;
mod states;
mod stream_room;
mod tail;
mod trouble;
mod views;
mod worker;

pub use announcer::Announcer;
pub use appender::{Appender, AppenderSettings, AppenderTask, Load, Ports, Submission};
pub use audit::{
    Books, BooksError, BooksSnapshot, Check, Difference, Projected, ProjectedPosting,
    ProjectedTask, Report, Verify, Watcher,
};
pub use caller::{Caller, Request, RequestKey};
pub use command::{Change, Command, CommandError, Decision, Outcome, Receipt, Rejection};
pub use commands::{
    Commands, LoginError, MoneyMovement, NewOrder, Registered, Registration, TaskRequest,
    TransferRequest, UniqueRequest,
};
pub use destinations::{CacheRepair, Nowhere, Search, SharedBus, TaskDispatch};
pub use feed::{Feed, FeedItem, FeedStream};
pub use forks::ForkWatch;
pub use housekeeper::Housekeeper;
pub use identity::{IdentityKeeper, PresentIdentity};
pub use mail::{Mail, MailError, Mailer};
pub use mail_policy::{InvalidMailPolicy, MailPolicy};
pub use probe::Probe;
pub use queries::{Freshness, PAGE_BYTES, Progress, Queries, QueryError};
pub use reads::{ReadCache, Reads, Repair};
pub use rebuild::{Rebuild, RebuildError, Rebuilt, Replace, Shadow, Shadows, Stale};
pub use relay::{Destination, Relay};
pub use row::{PostingRow, Row, TaskNumber};
pub use schedules::{InvalidSchedule, Schedule, Scheduler};
pub use sessions::{OpenStream, Sessions, StreamLimits, TooManyStreams};
pub use sign_in::{AuditLog, AuditOutcome, AuditedAct, Block, Origin, PasswordError, Passwords};
pub use states::{Key, States};
pub use stream_room::{StreamRoom, Taken};
pub use tail::{Tail, TailBounds};
pub use trouble::TroubleLog;
pub use views::{AccountView, OrderLineView, OrderView};
pub use worker::{
    EmailHandler, RetryPolicy, TaskFailure, TaskHandler, TextHandler, Worker, WorkerSettings,
};
