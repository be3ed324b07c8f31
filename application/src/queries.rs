//! The use cases that only look.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use daybook_accounts::{
    Account, AccountId, AccountPage, AccountRepository, Holder, HolderRepository,
    RepositoryError as AccountsError, StatementEntry, StatementPage, Transfer,
};
use daybook_events::{
    EventFilter, HolderId, Journal, JournalError, Placed, Position, QueueError, RecordedEvent,
    Task, TaskCursor, TaskId, TaskPage, TaskRepository, TaskState, Timestamp, TransferId,
};
use daybook_orders::{
    Order, OrderId, OrderPage, OrderRepository, OrderStatus, RepositoryError as OrdersError,
};
use thiserror::Error;

use crate::destinations::OVERDUE;
use crate::{Caller, Reads, Row};

/// How many bytes a page is read of: what reaches the bound is its last. What is counted of an item is no
/// more than it takes where it is shown: who writes them out, and stops at as many bytes, does not get to
/// the last where there may be more.
pub const PAGE_BYTES: u64 = 1 << 20;

/// Why a query has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QueryError {
    /// The database can't be reached.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// What is stored can't be read.
    #[error("stored data is damaged: {0}")]
    Corrupt(String),
    /// The log has not come as far as was asked for, nor did it while that was waited for.
    #[error("the log is at position {head} and has not reached {wanted}")]
    NotReached {
        /// The position that was asked for.
        wanted: Position,
        /// The last position of the log.
        head: Position,
    },
}

/// How new an answer has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// As new as every acknowledged write: from the cache, where it is there.
    Acknowledged,
    /// As new as an event the caller has seen, however it came to see it: past the cache, which may
    /// not have been told of it yet.
    Stored,
}

/// How long it is waited for a position that the log has not reached.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

/// How far the log and those who read it are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The position of the last event.
    pub head: Position,
    /// The position up to which each has handed it on; past the head where that moved meanwhile.
    pub relays: Vec<(&'static str, Position)>,
}

/// Everything a caller can ask. Another's thing is as if it were not there.
#[derive(Clone)]
pub struct Queries {
    reads: Reads,
    accounts: Arc<dyn AccountRepository>,
    holders: Arc<dyn HolderRepository>,
    orders: Arc<dyn OrderRepository>,
    tasks: Arc<dyn TaskRepository>,
    journal: Arc<dyn Journal<Row>>,
}

impl std::fmt::Debug for Queries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queries").finish_non_exhaustive()
    }
}

impl Queries {
    /// Queries over these ports.
    pub fn new(
        reads: Reads,
        accounts: Arc<dyn AccountRepository>,
        holders: Arc<dyn HolderRepository>,
        orders: Arc<dyn OrderRepository>,
        tasks: Arc<dyn TaskRepository>,
        journal: Arc<dyn Journal<Row>>,
    ) -> Self {
        Self { reads, accounts, holders, orders, tasks, journal }
    }

    /// How far the log is, and how far readers with these names have come.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn progress(&self, readers: &[&'static str]) -> Result<Progress, QueryError> {
        let head = self.journal.head().await?;
        let mut relays = Vec::with_capacity(readers.len());
        for reader in readers {
            relays.push((*reader, self.journal.checkpoint(reader).await?));
        }
        Ok(Progress { head, relays })
    }

    /// Waits until the log has come as far as the caller has seen it, where it says so; answers how the
    /// rest is to be read.
    ///
    /// # Errors
    /// [`QueryError::NotReached`] where it has not come so far within two seconds.
    pub async fn reach(&self, wanted: Option<Position>) -> Result<Freshness, QueryError> {
        let Some(wanted) = wanted else { return Ok(Freshness::Acknowledged) };
        let began = tokio::time::Instant::now();
        loop {
            let head = self.journal.head().await?;
            if head >= wanted {
                return Ok(Freshness::Stored);
            }
            if began.elapsed() >= PATIENCE {
                return Err(QueryError::NotReached { wanted, head });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn reads(&self, freshness: Freshness) -> Cow<'_, Reads> {
        match freshness {
            Freshness::Acknowledged => Cow::Borrowed(&self.reads),
            Freshness::Stored => Cow::Owned(self.reads.as_fresh_as(freshness)),
        }
    }

    /// The caller's own data; `None` for a holder that does not exist any more.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn me(&self, caller: &Caller) -> Result<Option<Holder>, QueryError> {
        Ok(self.holders.find(caller.holder_id).await?)
    }

    /// The JSON of an account.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn account(
        &self,
        caller: &Caller,
        id: AccountId,
        freshness: Freshness,
    ) -> Result<Option<Bytes>, QueryError> {
        self.reads(freshness).account(caller, id).await
    }

    /// A page of accounts, oldest first.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn accounts(
        &self,
        caller: &Caller,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Vec<Placed<Account>>, QueryError> {
        Ok(self.accounts.list(&AccountPage { holder: caller.restriction(), after, limit }).await?)
    }

    /// A page of an account's statement, newest first; `None` where there is no such account.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn statement(
        &self,
        caller: &Caller,
        account: AccountId,
        before: Option<Position>,
        limit: u32,
    ) -> Result<Option<Vec<StatementEntry>>, QueryError> {
        let found = self.accounts.find(&[account]).await?;
        if !found.iter().any(|a| a.is_open() && caller.may_see(Some(a.holder_id))) {
            return Ok(None);
        }
        Ok(Some(self.accounts.statement(&StatementPage { account, before, limit }).await?))
    }

    /// A transfer; `None` where there is no such of the caller's.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn transfer(
        &self,
        caller: &Caller,
        id: TransferId,
    ) -> Result<Option<Transfer>, QueryError> {
        let Some(transfer) = self.accounts.transfer(id).await? else { return Ok(None) };
        let sides = self.accounts.find(&[transfer.from, transfer.to]).await?;
        let seen = sides.iter().any(|account| caller.may_see(Some(account.holder_id)));
        Ok(seen.then_some(transfer))
    }

    /// The JSON of an order.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn order(
        &self,
        caller: &Caller,
        id: OrderId,
        freshness: Freshness,
    ) -> Result<Option<Bytes>, QueryError> {
        self.reads(freshness).order(caller, id).await
    }

    /// A page of orders, newest first, of no more than [`PAGE_BYTES`].
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn orders(
        &self,
        caller: &Caller,
        status: Option<OrderStatus>,
        before: Option<Position>,
        limit: u32,
    ) -> Result<Vec<Placed<Order>>, QueryError> {
        let (holder, bytes) = (caller.restriction(), PAGE_BYTES);
        Ok(self.orders.list(&OrderPage { holder, status, before, limit, bytes }).await?)
    }

    /// At most `limit` events of an order and [`PAGE_BYTES`], oldest first; `None` where there is no such order.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn order_events(
        &self,
        caller: &Caller,
        id: OrderId,
        after: Position,
        limit: u32,
    ) -> Result<Option<Vec<RecordedEvent>>, QueryError> {
        let found = self.orders.find(&[id]).await?;
        if !found.iter().any(|order| caller.may_see(Some(order.holder_id))) {
            return Ok(None);
        }
        let filter = EventFilter::Stream(id.stream());
        Ok(Some(self.journal.read_within(&filter, after, limit, PAGE_BYTES).await?))
    }

    /// At most `limit` events the caller may see and [`PAGE_BYTES`], oldest first.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn events(
        &self,
        caller: &Caller,
        after: Position,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, QueryError> {
        let filter = Self::visible(caller);
        Ok(self.journal.read_within(&filter, after, limit, PAGE_BYTES).await?)
    }

    /// Which events the caller may see.
    pub fn visible(caller: &Caller) -> EventFilter {
        caller.restriction().map_or(EventFilter::All, EventFilter::Owner)
    }

    /// A task.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn task(&self, caller: &Caller, id: TaskId) -> Result<Option<Task>, QueryError> {
        Ok(self.tasks.find(id).await?.filter(|task| caller.may_see(task.owner)))
    }

    /// A page of tasks, newest first, of no more than [`PAGE_BYTES`].
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn tasks(
        &self,
        caller: &Caller,
        state: Option<TaskState>,
        after: Option<TaskCursor>,
        limit: u32,
    ) -> Result<Vec<Placed<Task>>, QueryError> {
        let owner: Option<HolderId> = caller.restriction();
        let page = TaskPage { owner, state, after, limit, bytes: PAGE_BYTES };
        Ok(self.tasks.list(&page).await?)
    }

    /// How many tasks should have been begun a minute ago, and were not: their messages may be lost.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn overdue_tasks(&self, now: Timestamp) -> Result<u64, QueryError> {
        Ok(self.tasks.count_overdue(now.minus(OVERDUE)).await?)
    }

    /// Whether the database answers, and takes what is written.
    ///
    /// # Errors
    /// [`JournalError::ReadOnly`] where it only answers.
    pub async fn ready(&self) -> Result<(), JournalError> {
        self.journal.check().await
    }
}

impl From<AccountsError> for QueryError {
    fn from(error: AccountsError) -> Self {
        match error {
            AccountsError::Unavailable(detail) => Self::Unavailable(detail),
            AccountsError::Corrupt(detail) => Self::Corrupt(detail),
        }
    }
}

impl From<OrdersError> for QueryError {
    fn from(error: OrdersError) -> Self {
        match error {
            OrdersError::Unavailable(detail) => Self::Unavailable(detail),
            OrdersError::Corrupt(detail) => Self::Corrupt(detail),
        }
    }
}

impl From<QueueError> for QueryError {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Unavailable(detail) => Self::Unavailable(detail),
            QueueError::Corrupt(detail) => Self::Corrupt(detail),
        }
    }
}

impl From<JournalError> for QueryError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Unavailable(detail)
            | JournalError::ReadOnly(detail)
            | JournalError::Unknown(detail) => Self::Unavailable(detail),
            JournalError::Corrupt(detail) => Self::Corrupt(detail),
        }
    }
}
