//! Tasks as they are stored.

use daybook_events::{
    FailedAttempt, HolderId, Lease, Placed, Position, Priority, Task, TaskId, TaskState, Timestamp,
    UniqueKey, UniqueName, UniqueTask, Version,
};
use serde_json::value::RawValue;

use crate::accounts::restored;
use crate::entities::task::Model;
use crate::error::Fault;

/// The lease that was just written of a task as it was before.
pub(crate) fn leased(row: Model) -> Result<Lease, Fault> {
    Ok(Lease {
        task_id: TaskId::from_uuid(row.id),
        kind: row.kind.parse().map_err(Fault::corrupt)?,
        payload: RawValue::from_string(row.payload).map_err(Fault::corrupt)?,
        attempt: attempts(row.attempts)?.saturating_add(1),
        token: restored(row.lease_token)?.saturating_add(1),
        history: restore_history(&row.history)?,
    })
}

pub(crate) fn restore_placed(row: Model) -> Result<Placed<Task>, Fault> {
    Ok(Placed { position: Position::new(restored(row.position)?), thing: restore(row)? })
}

pub(crate) fn restore(row: Model) -> Result<Task, Fault> {
    Ok(Task {
        id: TaskId::from_uuid(row.id),
        owner: row.owner_id.map(HolderId::from_uuid),
        kind: row.kind.parse().map_err(Fault::corrupt)?,
        payload: RawValue::from_string(row.payload).map_err(Fault::corrupt)?,
        state: TaskState::from_name(&row.state)
            .ok_or_else(|| Fault::corrupt("an unknown state of a task"))?,
        attempts: attempts(row.attempts)?,
        last_error: row.last_error,
        history: restore_history(&row.history)?,
        priority: priority(row.priority)?,
        unique: row
            .unique_key
            .map(|key| UniqueKey::new(&key))
            .transpose()
            .map_err(Fault::corrupt)?,
        run_at: Timestamp::from_micros(row.run_at),
        created_at: Timestamp::from_micros(row.created_at),
        finished_at: row.finished_at.map(Timestamp::from_micros),
        version: Version::new(restored(row.version)?),
    })
}

pub(crate) fn attempts(stored: i32) -> Result<u32, Fault> {
    u32::try_from(stored).map_err(Fault::corrupt)
}

/// The number that a priority is stored as: the most urgent first.
pub(crate) const fn priority_number(priority: Priority) -> i16 {
    match priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
}

fn priority(stored: i16) -> Result<Priority, Fault> {
    let found = Priority::ALL.into_iter().find(|priority| priority_number(*priority) == stored);
    found.ok_or_else(|| Fault::corrupt("an unknown priority of a task"))
}

pub(crate) fn stored_history(history: &[FailedAttempt]) -> Result<String, Fault> {
    serde_json::to_string(history).map_err(Fault::corrupt)
}

pub(crate) fn restore_history(stored: &str) -> Result<Vec<FailedAttempt>, Fault> {
    serde_json::from_str(stored).map_err(Fault::corrupt)
}

pub(crate) fn restore_unique(row: &Model) -> Result<(UniqueName, UniqueTask), Fault> {
    let (Some(number), Some(until)) = (row.unique_number, row.unique_until) else {
        return Err(Fault::corrupt("a unique task without a number"));
    };
    let (Some(owner), Some(key)) = (row.owner_id, &row.unique_key) else {
        return Err(Fault::corrupt("a unique task that is nobody's, or has no key"));
    };
    let name = UniqueName {
        owner: HolderId::from_uuid(owner),
        kind: row.kind.parse().map_err(Fault::corrupt)?,
        key: UniqueKey::new(key).map_err(Fault::corrupt)?,
    };
    let task = UniqueTask {
        id: TaskId::from_uuid(row.id),
        version: Version::new(restored(row.version)?),
        state: TaskState::from_name(&row.state)
            .ok_or_else(|| Fault::corrupt("an unknown state of a task"))?,
        number: restored(number)?,
        until: Timestamp::from_micros(until),
    };
    Ok((name, task))
}
