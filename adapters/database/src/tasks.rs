//! The task queue, and what is known of tasks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use daybook_events::{
    Clock, HolderId, Lease, LeaseLost, NewTask, QueueError, Task, TaskCursor, TaskId, TaskPage,
    TaskQueue, TaskRepository, TaskState, Timestamp, Version,
};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, TransactionTrait,
    UpdateMany,
};
use serde_json::value::RawValue;

use crate::Database;
use crate::accounts::{restored, stored};
use crate::entities::task::{Column, Entity, Model};
use crate::error::Fault;
use crate::journal::{TASKS, task_values};

/// A queue in the database.
#[derive(Clone)]
pub struct DatabaseQueue {
    database: Database,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for DatabaseQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseQueue").finish_non_exhaustive()
    }
}

impl DatabaseQueue {
    /// The queue in this database; the clock says what is due and which leases have expired.
    pub fn new(database: Database, clock: Arc<dyn Clock>) -> Self {
        Self { database, clock }
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
        let transaction = self.database.begin().await.map_err(Fault::from)?;
        let rows = tasks.iter().map(|task| task_values(task, 0)).collect();
        TASKS.run(&transaction, rows).await.map_err(Fault::from)?;
        Ok(transaction.commit().await.map_err(Fault::from)?)
    }

    async fn lease(&self, limit: u32, term: Duration) -> Result<Vec<Lease>, QueueError> {
        let now = self.clock.now();
        // Looked for without the write lock first: an idle worker disturbs nobody.
        if due(now, 1).one(&self.database.readers).await.map_err(Fault::from)?.is_none() {
            return Ok(Vec::new());
        }
        let transaction = self.database.begin().await.map_err(Fault::from)?;
        let tasks = due(now, limit).all(&transaction).await.map_err(Fault::from)?;
        Entity::update_many()
            .col_expr(Column::State, Expr::value(TaskState::Running.as_str()))
            .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
            .col_expr(Column::LeaseToken, Expr::col(Column::LeaseToken).add(1))
            .col_expr(Column::LeaseUntil, Expr::value(now.plus(term).micros()))
            .filter(Column::Id.is_in(tasks.iter().map(|task| task.id)))
            .exec(&transaction)
            .await
            .map_err(Fault::from)?;
        transaction.commit().await.map_err(Fault::from)?;
        Ok(tasks.into_iter().map(leased).collect::<Result<_, _>>()?)
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
        let done = finished(TaskState::Done, self.clock.now())
            .col_expr(Column::LastError, Expr::value(NO_TEXT));
        self.settle(lease, done).await
    }

    async fn retry(
        &self,
        lease: &Lease,
        reason: &str,
        at: Timestamp,
    ) -> Result<Result<(), LeaseLost>, QueueError> {
        let queued = queued()
            .col_expr(Column::LastError, Expr::value(reason))
            .col_expr(Column::RunAt, Expr::value(at.micros()));
        self.settle(lease, queued).await
    }

    async fn bury(&self, lease: &Lease, reason: &str) -> Result<Result<(), LeaseLost>, QueueError> {
        let dead = finished(TaskState::Dead, self.clock.now())
            .col_expr(Column::LastError, Expr::value(reason));
        self.settle(lease, dead).await
    }

    async fn release(&self, lease: &Lease) -> Result<Result<(), LeaseLost>, QueueError> {
        let back = queued().col_expr(Column::Attempts, Expr::col(Column::Attempts).sub(1));
        self.settle(lease, back).await
    }
}

#[async_trait]
impl TaskRepository for Database {
    async fn find(&self, id: TaskId) -> Result<Option<Task>, QueueError> {
        let found = Entity::find_by_id(id.uuid()).one(&self.readers).await.map_err(Fault::from)?;
        Ok(found.map(restore).transpose()?)
    }

    async fn list(&self, page: &TaskPage) -> Result<Vec<Task>, QueueError> {
        let mut query = Entity::find();
        if let Some(owner) = page.owner {
            query = query.filter(Column::OwnerId.eq(owner.uuid()));
        }
        if let Some(state) = page.state {
            query = query.filter(Column::State.eq(state.as_str()));
        }
        if let Some(TaskCursor(after)) = page.after {
            query = query.filter(Column::Id.lt(after.uuid()));
        }
        let found =
            query.order_by_desc(Column::Id).limit(u64::from(page.limit)).all(&self.readers).await;
        Ok(found.map_err(Fault::from)?.into_iter().map(restore).collect::<Result<_, _>>()?)
    }

    async fn forget_done(&self, before: Timestamp, limit: u32) -> Result<u64, QueueError> {
        let transaction = self
            .writer
            .begin_with_options(crate::connect::immediate())
            .await
            .map_err(Fault::from)?;
        let old: Vec<sea_orm::prelude::Uuid> = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::State.eq(TaskState::Done.as_str()))
            .filter(Column::FinishedAt.lt(before.micros()))
            .limit(u64::from(limit))
            .into_tuple()
            .all(&transaction)
            .await
            .map_err(Fault::from)?;
        let deleted = Entity::delete_many()
            .filter(Column::Id.is_in(old))
            .exec(&transaction)
            .await
            .map_err(Fault::from)?;
        transaction.commit().await.map_err(Fault::from)?;
        Ok(deleted.rows_affected)
    }
}

const NO_TEXT: Option<String> = None;
const NO_INSTANT: Option<i64> = None;

/// Tasks whose time has come and that no one holds, earliest first.
fn due(now: Timestamp, limit: u32) -> sea_orm::Select<Entity> {
    let waiting = Column::State.eq(TaskState::Queued.as_str()).and(Column::RunAt.lte(now.micros()));
    let abandoned =
        Column::State.eq(TaskState::Running.as_str()).and(Column::LeaseUntil.lt(now.micros()));
    Entity::find()
        .filter(Condition::any().add(waiting).add(abandoned))
        .order_by_asc(Column::RunAt)
        .order_by_asc(Column::Id)
        .limit(u64::from(limit))
}

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

/// The lease that was just written of a task as it was before.
fn leased(row: Model) -> Result<Lease, Fault> {
    Ok(Lease {
        task_id: TaskId::from_uuid(row.id),
        kind: row.kind.parse().map_err(Fault::corrupt)?,
        payload: RawValue::from_string(row.payload).map_err(Fault::corrupt)?,
        attempt: attempts(row.attempts)?.saturating_add(1),
        token: restored(row.lease_token)?.saturating_add(1),
    })
}

fn restore(row: Model) -> Result<Task, Fault> {
    Ok(Task {
        id: TaskId::from_uuid(row.id),
        owner: row.owner_id.map(HolderId::from_uuid),
        kind: row.kind.parse().map_err(Fault::corrupt)?,
        payload: RawValue::from_string(row.payload).map_err(Fault::corrupt)?,
        state: TaskState::from_name(&row.state)
            .ok_or_else(|| Fault::corrupt("an unknown state of a task"))?,
        attempts: attempts(row.attempts)?,
        last_error: row.last_error,
        run_at: Timestamp::from_micros(row.run_at),
        created_at: Timestamp::from_micros(row.created_at),
        finished_at: row.finished_at.map(Timestamp::from_micros),
        version: Version::new(restored(row.version)?),
    })
}

fn attempts(stored: i32) -> Result<u32, Fault> {
    u32::try_from(stored).map_err(Fault::corrupt)
}
