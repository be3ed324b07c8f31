//! The use cases: everything Daybook does, said in terms of the domain and its ports.
//!
//! - [`Commands`] change something. Each becomes a [`Command`] that decides against the state of
//!   the streams it names; the [`Appender`] decides those that wait together and hands them to the
//!   journal as one transaction.
//! - [`Queries`] answer from the read models; single accounts and orders through the cache.
//! - [`Relay`] follows the log and tells the bus; [`Feed`] gives the log to a subscriber without
//!   gaps; [`Worker`] does tasks; [`Housekeeper`] forgets what need not be kept.
//!
//! This is the only crate that sees accounts and orders together. It knows ports and no adapter.
//! To add a use case, add its command under `commands/`, a method to [`Commands`], and whatever it
//! writes besides events to [`Row`].
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may stop at the first surprise"))]

mod appender;
mod caller;
mod command;
mod commands;
#[cfg(feature = "contract")]
pub mod contract;
#[cfg(test)]
mod fakes;
mod feed;
mod housekeeper;
mod mail;
mod passwords;
mod queries;
mod reads;
mod relay;
mod row;
mod states;
mod tail;
mod views;
mod worker;

pub use appender::{Appender, AppenderSettings, AppenderTask, Ports, Submission};
pub use caller::{Caller, Request, RequestKey};
pub use command::{Change, Command, CommandError, Decision, Outcome, Receipt, Rejection};
pub use commands::{
    Commands, LoginError, MoneyMovement, NewOrder, Registration, TaskRequest, TransferRequest,
};
pub use feed::{Feed, FeedItem, FeedStream};
pub use housekeeper::Housekeeper;
pub use mail::{Mail, MailError, Mailer};
pub use passwords::{PasswordError, Passwords};
pub use queries::{Queries, QueryError};
pub use reads::{ReadCache, Reads};
pub use relay::Relay;
pub use row::{PostingRow, Row};
pub use states::{Key, States};
pub use tail::Tail;
pub use views::{AccountView, OrderLineView, OrderView};
pub use worker::{
    EmailHandler, RetryPolicy, TaskFailure, TaskHandler, TextHandler, Worker, WorkerSettings,
};
