//! The task queue, and what is known of tasks.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use daybook_events::{
    Claim, Claimed, Clock, HolderId, Lease, LeaseLost, NewTask, QueueError, Task, TaskCursor,
    TaskId, TaskPage, TaskQueue, TaskRecords, TaskRepository, TaskState, Timestamp, Version,
};
use sea_orm::sea_query::{Expr, ExprTrait, LockBehavior, LockType};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, Select, UpdateMany,
};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::Database;
use crate::accounts::{restored, stored};
use crate::completions::Completions;
use crate::entities::task::{Column, Entity, Model};
use crate::error::Fault;
use crate::insert::padded;
use crate::journal::{TASKS, task_values};

/// A queue in the database.
#[derive(Clone)]
pub struct DatabaseQueue {
    database: Database,
    clock: Arc<dyn Clock>,
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
        Self { database, clock, completions }
    }

    /// Whether there is a task to be leased.
    async fn is_due(&self, now: Timestamp) -> Result<bool, Fault> {
        let readers = &self.database.readers;
        Ok(Entity::find().filter(is_waiting(now)).one(readers).await?.is_some()
            || Entity::find().filter(is_abandoned(now)).one(readers).await?.is_some())
    }

    /// The rows of claimed tasks, locked; those that are not known are recorded first.
    async fn recorded(
        &self,
        transaction: &DatabaseTransaction,
        claims: &[Claim],
    ) -> Result<HashMap<Uuid, Model>, Fault> {
        let mut known = locked(transaction, claims.iter().map(|claim| &claim.task)).await?;
        let unknown: Vec<_> = claims
            .iter()
            .map(|claim| &claim.task)
            .filter(|task| !known.contains_key(&task.id.uuid()))
            .collect();
        if !unknown.is_empty() {
            let rows: HashMap<Uuid, _> =
                unknown.iter().map(|task| (task.id.uuid(), task_values(task, 0))).collect();
            TASKS.run(transaction, rows.into_values().collect()).await?;
            known.extend(locked(transaction, unknown).await?);
        }
        Ok(known)
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
        let rows = tasks.iter().map(|task| task_values(task, 0)).collect();
        let written = self.database.writer.bounded(async {
            let transaction = self.database.begin().await?;
            TASKS.run(&transaction, rows).await?;
            self.database.engine.tell_workers(&transaction).await?;
            transaction.commit().await
        });
        Ok(written.await.map_err(Fault::from)?)
    }

    async fn lease(&self, limit: u32, term: Duration) -> Result<Vec<Lease>, QueueError> {
        let now = self.clock.now();
        // Looked for without the write lock first: an idle worker disturbs nobody.
        if !self.is_due(now).await? {
            return Ok(Vec::new());
        }
        let leased_now = self.database.writer.bounded(async {
            let transaction = self.database.begin().await?;
            let mut tasks = abandoned(now, limit).all(&transaction).await?;
            let left = limit.saturating_sub(u32::try_from(tasks.len()).unwrap_or(u32::MAX));
            if left > 0 {
                tasks.extend(waiting(now, left).all(&transaction).await?);
            }
            lease_rows(&transaction, &tasks, now.plus(term)).await?;
            transaction.commit().await?;
            Ok::<_, Fault>(tasks)
        });
        Ok(leased_now.await?.into_iter().map(leased).collect::<Result<_, _>>()?)
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
        let released = self.settle(lease, back).await?;
        self.database.engine.tell_workers(&self.database.writer).await.map_err(Fault::from)?;
        Ok(released)
    }

    async fn backlog(&self) -> Result<u64, QueueError> {
        let (readers, now) = (&self.database.readers, self.clock.now());
        let waiting = Entity::find().filter(is_waiting(now)).count(readers).await;
        let abandoned = Entity::find().filter(is_abandoned(now)).count(readers).await;
        Ok(waiting.map_err(Fault::from)? + abandoned.map_err(Fault::from)?)
    }

    async fn check(&self) -> Result<(), QueueError> {
        let asked = self.database.readers.execute_unprepared("SELECT 1").await;
        asked.map(drop).map_err(|error| Fault::from(error).into())
    }
}

#[async_trait]
impl TaskRecords for DatabaseQueue {
    async fn claim(&self, claims: &[Claim], term: Duration) -> Result<Vec<Claimed>, QueueError> {
        let now = self.clock.now();
        let claimed = self.database.writer.bounded(async {
            let transaction = self.database.begin().await?;
            let known = self.recorded(&transaction, claims).await?;
            let mut taken = HashSet::new();
            let verdicts: Vec<_> = claims
                .iter()
                .map(|claim| {
                    let id = claim.task.id.uuid();
                    let row =
                        known.get(&id).ok_or_else(|| Fault::corrupt("a task was not recorded"))?;
                    if taken.contains(&id) {
                        return Ok(Claimed::Held);
                    }
                    let verdict = judge(row, claim.again, now)?;
                    if matches!(verdict, Claimed::Leased(_)) {
                        taken.insert(id);
                    }
                    Ok::<_, Fault>(verdict)
                })
                .collect::<Result<_, _>>()?;
            lease_rows(
                &transaction,
                known.values().filter(|row| taken.contains(&row.id)),
                now.plus(term),
            )
            .await?;
            transaction.commit().await?;
            Ok::<_, Fault>(verdicts)
        });
        Ok(claimed.await?)
    }
}

#[async_trait]
impl TaskRepository for Database {
    async fn find(&self, id: TaskId) -> Result<Option<Task>, QueueError> {
        let found = Entity::find_by_id(id.uuid()).one(&self.readers).await.map_err(Fault::from)?;
        Ok(found.map(restore).transpose()?)
    }

    async fn find_all(&self, ids: &[TaskId]) -> Result<Vec<Task>, QueueError> {
        let ids = padded(ids.iter().map(|id| id.uuid()).collect());
        let found = Entity::find().filter(Column::Id.is_in(ids)).all(&self.readers).await;
        Ok(found.map_err(Fault::from)?.into_iter().map(restore).collect::<Result<_, _>>()?)
    }

    async fn overdue(&self, before: Timestamp, limit: u32) -> Result<Vec<Task>, QueueError> {
        let found = Entity::find()
            .filter(Column::State.eq(TaskState::Queued.as_str()))
            .filter(Column::RunAt.lt(before.micros()))
            .filter(Expr::col(Column::RunAt).gt(Expr::col(Column::CreatedAt)))
            .order_by_asc(Column::RunAt)
            .limit(u64::from(limit))
            .all(&self.readers)
            .await;
        Ok(found.map_err(Fault::from)?.into_iter().map(restore).collect::<Result<_, _>>()?)
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
        let forgotten = self.writer.bounded(async {
            let transaction = self.begin().await?;
            let old: Vec<Uuid> = Entity::find()
                .select_only()
                .column(Column::Id)
                .filter(
                    Column::State
                        .is_in([TaskState::Done, TaskState::Discarded].map(TaskState::as_str)),
                )
                .filter(Column::FinishedAt.lt(before.micros()))
                .limit(u64::from(limit))
                .into_tuple()
                .all(&transaction)
                .await?;
            let deleted =
                Entity::delete_many().filter(Column::Id.is_in(old)).exec(&transaction).await?;
            transaction.commit().await?;
            Ok::<_, DbErr>(deleted.rows_affected)
        });
        Ok(forgotten.await.map_err(Fault::from)?)
    }
}

const NO_INSTANT: Option<i64> = None;

fn is_waiting(now: Timestamp) -> sea_orm::sea_query::SimpleExpr {
    Column::State.eq(TaskState::Queued.as_str()).and(Column::RunAt.lte(now.micros()))
}

fn is_abandoned(now: Timestamp) -> sea_orm::sea_query::SimpleExpr {
    Column::State.eq(TaskState::Running.as_str()).and(Column::LeaseUntil.lt(now.micros()))
}

/// Tasks whose time has come, earliest first. Those that another worker is just taking are
/// skipped; on SQLite there can be none.
fn waiting(now: Timestamp, limit: u32) -> Select<Entity> {
    taken(Entity::find().filter(is_waiting(now)).order_by_asc(Column::RunAt), limit)
}

/// Tasks whose worker has not been heard of, earliest first.
fn abandoned(now: Timestamp, limit: u32) -> Select<Entity> {
    taken(Entity::find().filter(is_abandoned(now)).order_by_asc(Column::RunAt), limit)
}

fn taken(tasks: Select<Entity>, limit: u32) -> Select<Entity> {
    tasks
        .order_by_asc(Column::Id)
        .limit(u64::from(limit))
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
}

/// The rows of these tasks that are there, locked in the order of their ids, as everyone does it.
async fn locked(
    transaction: &DatabaseTransaction,
    tasks: impl IntoIterator<Item = &NewTask>,
) -> Result<HashMap<Uuid, Model>, Fault> {
    let ids = padded(tasks.into_iter().map(|task| task.id.uuid()).collect());
    let rows = Entity::find()
        .filter(Column::Id.is_in(ids))
        .order_by_asc(Column::Id)
        .lock(LockType::Update)
        .all(transaction)
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// Notes the leases of these rows.
async fn lease_rows(
    transaction: &DatabaseTransaction,
    rows: impl IntoIterator<Item = &Model>,
    until: Timestamp,
) -> Result<(), Fault> {
    let ids: Vec<_> = rows.into_iter().map(|row| row.id).collect();
    if ids.is_empty() {
        return Ok(());
    }
    Entity::update_many()
        .col_expr(Column::State, Expr::value(TaskState::Running.as_str()))
        .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
        .col_expr(Column::LeaseToken, Expr::col(Column::LeaseToken).add(1))
        .col_expr(Column::LeaseUntil, Expr::value(until.micros()))
        .filter(Column::Id.is_in(padded(ids)))
        .exec(transaction)
        .await?;
    Ok(())
}

/// Whether a task that was handed out can be leased.
fn judge(row: &Model, again: bool, now: Timestamp) -> Result<Claimed, Fault> {
    let state = TaskState::from_name(&row.state)
        .ok_or_else(|| Fault::corrupt("an unknown state of a task"))?;
    Ok(match state {
        TaskState::Done | TaskState::Dead | TaskState::Discarded => Claimed::Finished,
        TaskState::Queued if row.run_at > now.micros() => {
            Claimed::NotDue(Timestamp::from_micros(row.run_at))
        }
        TaskState::Running
            if !again && row.lease_until.is_some_and(|until| until >= now.micros()) =>
        {
            Claimed::Held
        }
        TaskState::Queued | TaskState::Running => Claimed::Leased(leased(row.clone())?),
    })
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
