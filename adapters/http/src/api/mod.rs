//! The operations, group by group.

mod accounts;
mod events;
mod health;
mod holders;
mod notifications;
mod orders;
mod tasks;

use std::sync::{Arc, Mutex, PoisonError};

use daybook_application::{
    Commands, Feed, Freshness, Outcome, PresentIdentity, Queries, QueryError, Receipt, Sessions,
    TooManyStreams, TroubleLog,
};
use daybook_events::{Clock, JournalError};
use poem_openapi::Tags;
use poem_openapi::param::Header;
use tokio_util::sync::CancellationToken;

pub(crate) use accounts::AccountsApi;
pub(crate) use events::EventsApi;
pub(crate) use health::HealthApi;
pub use health::{Engine, Engines};
pub(crate) use holders::HoldersApi;
pub(crate) use notifications::NotificationsApi;
pub(crate) use orders::OrdersApi;
pub(crate) use tasks::TasksApi;

use crate::auth::Bearer;
use crate::problem::{Kind, Problem};
use crate::room::ReplyRoom;
use crate::scalars::Count;
use crate::seldom::Seldom;
use crate::sse::{Ended, ended};
use crate::token::Tokens;

/// The groups of operations.
#[derive(Tags)]
pub(crate) enum Group {
    /// Register, log in and out, and see who you are
    Holders,
    /// Accounts, their money and their statements
    Accounts,
    /// Orders, and paying them
    Orders,
    /// The log, as pages and as a stream
    Events,
    /// Messages to whoever listens
    Notifications,
    /// Work to be done later
    Tasks,
    /// Whether the service is alive and ready
    Health,
}

/// What operations work with.
#[derive(Clone)]
pub(crate) struct Context {
    pub commands: Commands,
    pub queries: Queries,
    pub feed: Feed,
    pub tokens: Tokens,
    pub clock: Arc<dyn Clock>,
    pub sessions: Sessions,
    pub refused_streams: Seldom,
    /// The room for lists.
    pub replies: ReplyRoom,
    pub engines: Engines,
    pub identity: PresentIdentity,
    /// Whether the database can be used, for the log.
    pub readiness: Arc<Mutex<TroubleLog>>,
    /// Ends the streams.
    pub stop: CancellationToken,
    /// Says that the service takes no new work.
    pub draining: CancellationToken,
}

impl Context {
    /// Waits until the log is where the caller has seen it.
    async fn reached(&self, wanted: &Header<Option<Count>>) -> Result<Freshness, QueryError> {
        self.queries.reach(wanted.0.map(Count::position)).await
    }

    /// Whoever asks again and again whether the database can be used makes one line of the log.
    fn note_readiness(&self, error: Option<&JournalError>) {
        let mut log = self.readiness.lock().unwrap_or_else(PoisonError::into_inner);
        log.look(error.map(|error| error as _));
    }

    /// Lets a caller open a stream; waits for its end.
    async fn stream(
        &self,
        caller: &Bearer,
    ) -> Result<impl Future<Output = Ended> + Send + use<>, Problem> {
        let session = &caller.1;
        let open = self.sessions.open_stream(session).map_err(|error| self.too_many(error))?;
        // It may have ended before there was a stream that could be.
        if !self.sessions.is_live(session).await? {
            return Err(Problem::new(Kind::Unauthenticated));
        }
        let ended = ended(session.until, Arc::clone(&self.clock), self.stop.clone());
        Ok(async move {
            tokio::select! {
                ended = ended => ended,
                () = open.over() => Ended::SessionOver,
            }
        })
    }

    fn too_many(&self, error: TooManyStreams) -> Problem {
        self.refused_streams.note(|count| {
            tracing::warn!(count, ?error, "streams were refused: too many are open");
        });
        match error {
            TooManyStreams::OfOne => Problem::new(Kind::TooManyStreams),
            TooManyStreams::OfAll => Problem::new(Kind::Overloaded),
        }
    }
}

/// The receipt of a command, or the problem its refusal is.
fn receipt(outcome: &Outcome) -> Result<&Receipt, Problem> {
    outcome
        .result
        .as_ref()
        .map_err(|rejection| Problem::refusal(rejection.clone(), outcome.replayed))
}

/// A receipt that the command never gives.
fn unexpected() -> Problem {
    tracing::error!("a command answered the receipt of another");
    Problem::new(Kind::Internal)
}

/// Something that is not there, or not the caller's.
fn not_found() -> Problem {
    Problem::new(Kind::NotFound)
}
