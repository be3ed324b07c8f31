//! Which tasks a worker gets.

use std::time::Duration;

use daybook_events::{FailedAttempt, Lease, Priority, Room, TaskState, Timestamp};
use sea_orm::sea_query::{Expr, ExprTrait, LockBehavior, LockType, SimpleExpr};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use crate::entities::task::{Column, Entity, Model};
use crate::error::Fault;
use crate::insert::padded;
use crate::owners::{LastServed, in_turn};
use crate::task_rows::{attempts, leased, priority_number, restore_history, stored_history};

/// What the history says of an attempt that nobody ended.
const LOST: &str = "lease expired";

/// Leases what there is room for: first what was abandoned, then what waits, by turns of the
/// priorities from `first_turn` on, in that order. What can't be read is dead, and stands in no
/// other's way.
pub(crate) async fn lease(
    transaction: &DatabaseTransaction,
    room: Room,
    turns_taken: &Turns<'_>,
    now: Timestamp,
    term: Duration,
) -> Result<Vec<Lease>, Fault> {
    let mut taking = Taking { transaction, room, taken: Vec::new() };
    let all = taking.room.tasks();
    taking.take(is_abandoned(now), all).await?;
    for row in &mut taking.taken {
        note_lost(transaction, row, now).await?;
    }
    let left = taking.room.tasks();
    let mut exhausted = Vec::new();
    for (priority, turns) in turns(turns_taken.first, left) {
        if turns > 0 && taking.take_in_turn(priority, turns, now, turns_taken.last).await? < turns {
            exhausted.push(priority);
        }
    }
    // Turns that one had no task for are the others'.
    for priority in Priority::ALL {
        let left = taking.room.tasks();
        if left > 0 && !exhausted.contains(&priority) {
            taking.take_in_turn(priority, left, now, turns_taken.last).await?;
        }
    }
    let left = taking.room.tasks();
    if left > 0 {
        taking.take(is_ahead(now), left).await?;
    }
    let mut leases = Vec::with_capacity(taking.taken.len());
    for row in taking.taken {
        let id = row.id;
        match leased(row) {
            Ok(lease) => leases.push(lease),
            Err(Fault::Corrupt(reason)) => bury_unreadable(transaction, id, &reason, now).await?,
            Err(other) => return Err(other),
        }
    }
    let ids = leases.iter().map(|lease| lease.task_id.uuid());
    lease_rows(transaction, ids, now.plus(term)).await?;
    Ok(leases)
}

/// Whose turn it is.
pub(crate) struct Turns<'a> {
    /// How many tasks were leased before.
    pub first: u64,
    /// Whose task was leased last.
    pub last: &'a LastServed,
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
    /// Takes at most so many tasks of a priority, one of each holder after the other, each one's earliest
    /// first; answers how many.
    async fn take_in_turn(
        &mut self,
        priority: Priority,
        most: u32,
        now: Timestamp,
        last: &LastServed,
    ) -> Result<u32, Fault> {
        let waiting = is_waiting(now).and(Column::Priority.eq(priority_number(priority)));
        // Two tell whether there is more than one.
        let asked = Ord::max(most, 2);
        let owners = in_turn(self.transaction, priority, last.of(priority), asked).await?;
        let mut count = 0;
        if let [_, _, ..] = &*owners {
            let groups = u32::try_from(owners.len()).unwrap_or(u32::MAX);
            for owner in owners {
                let of_one = match owner {
                    Some(owner) => Column::OwnerId.eq(owner),
                    None => Column::OwnerId.is_null(),
                };
                let part = Ord::min(most.div_ceil(groups), most - count);
                if part == 0 {
                    break;
                }
                count += self.take(waiting.clone().and(of_one), part).await?;
                last.is(priority, owner);
            }
        }
        // Whatever is left of the turns: some may have nothing that is due.
        if count < most {
            count += self.take(waiting, most - count).await?;
        }
        Ok(count)
    }

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
                // A kind may have got full by the rows before. One that can't be read needs no room.
                if row.kind.parse().is_ok_and(|kind| !self.room.take(&kind)) {
                    continue;
                }
                self.taken.push(row);
                count += 1;
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
    // What can't be read is found to be so when it is leased.
    let (Ok(attempts), Ok(history)) = (attempts(row.attempts), restore_history(&row.history))
    else {
        return Ok(());
    };
    row.history = stored_history(&FailedAttempt::new(attempts, now, LOST).added_to(&history))?;
    Entity::update_many()
        .col_expr(Column::History, Expr::value(row.history.as_str()))
        .filter(Column::Id.eq(row.id))
        .exec(transaction)
        .await?;
    Ok(())
}

/// Takes a task off the queue that nobody can do, as its row can't be read.
pub(crate) async fn bury_unreadable(
    transaction: &DatabaseTransaction,
    id: Uuid,
    reason: &str,
    now: Timestamp,
) -> Result<(), Fault> {
    tracing::error!(task = %id, reason, "a task can't be read; it is dead");
    let error = format!("its row can't be read: {reason}");
    Entity::update_many()
        .col_expr(Column::State, Expr::value(TaskState::Dead.as_str()))
        .col_expr(Column::LastError, Expr::value(error))
        .col_expr(Column::FinishedAt, Expr::value(now.micros()))
        .col_expr(Column::LeaseUntil, Expr::value(Option::<i64>::None))
        .filter(Column::Id.eq(id))
        .exec(transaction)
        .await?;
    Ok(())
}

/// Notes the leases of the rows with these ids.
pub(crate) async fn lease_rows(
    transaction: &DatabaseTransaction,
    ids: impl IntoIterator<Item = Uuid>,
    until: Timestamp,
) -> Result<(), Fault> {
    let ids: Vec<_> = ids.into_iter().collect();
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
