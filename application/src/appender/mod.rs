//! The appender: decides the commands that wait and commits them together.
//!
//! One task takes everything that waits, loads the state it depends on, decides one command after
//! another on that state, and hands all entries to the journal as one transaction. While that
//! commits, the next batch gathers: one client sees the latency of one commit, and many clients
//! share one. There is no timer in it.

mod batch;
mod keys;
mod load;
mod stage;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use daybook_accounts::{AccountRepository, HolderRepository};
use daybook_events::{Clock, EntryId, IdSource, Journal, TaskRepository};
use daybook_orders::OrderRepository;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::{Command, CommandError, Outcome, Reads, Request, Row, Tail};
use batch::Batcher;

/// Bounds of the appender.
#[derive(Clone, Copy, Debug)]
pub struct AppenderSettings {
    /// How many commands may wait; past that the answer is [`CommandError::Overloaded`].
    pub queue: NonZeroUsize,
    /// How many commands are committed together at most.
    pub batch: NonZeroUsize,
    /// How many states are kept in memory between batches.
    pub states: NonZeroUsize,
    /// How often a command is decided again when what it depends on has changed.
    pub decisions: u32,
}

/// What the appender works with.
#[derive(Clone)]
pub struct Ports {
    /// Where entries go.
    pub journal: Arc<dyn Journal<Row>>,
    /// Where accounts are loaded from.
    pub accounts: Arc<dyn AccountRepository>,
    /// Where orders are loaded from.
    pub orders: Arc<dyn OrderRepository>,
    /// Where holders are looked up.
    pub holders: Arc<dyn HolderRepository>,
    /// Where tasks are loaded from.
    pub tasks: Arc<dyn TaskRepository>,
    /// When things are decided.
    pub clock: Arc<dyn Clock>,
    /// Where ids of entries and events come from.
    pub ids: Arc<dyn IdSource>,
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ports").finish_non_exhaustive()
    }
}

/// Takes commands. Cloned freely; the appender stops when the last clone is gone.
#[derive(Clone)]
pub struct Appender {
    queue: mpsc::Sender<Waiting>,
    ids: Arc<dyn IdSource>,
}

impl fmt::Debug for Appender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Appender").finish_non_exhaustive()
    }
}

/// How much is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// How many commands wait for the next batch.
    pub waiting: usize,
    /// How many may wait; past that they are refused.
    pub limit: usize,
}

/// A command that was taken; its outcome comes later.
#[derive(Debug)]
pub struct Submission(oneshot::Receiver<Result<Outcome, CommandError>>);

impl Submission {
    /// The outcome, once the command is decided and committed.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn outcome(self) -> Result<Outcome, CommandError> {
        // The task answers everything it takes; if it is gone, what it had in hand is unknown.
        self.0.await.unwrap_or_else(|_| {
            Err(CommandError::OutcomeUnknown("the appender stopped".to_owned()))
        })
    }
}

impl Appender {
    /// An appender, and the task that has to be run for it.
    pub fn new(
        ports: Ports,
        settings: AppenderSettings,
        reads: Reads,
        tail: Arc<Tail>,
    ) -> (Self, AppenderTask) {
        let (queue, waiting) = mpsc::channel(settings.queue.get());
        let ids = Arc::clone(&ports.ids);
        let new_tasks = Arc::new(Notify::new());
        let batcher = Batcher::new(ports, settings, reads, tail, new_tasks);
        (Self { queue, ids }, AppenderTask { waiting, batcher, batch: settings.batch.get() })
    }

    /// Hands in a command. Commands are decided in the order in which they are handed in, but for
    /// those that have to be decided again.
    ///
    /// # Errors
    /// [`CommandError::Overloaded`] at once where too many wait.
    pub fn submit(
        &self,
        command: Box<dyn Command>,
        request: Request,
    ) -> Result<Submission, CommandError> {
        let (reply, outcome) = oneshot::channel();
        let entry = EntryId::from_uuid(self.ids.next());
        let waiting = Waiting { command, request, entry, decisions: 0, reply };
        self.queue.try_send(waiting).map_err(|_| CommandError::Overloaded)?;
        Ok(Submission(outcome))
    }

    /// How many commands wait.
    pub fn load(&self) -> Load {
        let limit = self.queue.max_capacity();
        Load { waiting: limit.saturating_sub(self.queue.capacity()), limit }
    }

    /// Hands in a command and waits for its outcome.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn execute(
        &self,
        command: impl Command + 'static,
        request: Request,
    ) -> Result<Outcome, CommandError> {
        self.submit(Box::new(command), request)?.outcome().await
    }
}

/// A command that waits for its decision.
struct Waiting {
    command: Box<dyn Command>,
    request: Request,
    /// The same however often it is decided.
    entry: EntryId,
    decisions: u32,
    reply: oneshot::Sender<Result<Outcome, CommandError>>,
}

impl Waiting {
    fn answer(self, outcome: Result<Outcome, CommandError>) {
        // Whoever asked may have gone; what happened has happened.
        let _ = self.reply.send(outcome);
    }
}

/// The one task that decides and commits.
pub struct AppenderTask {
    waiting: mpsc::Receiver<Waiting>,
    batcher: Batcher,
    batch: usize,
}

impl fmt::Debug for AppenderTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppenderTask").finish_non_exhaustive()
    }
}

impl AppenderTask {
    /// Is woken whenever a task was committed.
    pub fn new_tasks(&self) -> Arc<Notify> {
        self.batcher.new_tasks()
    }

    /// Runs until every [`Appender`] is gone and everything that waited is answered.
    pub async fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            let room = self.batch.saturating_sub(batch.len());
            if batch.is_empty() {
                if self.waiting.recv_many(&mut batch, room).await == 0 {
                    return;
                }
            } else {
                while batch.len() < self.batch {
                    let Ok(waiting) = self.waiting.try_recv() else { break };
                    batch.push(waiting);
                }
            }
            batch = self.batcher.run(batch).await;
        }
    }
}

#[cfg(test)]
mod tests;
