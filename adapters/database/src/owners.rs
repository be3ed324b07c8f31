//! Whose turn it is: of tasks that are as urgent, one of each holder goes after the other.

use std::sync::{Arc, Mutex, PoisonError};

use daybook_events::{HolderId, Priority, QueueError, TaskState, Timestamp};
use sea_orm::sea_query::{ExprTrait, SimpleExpr};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseBackend, EntityTrait, QueryFilter, Statement, Value,
};
use uuid::Uuid;

use crate::entities::task::{Column, Entity};
use crate::error::Fault;
use crate::task_rows::priority_number;

/// How many holders are asked about with one statement.
const AT_ONCE: usize = 50;

/// Who was last, of each priority.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastServed(Arc<Mutex<[Uuid; Priority::ALL.len()]>>);

impl LastServed {
    pub(crate) fn of(&self, priority: Priority) -> Uuid {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.get(place(priority)).copied().unwrap_or_default()
    }

    /// Nobody comes before the first: who is next is the first then.
    pub(crate) fn is(&self, priority: Priority, owner: Option<Uuid>) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = last.get_mut(place(priority)) {
            *last = owner.unwrap_or_default();
        }
    }
}

fn place(priority: Priority) -> usize {
    Priority::ALL.iter().position(|one| *one == priority).unwrap_or_default()
}

/// Tasks of this priority that wait, whether they are due or not, as the index has them: that one who waits
/// has no lease is said, so that no list goes along that index.
fn queued(priority: Priority) -> SimpleExpr {
    let priority = Column::Priority.eq(priority_number(priority));
    Column::State.eq(TaskState::Queued.as_str()).and(Column::LeaseUntil.is_null()).and(priority)
}

/// The owners of tasks that wait, in turn after one, at most so many; nobody is one, too.
pub(crate) async fn in_turn(
    db: &impl ConnectionTrait,
    priority: Priority,
    after: Uuid,
    most: u32,
) -> Result<Vec<Option<Uuid>>, Fault> {
    let mut owners: Vec<Option<Uuid>> =
        behind(db, priority, after, most).await?.into_iter().map(Some).collect();
    let missing = most.saturating_sub(u32::try_from(owners.len()).unwrap_or(u32::MAX));
    if missing == 0 {
        return Ok(owners);
    }
    // Nobody comes behind the last, and then it begins again.
    let of_nobody = Entity::find().filter(queued(priority)).filter(Column::OwnerId.is_null());
    if of_nobody.one(db).await?.is_some() {
        owners.push(None);
    }
    let first = behind(db, priority, Uuid::nil(), missing).await?;
    let is_new = |owner: &Uuid| !owners.contains(&Some(*owner));
    let first: Vec<_> = first.into_iter().filter(is_new).map(Some).collect();
    owners.extend(first);
    Ok(owners)
}

/// The owners behind one, in the order of their ids: the index has the next at hand, however many tasks
/// the one before has.
async fn behind(
    db: &impl ConnectionTrait,
    priority: Priority,
    after: Uuid,
    most: u32,
) -> Result<Vec<Uuid>, Fault> {
    let (state, number) = (TaskState::Queued.as_str(), priority_number(priority));
    let next = |after: &str| {
        format!(
            "(SELECT owner_id FROM tasks WHERE state = '{state}' AND priority = {number} \
             AND lease_until IS NULL AND owner_id > {after} ORDER BY owner_id LIMIT 1)"
        )
    };
    let backend = db.get_database_backend();
    let first = match backend {
        DatabaseBackend::Postgres => "$1",
        _ => "?",
    };
    let sql = format!(
        "WITH RECURSIVE turn (owner, number) AS (SELECT {}, 1 UNION ALL \
         SELECT {}, number + 1 FROM turn WHERE owner IS NOT NULL AND number < {most}) \
         SELECT owner FROM turn WHERE owner IS NOT NULL ORDER BY number",
        next(first),
        next("turn.owner"),
    );
    let rows =
        db.query_all_raw(Statement::from_sql_and_values(backend, sql, [after.into()])).await?;
    Ok(rows.iter().map(|row| row.try_get("", "owner")).collect::<Result<_, _>>()?)
}

/// How many tasks of each of these holders wait that are due by then, of these priorities, counted up to
/// `most`.
pub(crate) async fn waiting(
    db: &impl ConnectionTrait,
    owners: &[HolderId],
    priorities: &[Priority],
    due_by: Timestamp,
    most: u32,
) -> Result<Vec<u64>, QueueError> {
    let backend = db.get_database_backend();
    let numbers: Vec<_> =
        priorities.iter().map(|priority| priority_number(*priority).to_string()).collect();
    let (state, numbers) = (TaskState::Queued.as_str(), numbers.join(","));
    let due_by = due_by.micros();
    let mut counts = Vec::with_capacity(owners.len());
    for owners in owners.chunks(AT_ONCE) {
        let count = |number: usize| {
            let owner = match backend {
                DatabaseBackend::Postgres => format!("${}", number + 1),
                _ => "?".to_owned(),
            };
            format!(
                "SELECT {number} AS number, COUNT(*) AS count FROM (SELECT 1 FROM tasks \
                 WHERE state = '{state}' AND lease_until IS NULL \
                 AND priority IN ({numbers}) AND owner_id = {owner} AND run_at <= {due_by} LIMIT {most}) AS of_{number}"
            )
        };
        let sql = (0..owners.len()).map(count).collect::<Vec<_>>().join(" UNION ALL ");
        let values = owners.iter().map(|owner| Value::from(owner.uuid()));
        let statement =
            Statement::from_sql_and_values(backend, format!("{sql} ORDER BY number"), values);
        let rows = db.query_all_raw(statement).await.map_err(Fault::from)?;
        for row in rows {
            let count: i64 = row.try_get("", "count").map_err(Fault::from)?;
            counts.push(count.unsigned_abs());
        }
    }
    Ok(counts)
}
