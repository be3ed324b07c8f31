//! Which tasks a worker gets.

use std::time::Duration;

use daybook_events::{FailedAttempt, Priority, Room, TaskState, Timestamp};
use sea_orm::sea_query::{Expr, ExprTrait, LockBehavior, LockType, SimpleExpr};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use crate::entities::task::{Column, Entity, Model};
use crate::error::Fault;
use crate::insert::padded;
use crate::task_rows::{attempts, priority_number, restore_history, stored_history};

/// What the history says of an attempt that nobody ended.
const LOST: &str = "the worker was not heard of any more";

/// Leases what there is room for: first what was abandoned, then what waits, by turns of the
/// priorities from `first_turn` on. Answers the tasks as they were before, in that order.
pub(crate) async fn lease(
    transaction: &DatabaseTransaction,
    room: Room,
    first_turn: u64,
    now: Timestamp,
    term: Duration,
) -> Result<Vec<Model>, Fault> {
    let mut taking = Taking { transaction, room, taken: Vec::new() };
    let all = taking.room.tasks();
    taking.take(is_abandoned(now), all).await?;
    for row in &mut taking.taken {
        note_lost(transaction, row, now).await?;
    }
    let left = taking.room.tasks();
    let waiting =
        |priority: Priority| is_waiting(now).and(Column::Priority.eq(priority_number(priority)));
    let mut exhausted = Vec::new();
    for (priority, turns) in turns(first_turn, left) {
        if turns > 0 && taking.take(waiting(priority), turns).await? < turns {
            exhausted.push(priority);
        }
    }
    // Turns that one had no task for are the others'.
    for priority in Priority::ALL {
        let left = taking.room.tasks();
        if left > 0 && !exhausted.contains(&priority) {
            taking.take(waiting(priority), left).await?;
        }
    }
    let left = taking.room.tasks();
    if left > 0 {
        taking.take(is_ahead(now), left).await?;
    }
    lease_rows(transaction, &taking.taken, now.plus(term)).await?;
    Ok(taking.taken)
}

/// How many of the next tasks are looked for among each priority first.
fn turns(first: u64, tasks: u32) -> [(Priority, u32); 3] {
    let mut turns = Priority::ALL.map(|priority| (priority, 0));
    for number in 0..u64::from(tasks) {
        let [first_asked, ..] = Priority::turn(first.wrapping_add(number));
        for (priority, count) in &mut turns {
            *count += u32::from(*priority == first_asked);
        }
    }
    turns
}

struct Taking<'a> {
    transaction: &'a DatabaseTransaction,
    room: Room,
    taken: Vec<Model>,
}

impl Taking<'_> {
    /// Takes at most so many of these tasks, earliest first; answers how many. Those that another
    /// worker is just taking are skipped; on SQLite there can be none.
    async fn take(&mut self, tasks: SimpleExpr, most: u32) -> Result<u32, Fault> {
        let mut count = 0;
        while count < most {
            let asked = most - count;
            let mut query = Entity::find().filter(tasks.clone()).filter(has_room(&self.room));
            if !self.taken.is_empty() {
                let taken: Vec<Uuid> = self.taken.iter().map(|row| row.id).collect();
                query = query.filter(Column::Id.is_not_in(padded(taken)));
            }
            let rows = query
                .order_by_asc(Column::RunAt)
                .order_by_asc(Column::Id)
                .limit(u64::from(asked))
                .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
                .all(self.transaction)
                .await?;
            let found = u32::try_from(rows.len()).unwrap_or(u32::MAX);
            for row in rows {
                // A kind may have got full by the rows before.
                if self.room.take(&row.kind.parse().map_err(Fault::corrupt)?) {
                    self.taken.push(row);
                    count += 1;
                }
            }
            if found < asked {
                break;
            }
        }
        Ok(count)
    }
}

pub(crate) fn is_waiting(now: Timestamp) -> SimpleExpr {
    Column::State.eq(TaskState::Queued.as_str()).and(Column::RunAt.lte(now.micros()))
}

/// What was asked for at no particular time, by a clock that is ahead of this one or was set back
/// since: it is due, and was not tried yet.
pub(crate) fn is_ahead(now: Timestamp) -> SimpleExpr {
    Column::State
        .eq(TaskState::Queued.as_str())
        .and(Column::CreatedAt.gt(now.micros()))
        .and(Column::Attempts.eq(0))
        .and(Expr::col(Column::RunAt).lte(Expr::col(Column::CreatedAt)))
        .and(Column::RunAt.gt(now.micros()))
}

pub(crate) fn is_abandoned(now: Timestamp) -> SimpleExpr {
    Column::State.eq(TaskState::Running.as_str()).and(Column::LeaseUntil.lt(now.micros()))
}

/// Tasks of kinds that there is room for.
pub(crate) fn has_room(room: &Room) -> SimpleExpr {
    let full: Vec<_> = room.full_kinds().map(|kind| kind.as_str().to_owned()).collect();
    if full.is_empty() { Expr::value(true) } else { Column::Kind.is_not_in(full) }
}

/// Notes in the history of a task that was leased and never settled that this attempt is over.
pub(crate) async fn note_lost(
    transaction: &DatabaseTransaction,
    row: &mut Model,
    now: Timestamp,
) -> Result<(), Fault> {
    let lost = FailedAttempt::new(attempts(row.attempts)?, now, LOST);
    row.history = stored_history(&lost.added_to(&restore_history(&row.history)?))?;
    Entity::update_many()
        .col_expr(Column::History, Expr::value(row.history.as_str()))
        .filter(Column::Id.eq(row.id))
        .exec(transaction)
        .await?;
    Ok(())
}

/// Notes the leases of these rows.
pub(crate) async fn lease_rows(
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_counted_from_the_first() {
        assert_eq!(turns(0, 10).map(|(_, count)| count), [8, 1, 1]);
        assert_eq!(turns(4, 1), [(Priority::High, 0), (Priority::Normal, 1), (Priority::Low, 0)]);
        assert_eq!(turns(9, 2).map(|(_, count)| count), [1, 0, 1]);
    }
}
