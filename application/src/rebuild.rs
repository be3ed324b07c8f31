//! Making the read models anew from the log.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use daybook_accounts::{Account, AccountId};
use daybook_events::{HolderId, Placed, Position, RecordedEvent, StreamId, Version};
use daybook_orders::{Order, OrderId};
use thiserror::Error;

use crate::audit::{Fold, PAGE, ReadModel, follow, stream_of};
use crate::{Books, BooksError, Check, Difference, Projected, Reads, Watcher};

/// How many replies are dropped from the cache at a time.
const STALE: u32 = 500;

/// Why the read models were not made anew. They are as they were.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RebuildError {
    /// Another rebuild is at work.
    #[error("another rebuild is at work; wait for it to end")]
    Busy,
    /// The log itself is damaged: nothing follows from it.
    #[error("the log is damaged, see `daybook verify`: {0}")]
    Damaged(Difference),
    /// Rows differ, and who serves them must not have them changed.
    #[error("{0} rows differ; stop the server, and rebuild again")]
    Served(u64),
    /// The database can't be reached.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// What is stored can't be read at all.
    #[error("what is stored can't be read: {0}")]
    Corrupt(String),
}

impl From<BooksError> for RebuildError {
    fn from(error: BooksError) -> Self {
        match error {
            BooksError::Unavailable(why) => Self::Unavailable(why),
            BooksError::Corrupt(why) => Self::Corrupt(why),
        }
    }
}

/// Whether rows that differ may be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// They are.
    Allowed,
    /// A process that would go on with what it remembers serves them.
    Forbidden,
}

/// What a rebuild came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// How many events the log had at the end.
    pub events: u64,
    /// How many accounts differed and were replaced.
    pub accounts: u64,
    /// How many orders.
    pub orders: u64,
    /// At how many positions the postings.
    pub postings: u64,
    /// How many replies the cache could not be told to drop.
    pub uncached: u64,
}

impl Rebuilt {
    /// How many rows were replaced.
    pub const fn replaced(&self) -> u64 {
        self.accounts + self.orders + self.postings
    }
}

/// A row that was replaced, under the holder it had or has: a reply of it may be in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// An account.
    Account(AccountId, HolderId, Version),
    /// An order.
    Order(OrderId, HolderId, Version),
}

/// Read models beside the live ones.
#[async_trait]
pub trait Shadows: Send + Sync {
    /// Begins with empty ones; what a rebuild that was killed has left is removed. One at a time.
    ///
    /// # Errors
    /// [`RebuildError::Busy`] where another is at work, or the database can't be used.
    async fn begin(&self) -> Result<Box<dyn Shadow>, RebuildError>;
}

/// Accounts, orders and postings beside the live ones, which go on meanwhile. Nothing live changes
/// before [`Shadow::replace`].
#[async_trait]
pub trait Shadow: Send {
    /// Writes what some events came to over what was there.
    ///
    /// # Errors
    /// [`RebuildError`].
    async fn write(&mut self, page: &Projected) -> Result<(), RebuildError>;

    /// At most `limit` events after a position, in the order of the log.
    ///
    /// # Errors
    /// [`RebuildError`].
    async fn events(
        &mut self,
        after: Position,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, RebuildError>;

    /// Accounts as they were written.
    ///
    /// # Errors
    /// [`RebuildError`].
    async fn accounts(&mut self, ids: &[AccountId]) -> Result<Vec<Placed<Account>>, RebuildError>;

    /// Orders as they were written.
    ///
    /// # Errors
    /// [`RebuildError`].
    async fn orders(&mut self, ids: &[OrderId]) -> Result<Vec<Placed<Order>>, RebuildError>;

    /// Looks for live rows that may differ. What is written from now on may as well.
    ///
    /// # Errors
    /// [`RebuildError`].
    async fn compare(&mut self) -> Result<(), RebuildError>;

    /// Keeps everyone from appending, until the end. Not for long.
    ///
    /// # Errors
    /// [`RebuildError`].
    async fn lock(&mut self) -> Result<(), RebuildError>;

    /// Replaces the live rows that do differ, all at once, and lets the others append again; their
    /// sessions are ended, so that no process goes on with what it remembers.
    /// Answers what was replaced, with `events` and `uncached` left at zero.
    ///
    /// # Errors
    /// [`RebuildError`]; [`RebuildError::Served`] where rows differ and that is forbidden.
    async fn replace(&mut self, replace: Replace) -> Result<Rebuilt, RebuildError>;

    /// At most `limit` of the rows that were replaced, past the first `offset`.
    ///
    /// # Errors
    /// [`RebuildError`].
    async fn stale(&mut self, offset: u64, limit: u32) -> Result<Vec<Stale>, RebuildError>;

    /// Removes the read models beside the live ones.
    ///
    /// # Errors
    /// [`RebuildError`].
    async fn end(&mut self) -> Result<(), RebuildError>;
}

/// Makes the read models of accounts, orders and postings anew beside the live ones while commands
/// go on, compares, and replaces what differs in one step. Needs the memory of one page of events.
pub struct Rebuild {
    books: Arc<dyn Books>,
    shadows: Arc<dyn Shadows>,
    reads: Reads,
}

impl Rebuild {
    /// Rebuilds what follows from these books. Replies that are outdated are dropped through `reads`.
    pub fn new(books: Arc<dyn Books>, shadows: Arc<dyn Shadows>, reads: Reads) -> Self {
        Self { books, shadows, reads }
    }

    /// Does it.
    ///
    /// # Errors
    /// [`RebuildError`]; the live read models are as they were.
    pub async fn run(
        &self,
        replace: Replace,
        watcher: &dyn Watcher,
    ) -> Result<Rebuilt, RebuildError> {
        let mut shadow = self.shadows.begin().await?;
        let ended = self.rebuild(&mut *shadow, replace, watcher).await;
        let removed = shadow.end().await;
        let rebuilt = ended?;
        removed?;
        Ok(rebuilt)
    }

    async fn rebuild(
        &self,
        shadow: &mut dyn Shadow,
        replace: Replace,
        watcher: &dyn Watcher,
    ) -> Result<Rebuilt, RebuildError> {
        let mut head = self.copy(shadow, watcher).await?;
        head = catch_up(shadow, head).await?;
        shadow.compare().await?;
        head = catch_up(shadow, head).await?;
        shadow.lock().await?;
        head = catch_up(shadow, head).await?;
        let mut rebuilt = shadow.replace(replace).await?;
        rebuilt.events = head.get();
        rebuilt.uncached = self.drop_replies(shadow).await?;
        Ok(rebuilt)
    }

    /// Folds the log as it is at one moment; answers where it ended.
    async fn copy(
        &self,
        shadow: &mut dyn Shadow,
        watcher: &dyn Watcher,
    ) -> Result<Position, RebuildError> {
        let mut snapshot = self.books.snapshot().await?;
        // Without gaps, there are as many events as the last one's position says.
        let all = snapshot.count().await?;
        undamaged(snapshot.check(Check::Positions).await?)?;
        let (mut fold, mut after, mut done) = (Fold::default(), None::<(StreamId, Version)>, 0);
        loop {
            let events = snapshot.read(after.as_ref(), PAGE).await?;
            let Some(last) = events.last() else { break };
            after = Some((last.stream.clone(), last.version));
            done += u64::try_from(events.len()).unwrap_or_default();
            let (page, broken) = fold.page(&events);
            undamaged(broken)?;
            shadow.write(&page).await?;
            watcher.progress(done, all);
        }
        shadow.write(&fold.finish()).await?;
        Ok(Position::new(all))
    }

    /// Drops the replies that what was replaced may have left in the cache; answers how many could
    /// not be dropped.
    async fn drop_replies(&self, shadow: &mut dyn Shadow) -> Result<u64, RebuildError> {
        let (mut offset, mut failed) = (0, 0);
        loop {
            let stale = shadow.stale(offset, STALE).await?;
            if stale.is_empty() {
                return Ok(failed);
            }
            offset += u64::try_from(stale.len()).unwrap_or_default();
            for one in stale {
                if !self.reads.replaced(one).await {
                    failed += 1;
                }
            }
        }
    }
}

/// Follows the log to its end.
async fn catch_up(shadow: &mut dyn Shadow, mut head: Position) -> Result<Position, RebuildError> {
    loop {
        let events = shadow.events(head, PAGE).await?;
        let Some(last) = events.last() else { return Ok(head) };
        head = last.position;
        let (mut accounts, mut orders) = (HashSet::new(), HashSet::new());
        for event in &events {
            match stream_of(&event.stream) {
                Some(ReadModel::Account(id)) => drop(accounts.insert(id)),
                Some(ReadModel::Order(id)) => drop(orders.insert(id)),
                None => {}
            }
        }
        let accounts = shadow.accounts(&accounts.into_iter().collect::<Vec<_>>()).await?;
        let orders = shadow.orders(&orders.into_iter().collect::<Vec<_>>()).await?;
        let (page, broken) = follow(accounts, orders, &events);
        undamaged(broken)?;
        shadow.write(&page).await?;
        if events.len() < usize::try_from(PAGE).unwrap_or(usize::MAX) {
            return Ok(head);
        }
    }
}

fn undamaged(found: Vec<Difference>) -> Result<(), RebuildError> {
    found.into_iter().next().map_or(Ok(()), |first| Err(RebuildError::Damaged(first)))
}
