//! Tasks that are done, noted together: workers that finish at the same time share a commit.

use std::collections::HashSet;
use std::sync::Arc;

use daybook_events::{Clock, Lease, LeaseLost, QueueError, TaskState};
use sea_orm::{ConnectionTrait, Statement, Value};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::accounts::stored;
use crate::error::Fault;
use crate::insert::padded;
use crate::pool::Pool;

/// How many are noted at a time at most; so many more may wait.
const AT_ONCE: usize = 512;

type Noted = Result<Result<(), LeaseLost>, QueueError>;

/// A task that is done.
struct Done {
    id: Uuid,
    token: i64,
    noted: oneshot::Sender<Noted>,
}

/// Notes that tasks are done.
#[derive(Clone)]
pub(crate) struct Completions(mpsc::Sender<Done>);

impl Completions {
    /// Notes them by this pool, on a task of its own, which ends with the last clone.
    pub(crate) fn new(pool: Pool, clock: Arc<dyn Clock>) -> Self {
        let (sender, receiver) = mpsc::channel(AT_ONCE);
        tokio::spawn(run(receiver, pool, clock));
        Self(sender)
    }

    /// Notes that a leased task is done.
    pub(crate) async fn note(&self, lease: &Lease) -> Noted {
        let (noted, answer) = oneshot::channel();
        let done = Done { id: lease.task_id.uuid(), token: stored(lease.token)?, noted };
        let ended = || QueueError::Unavailable("what notes tasks has ended".to_owned());
        self.0.send(done).await.map_err(|_| ended())?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}

async fn run(mut waiting: mpsc::Receiver<Done>, pool: Pool, clock: Arc<dyn Clock>) {
    let mut batch = Vec::with_capacity(AT_ONCE);
    // While some are noted, others gather.
    while waiting.recv_many(&mut batch, AT_ONCE).await > 0 {
        let mut changed = note_all(&pool, &batch, clock.now().micros()).await;
        for done in batch.drain(..) {
            let noted = match &mut changed {
                Ok(changed) => Ok(if changed.remove(&done.id) { Ok(()) } else { Err(LeaseLost) }),
                Err(error) => Err(error.clone()),
            };
            // Whoever asked may have gone.
            let _ = done.noted.send(noted);
        }
    }
}

/// Answers which of them were leased as they say.
async fn note_all(pool: &Pool, batch: &[Done], now: i64) -> Result<HashSet<Uuid>, QueueError> {
    let (backend, done) = (pool.get_database_backend(), TaskState::Done.as_str());
    let mut values: Vec<Value> = vec![now.into()];
    let leases = padded(batch.iter().map(|done| (done.id, done.token)).collect());
    let pairs: Vec<_> = leases
        .into_iter()
        .map(|(id, token)| {
            values.extend([id.into(), token.into()]);
            let number = values.len();
            match backend {
                sea_orm::DatabaseBackend::Postgres => format!("(${}, ${number})", number - 1),
                _ => "(?, ?)".to_owned(),
            }
        })
        .collect();
    let first = crate::insert::placeholders(backend, 1, 1);
    let held = format!("state = 'running' AND (id, lease_token) IN (VALUES {})", pairs.join(","));
    // Rows are locked in the order of their ids, as everyone does it.
    let held = match backend {
        sea_orm::DatabaseBackend::Postgres => {
            format!("id IN (SELECT id FROM tasks WHERE {held} ORDER BY id FOR UPDATE)")
        }
        _ => held,
    };
    let sql = format!(
        "UPDATE tasks SET state = '{done}', finished_at = {first}, lease_until = NULL, \
         last_error = NULL WHERE {held} RETURNING id"
    );
    let changed = pool.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await;
    let rows = changed.map_err(Fault::from)?;
    Ok(rows
        .iter()
        .map(|row| row.try_get::<Uuid>("", "id").map_err(Fault::from))
        .collect::<Result<_, _>>()?)
}
