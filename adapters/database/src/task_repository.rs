//! What is known of tasks.

use async_trait::async_trait;
use daybook_events::{
    HolderId, Placed, QueueError, Task, TaskCursor, TaskId, TaskKind, TaskPage, TaskRepository,
    TaskState, Timestamp, UniqueKey, UniqueTask,
};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseBackend, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, Statement,
};
use uuid::Uuid;

use crate::Database;
use crate::accounts::stored;
use crate::entities::task::{Column, Entity, Model};
use crate::error::Fault;
use crate::insert::padded;
use crate::leasing::is_abandoned;
use crate::list::Newest;
use crate::task_rows::{restore, restore_placed, restore_unique};

#[async_trait]
impl TaskRepository for Database {
    async fn find(&self, id: TaskId) -> Result<Option<Task>, QueueError> {
        let found = Entity::find_by_id(id.uuid()).one(&self.readers).await.map_err(Fault::from)?;
        Ok(found.map(restore).transpose()?)
    }

    async fn find_all(&self, ids: &[TaskId]) -> Result<Vec<Task>, QueueError> {
        let ids = padded(ids.iter().map(|id| id.uuid()).collect());
        let found = Entity::find().filter(Column::Id.is_in(ids)).all(&self.readers).await;
        Ok(readable(found.map_err(Fault::from)?))
    }

    async fn overdue(&self, before: Timestamp, limit: u32) -> Result<Vec<Task>, QueueError> {
        let waited = Column::State
            .eq(TaskState::Queued.as_str())
            .and(Column::RunAt.lt(before.micros()))
            .and(Expr::col(Column::RunAt).gt(Expr::col(Column::CreatedAt)));
        let found = Entity::find()
            .filter(waited.or(is_abandoned(before)))
            .order_by_asc(Column::RunAt)
            .limit(u64::from(limit))
            .all(&self.readers)
            .await;
        Ok(readable(found.map_err(Fault::from)?))
    }

    async fn find_unique(
        &self,
        owner: HolderId,
        kind: &TaskKind,
        key: &UniqueKey,
    ) -> Result<Option<UniqueTask>, QueueError> {
        let found = Entity::find()
            .filter(Column::UniqueKey.eq(key.as_str()))
            .filter(Column::OwnerId.eq(owner.uuid()))
            .filter(Column::Kind.eq(kind.as_str()))
            .order_by_desc(Column::UniqueNumber)
            .limit(1)
            .one(&self.readers)
            .await;
        Ok(found.map_err(Fault::from)?.as_ref().map(restore_unique).transpose()?)
    }

    async fn list(&self, page: &TaskPage) -> Result<Vec<Placed<Task>>, QueueError> {
        let statement = listed(page, self.readers.get_database_backend())?;
        let found = Entity::find().from_raw_sql(statement).all(&self.readers).await;
        Ok(found.map_err(Fault::from)?.into_iter().map(restore_placed).collect::<Result<_, _>>()?)
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
                // It was made before it was finished; that there is an index of.
                .filter(Column::CreatedAt.lt(before.micros()))
                // While it rules out another, it has to be known.
                .filter(Column::UniqueUntil.is_null().or(Column::UniqueUntil.lt(before.micros())))
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

/// Those of the tasks that can be read: the others are not to hold them up.
fn readable(rows: Vec<Model>) -> Vec<Task> {
    let read = |row: Model| {
        let id = row.id;
        restore(row)
            .inspect_err(|fault| tracing::error!(task = %id, ?fault, "a task can't be read"))
            .ok()
    };
    rows.into_iter().filter_map(read).collect()
}

pub(crate) fn listed(page: &TaskPage, backend: DatabaseBackend) -> Result<Statement, Fault> {
    let all = TaskState::ALL.map(TaskState::as_str);
    let one = page.state.map(TaskState::as_str);
    let before = match page.after {
        Some(TaskCursor { position, id }) => (stored(position.get())?, id.uuid()),
        None => (i64::MAX, Uuid::nil()),
    };
    let newest = Newest {
        table: "tasks",
        owner_column: "owner_id",
        owner: page.owner.map(HolderId::uuid),
        state_column: "state",
        states: one.as_ref().map_or(&all[..], std::slice::from_ref),
        key: "position,id",
        before: vec![before.0.into(), before.1.into()],
        limit: page.limit,
    };
    Ok(newest.statement(backend))
}
