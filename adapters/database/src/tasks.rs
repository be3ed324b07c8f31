//! The task queue.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use daybook_events::{
    Clock, Lease, LeaseLost, NewTask, QueueError, Room, TaskQueue, TaskState, Timestamp,
};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, UpdateMany};

use crate::Database;
use crate::accounts::stored;
use crate::completions::Completions;
use crate::entities::task::{Column, Entity};
use crate::error::Fault;
use crate::journal::{TASKS, head, task_values};
use crate::leasing::{self, Turns, has_room, is_abandoned, is_ahead, is_waiting};
use crate::owners::LastServed;
use crate::task_rows::stored_history;

/// A queue in the database.
#[derive(Clone)]
pub struct DatabaseQueue {
    pub(crate) database: Database,
    pub(crate) clock: Arc<dyn Clock>,
    /// How many tasks were leased so far: it says whose turn is next.
    turns: Arc<AtomicU64>,
    /// Whose task was leased last.
    last: LastServed,
    /// Whether this process takes no more tasks.
    withdrawn: Arc<AtomicBool>,
    completions: Completions,
}

impl fmt::Debug for DatabaseQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseQueue").finish_non_exhaustive()
    }
}

impl DatabaseQueue {
    /// The queue in this database; the clock says what is due and which leases have expired.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn new(database: Database, clock: Arc<dyn Clock>) -> Self {
        let completions = Completions::new(database.writer.clone(), Arc::clone(&clock));
        let (turns, last, withdrawn) = Default::default();
        Self { database, clock, turns, last, withdrawn, completions }
    }

    /// Whether there is a task to be leased.
    async fn is_due(&self, now: Timestamp, room: &Room) -> Result<bool, Fault> {
        let readers = &self.database.readers;
        for due in [is_waiting(now), is_abandoned(now), is_ahead(now)] {
            if Entity::find().filter(due).filter(has_room(room)).one(readers).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The stored history of a task whose present attempt has failed.
    fn history_with(&self, lease: &Lease, reason: &str) -> Result<String, Fault> {
        stored_history(&lease.failed(self.clock.now(), reason))
    }

    /// Changes a task for the holder of its lease.
    async fn settle(
        &self,
        lease: &Lease,
        change: UpdateMany<Entity>,
    ) -> Result<Result<(), LeaseLost>, QueueError> {
        let token = stored(lease.token)?;
        let changed = change
            .filter(Column::Id.eq(lease.task_id.uuid()))
            .filter(Column::State.eq(TaskState::Running.as_str()))
            .filter(Column::LeaseToken.eq(token))
            .exec(&self.database.writer)
            .await
            .map_err(Fault::from)?;
        Ok(if changed.rows_affected == 1 { Ok(()) } else { Err(LeaseLost) })
    }
}

#[async_trait]
impl TaskQueue for DatabaseQueue {
    async fn enqueue(&self, tasks: &[NewTask]) -> Result<(), QueueError> {
        let written = self.database.writer.bounded(async {
            let transaction = self.database.begin().await?;
            let head = head(&transaction).await?;
            let rows = tasks.iter().map(|task| task_values(task, 0, head));
            TASKS.run(&transaction, rows.collect::<Result<_, Fault>>()?).await?;
            self.database.engine.tell_workers(&transaction).await?;
            Ok::<_, Fault>(transaction.commit().await?)
        });
        Ok(written.await?)
    }

    async fn lease(&self, room: &Room, term: Duration) -> Result<Vec<Lease>, QueueError> {
        let now = self.clock.now();
        // Looked for without the write lock first: an idle worker disturbs nobody.
        if self.withdrawn.load(Ordering::Relaxed) || !self.is_due(now, room).await? {
            return Ok(Vec::new());
        }
        let leased_now = self.database.writer.bounded(async {
            let transaction = self.database.begin().await?;
            let turns = Turns { first: self.turns.load(Ordering::Relaxed), last: &self.last };
            let leases = leasing::lease(&transaction, room.clone(), &turns, now, term).await?;
            transaction.commit().await?;
            Ok::<_, Fault>(leases)
        });
        let leases = leased_now.await?;
        let taken = u64::try_from(leases.len()).unwrap_or(u64::MAX);
        self.turns.fetch_add(taken, Ordering::Relaxed);
        Ok(leases)
    }

    async fn extend(
        &self,
        lease: &Lease,
        term: Duration,
    ) -> Result<Result<(), LeaseLost>, QueueError> {
        let until = self.clock.now().plus(term).micros();
        self.settle(lease, Entity::update_many().col_expr(Column::LeaseUntil, Expr::value(until)))
            .await
    }

    async fn complete(&self, lease: &Lease) -> Result<Result<(), LeaseLost>, QueueError> {
        self.completions.note(lease).await
    }

    async fn retry(
        &self,
        lease: &Lease,
        reason: &str,
        at: Timestamp,
    ) -> Result<Result<(), LeaseLost>, QueueError> {
        let queued = queued()
            .col_expr(Column::LastError, Expr::value(reason))
            .col_expr(Column::History, Expr::value(self.history_with(lease, reason)?))
            .col_expr(Column::RunAt, Expr::value(at.micros()));
        self.settle(lease, queued).await
    }

    async fn bury(&self, lease: &Lease, reason: &str) -> Result<Result<(), LeaseLost>, QueueError> {
        let dead = finished(TaskState::Dead, self.clock.now())
            .col_expr(Column::LastError, Expr::value(reason))
            .col_expr(Column::History, Expr::value(self.history_with(lease, reason)?));
        self.settle(lease, dead).await
    }

    async fn release(&self, lease: &Lease) -> Result<Result<(), LeaseLost>, QueueError> {
        let back = queued().col_expr(Column::Attempts, Expr::col(Column::Attempts).sub(1));
        let released = self.settle(lease, back).await?;
        self.database.engine.tell_workers(&self.database.writer).await.map_err(Fault::from)?;
        Ok(released)
    }

    async fn withdraw(&self) {
        // Nothing was handed out ahead.
        self.withdrawn.store(true, Ordering::Relaxed);
    }

    async fn backlog(&self) -> Result<u64, QueueError> {
        let (readers, now) = (&self.database.readers, self.clock.now());
        let mut backlog = 0;
        for due in [is_waiting(now), is_abandoned(now), is_ahead(now)] {
            backlog += Entity::find().filter(due).count(readers).await.map_err(Fault::from)?;
        }
        Ok(backlog)
    }

    async fn check(&self) -> Result<(), QueueError> {
        let asked = self.database.readers.execute_unprepared("SELECT 1").await;
        asked.map(drop).map_err(|error| Fault::from(error).into())
    }
}

const NO_INSTANT: Option<i64> = None;

fn queued() -> UpdateMany<Entity> {
    Entity::update_many()
        .col_expr(Column::State, Expr::value(TaskState::Queued.as_str()))
        .col_expr(Column::LeaseUntil, Expr::value(NO_INSTANT))
}

fn finished(state: TaskState, at: Timestamp) -> UpdateMany<Entity> {
    Entity::update_many()
        .col_expr(Column::State, Expr::value(state.as_str()))
        .col_expr(Column::FinishedAt, Expr::value(at.micros()))
        .col_expr(Column::LeaseUntil, Expr::value(NO_INSTANT))
}
