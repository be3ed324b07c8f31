//! The record of who has which task, for a queue that hands tasks out by other means.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use daybook_events::{Claimed, NewTask, Origin, QueueError, TaskRecords, TaskState, Timestamp};
use sea_orm::sea_query::LockType;
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use crate::entities::task::{Column, Entity, Model};
use crate::error::Fault;
use crate::insert::padded;
use crate::journal::{TASKS, head, task_values};
use crate::leasing::{bury_unreadable, lease_rows, note_lost};
use crate::task_rows::leased;
use crate::tasks::DatabaseQueue;

#[async_trait]
impl TaskRecords for DatabaseQueue {
    async fn claim(&self, tasks: &[NewTask], term: Duration) -> Result<Vec<Claimed>, QueueError> {
        let now = self.clock.now();
        let claimed = self.database.writer.bounded(async {
            let transaction = self.database.begin().await?;
            let mut known = recorded(&transaction, tasks).await?;
            let (mut taken, mut verdicts) = (HashSet::new(), Vec::with_capacity(tasks.len()));
            for task in tasks {
                let id = task.id.uuid();
                let Some(row) = known.get_mut(&id) else {
                    verdicts.push(Claimed::Unknown);
                    continue;
                };
                if is_another(row, task) {
                    verdicts.push(Claimed::Another);
                    continue;
                }
                if taken.contains(&id) {
                    verdicts.push(Claimed::NotBefore(now.plus(term)));
                    continue;
                }
                verdicts.push(match claim_row(&transaction, row, now).await {
                    // Nobody can do it, and others are claimed with it.
                    Err(Fault::Corrupt(reason)) => {
                        bury_unreadable(&transaction, id, &reason, now).await?;
                        Claimed::Finished
                    }
                    verdict => verdict?,
                });
                if let Some(Claimed::Leased(_)) = verdicts.last() {
                    taken.insert(id);
                }
            }
            lease_rows(&transaction, taken, now.plus(term)).await?;
            transaction.commit().await?;
            Ok::<_, Fault>(verdicts)
        });
        Ok(claimed.await?)
    }
}

/// The lease of a row, if it can be leased.
async fn claim_row(
    transaction: &DatabaseTransaction,
    row: &mut Model,
    now: Timestamp,
) -> Result<Claimed, Fault> {
    if let Some(refusal) = refusal(row, now)? {
        return Ok(refusal);
    }
    if row.state == TaskState::Running.as_str() {
        note_lost(transaction, row, now).await?;
    }
    Ok(Claimed::Leased(leased(row.clone())?))
}

/// The rows of claimed tasks, locked; those from outside that are not known are recorded first.
async fn recorded(
    transaction: &DatabaseTransaction,
    tasks: &[NewTask],
) -> Result<HashMap<Uuid, Model>, Fault> {
    let mut known = locked(transaction, tasks).await?;
    let unknown: Vec<_> = tasks
        .iter()
        .filter(|task| task.origin == Origin::Outside && !known.contains_key(&task.id.uuid()))
        .collect();
    if !unknown.is_empty() {
        let head = head(transaction).await?;
        // Of two that have one id the first is recorded.
        let rows: BTreeMap<Uuid, _> = unknown
            .iter()
            .rev()
            .map(|task| Ok((task.id.uuid(), task_values(task, 0, head)?)))
            .collect::<Result<_, Fault>>()?;
        TASKS.run(transaction, rows.into_values().collect()).await?;
        known.extend(locked(transaction, unknown).await?);
    }
    Ok(known)
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

/// Whether a task from outside has the id of another one.
fn is_another(row: &Model, task: &NewTask) -> bool {
    task.origin == Origin::Outside
        && (row.kind != task.kind.as_str() || row.payload != task.payload.get())
}

/// Why a task that was handed out can't be leased; `None` where it can.
fn refusal(row: &Model, now: Timestamp) -> Result<Option<Claimed>, Fault> {
    let state = TaskState::from_name(&row.state)
        .ok_or_else(|| Fault::corrupt("an unknown state of a task"))?;
    Ok(match state {
        TaskState::Done | TaskState::Dead | TaskState::Discarded => Some(Claimed::Finished),
        // What is asked for at no particular time is due whatever the clock says.
        TaskState::Queued if row.attempts == 0 && row.run_at <= row.created_at => None,
        TaskState::Queued if row.run_at > now.micros() => {
            Some(Claimed::NotBefore(Timestamp::from_micros(row.run_at)))
        }
        TaskState::Queued => None,
        TaskState::Running => row
            .lease_until
            .filter(|until| *until >= now.micros())
            .map(|until| Claimed::NotBefore(Timestamp::from_micros(until.saturating_add(1)))),
    })
}
