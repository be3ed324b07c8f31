//! What is known of tasks.

use async_trait::async_trait;
use daybook_events::{
    Doubled, HolderId, Overdue, Placed, Position, Priority, QueueError, Task, TaskCursor, TaskId,
    TaskPage, TaskRepository, TaskState, Timestamp, UniqueName, UniqueTask,
};
use sea_orm::sea_query::{Expr, ExprTrait, Func, LockType, SimpleExpr};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseBackend, DatabaseTransaction, DbErr, EntityTrait,
    PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Statement, Value,
};
use uuid::Uuid;

use crate::Database;
use crate::accounts::{restored, stored};
use crate::entities::task::{Column, Entity, Model};
use crate::error::Fault;
use crate::insert::padded;
use crate::leasing::{is_abandoned, is_waiting};
use crate::list::{Newest, Readable, sizes};
use crate::owners;
use crate::task_rows::{restore, restore_placed, restore_unique};

/// How many names are looked up at a time: `SQLite` joins no more than 500 parts.
const NAMES: usize = 64;

#[async_trait]
impl TaskRepository for Database {
    async fn find(&self, id: TaskId) -> Result<Option<Task>, QueueError> {
        let found = Entity::find_by_id(id.uuid()).one(&self.readers).await.map_err(Fault::from)?;
        Ok(found.map(restore).transpose()?)
    }

    async fn find_each(&self, ids: &[TaskId]) -> Result<Vec<Task>, QueueError> {
        Ok(self.tasks(ids).await?.into_iter().map(restore).collect::<Result<_, _>>()?)
    }

    async fn find_all(&self, ids: &[TaskId]) -> Result<Vec<Task>, QueueError> {
        Ok(readable(self.tasks(ids).await?))
    }

    async fn overdue(&self, overdue: &Overdue, limit: u32) -> Result<Vec<Task>, QueueError> {
        let found = Entity::find()
            .filter(is_overdue(overdue.before))
            .filter(may_be_put_back(overdue))
            .order_by_asc(Column::RunAt)
            .limit(u64::from(limit))
            .all(&self.readers)
            .await;
        Ok(readable(found.map_err(Fault::from)?))
    }

    async fn count_overdue(&self, before: Timestamp) -> Result<u64, QueueError> {
        let count = Entity::find().filter(is_overdue(before)).count(&self.readers).await;
        Ok(count.map_err(Fault::from)?)
    }

    async fn note_put_back(&self, ids: &[TaskId], at: Timestamp) -> Result<(), QueueError> {
        let mut ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
        ids.sort_unstable();
        let noted = self.writer.bounded(async {
            let transaction = self.begin().await?;
            lock(&transaction, &ids).await?;
            Entity::update_many()
                .col_expr(Column::PutBackAt, Expr::value(at.micros()))
                .filter(Column::Id.is_in(padded(ids)))
                .exec(&transaction)
                .await?;
            transaction.commit().await
        });
        Ok(noted.await.map_err(Fault::from)?)
    }

    async fn count_waiting(
        &self,
        owners: &[HolderId],
        priorities: &[Priority],
        due_by: Timestamp,
        most: u32,
    ) -> Result<Vec<u64>, QueueError> {
        owners::waiting(&self.readers, owners, priorities, due_by, most).await
    }

    async fn find_unique(
        &self,
        names: &[UniqueName],
    ) -> Result<Vec<(UniqueName, UniqueTask)>, QueueError> {
        let mut found = Vec::new();
        for names in names.chunks(NAMES) {
            let statement = latest(names, self.readers.get_database_backend());
            let rows = Entity::find().from_raw_sql(statement).all(&self.readers).await;
            for row in rows.map_err(Fault::from)? {
                found.push(restore_unique(&row)?);
            }
        }
        Ok(found)
    }

    async fn list(&self, page: &TaskPage) -> Result<Vec<Placed<Task>>, QueueError> {
        let (mut page, mut readable) = (page.clone(), Readable::new(page.limit, page.bytes));
        let backend = self.readers.get_database_backend();
        loop {
            let sizes = async |limit| {
                let page = TaskPage { limit, ..page.clone() };
                sizes(&self.readers, listed(&page, SIZED, backend)?).await
            };
            let next = readable.next(sizes).await?;
            page.limit = next.rows;
            let statement = listed(&page, "*", backend)?;
            let rows = Entity::find().from_raw_sql(statement).all(&self.readers).await;
            let rows = rows.map_err(Fault::from)?;
            page.after = rows.last().map(cursor).transpose()?;
            let size = |row: &Model| row.payload.len() + row.history.len() / 2;
            if readable.take(rows, &next, size, restore_placed)? {
                return Ok(readable.into_page());
            }
        }
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
                // What is discarded and was due later may have a message that waits until then.
                .filter(Column::RunAt.lt(before.micros()))
                // While it rules out another, it has to be known.
                .filter(Column::UniqueUntil.is_null().or(Column::UniqueUntil.lt(before.micros())))
                .limit(u64::from(limit))
                .into_tuple()
                .all(&transaction)
                .await?;
            lock(&transaction, &old).await?;
            let deleted =
                Entity::delete_many().filter(Column::Id.is_in(old)).exec(&transaction).await?;
            transaction.commit().await?;
            Ok::<_, DbErr>(deleted.rows_affected)
        });
        Ok(forgotten.await.map_err(Fault::from)?)
    }
}

impl Database {
    async fn tasks(&self, ids: &[TaskId]) -> Result<Vec<Model>, Fault> {
        let ids = padded(ids.iter().map(|id| id.uuid()).collect());
        let found = Entity::find().filter(Column::Id.is_in(ids)).all(&self.readers).await;
        found.map_err(Fault::from)
    }
}

/// The last row of each name, which the index of the names has at hand. One statement reads one row for
/// each, however many tasks had the name before.
fn latest(names: &[UniqueName], backend: DatabaseBackend) -> Statement {
    let names = padded(names.to_vec());
    let last_of = |number: usize| {
        let [key, owner, kind] = [1, 2, 3].map(|place| number * 3 + place);
        format!(
            "SELECT * FROM (SELECT * FROM tasks WHERE unique_key = ${key} AND owner_id = ${owner} \
             AND kind = ${kind} ORDER BY unique_number DESC LIMIT 1) AS of_{number}"
        )
    };
    let sql = (0..names.len()).map(last_of).collect::<Vec<_>>().join(" UNION ALL ");
    let values = names.into_iter().flat_map(|UniqueName { owner, kind, key }| {
        let (key, kind) = (key.as_str().to_owned(), kind.as_str().to_owned());
        [Value::from(key), owner.uuid().into(), kind.into()]
    });
    Statement::from_sql_and_values(backend, sql, values)
}

fn cursor(row: &Model) -> Result<TaskCursor, Fault> {
    let position = Position::new(restored(row.position)?);
    Ok(TaskCursor { position, id: TaskId::from_uuid(row.id) })
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

/// The size of a row: no more than it takes where it is shown.
pub(crate) const SIZED: &str = "position,id,OCTET_LENGTH(payload)+OCTET_LENGTH(history)/2 AS size";

pub(crate) fn listed(
    page: &TaskPage,
    columns: &str,
    backend: DatabaseBackend,
) -> Result<Statement, Fault> {
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
        columns,
    };
    Ok(newest.statement(backend))
}

/// What nobody has taken although it was due before an instant, or whose lease was over before it.
fn is_overdue(before: Timestamp) -> SimpleExpr {
    is_waiting(before).or(is_abandoned(before))
}

fn may_be_put_back(overdue: &Overdue) -> SimpleExpr {
    let put_back = || Expr::col(Column::PutBackAt);
    let mut waited = put_back().lt(overdue.put_back_before.micros());
    if let Some(Doubled { now, longest }) = overdue.doubled {
        let due = Func::coalesce([Expr::col(Column::LeaseUntil), Expr::col(Column::RunAt)]);
        let doubled = put_back().mul(2).sub(due).lt(now.micros());
        waited = waited.and(doubled.or(put_back().lt(longest.micros())));
    }
    put_back().is_null().or(waited)
}

/// Locks the rows of these tasks in the order of their ids, as everyone does who locks several.
async fn lock(transaction: &DatabaseTransaction, ids: &[Uuid]) -> Result<(), DbErr> {
    Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::Id.is_in(padded(ids.to_vec())))
        .order_by_asc(Column::Id)
        .lock(LockType::Update)
        .into_tuple::<Uuid>()
        .all(transaction)
        .await
        .map(drop)
}
