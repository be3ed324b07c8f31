//! Work to be done later.

use std::time::Duration;

use daybook_application::{
    EmailHandler, Outcome, Receipt, TaskRequest, TextHandler, UniqueRequest,
};
use daybook_events::{
    Placed, Priority, Task as StoredTask, TaskCursor, TaskId, TaskKind, TaskState as StoredState,
    Timestamp, UniqueKey,
};
use poem::Request;
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};

use super::{Context, Group, not_found, receipt, unexpected};
use crate::auth::Bearer;
use crate::body::Body;
use crate::document::{NewTask, Task, TaskAccepted, TaskState};
use crate::page::{self, List, Place};
use crate::problem::{Changing, Enqueuing, Failure, Listing, Problem, Reading, Retrying};
use crate::reply::{Json, Nothing, Written};
use crate::request;
use crate::scalars::{Count, Key, Limit, PathId};

/// For how long a task may stay unique after it is finished.
const LONGEST_UNIQUE: Duration = Duration::from_hours(366 * 24);

/// How long a payload may be, as it is sent.
const LONGEST_PAYLOAD: usize = 64 * 1024;

pub(crate) struct TasksApi(pub Context);

#[OpenApi(tag = "Group::Tasks")]
impl TasksApi {
    /// Put a task on the queue
    ///
    /// It is done at least once, whatever crashes: what fails is tried again, each time after a
    /// longer pause, and is dead after the last attempt. A kind that no worker knows is dead at once.
    ///
    /// A mail is sent at least once as well: when a worker dies between sending and noting it, the
    /// mail is sent again, under the same Message-ID. You may send it to the address you registered
    /// with; to others where the mail policy of the service allows it.
    #[oai(path = "/tasks", method = "post", operation_id = "enqueueTask")]
    async fn enqueue(
        &self,
        caller: Bearer,
        request: &Request,
        /// Makes the request safe to repeat: the same key and body have one outcome.
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<Key>>,
        body: Body<NewTask>,
    ) -> Result<Written<202, TaskAccepted>, Failure<Enqueuing>> {
        let task = read_task(body.value)?;
        let request = request::of(request, key.0.as_ref(), "enqueueTask", &understood(&task));
        let outcome = self.0.commands.request_task(&caller.0, task, request).await?;
        Ok(accepted(&outcome)?)
    }

    /// Your tasks
    ///
    /// Newest first.
    #[oai(path = "/tasks", method = "get", operation_id = "listTasks")]
    async fn list(
        &self,
        caller: Bearer,
        /// Only tasks in this state.
        state: Query<Option<TaskState>>,
        /// How many at most; 100 where it isn't given.
        limit: Query<Option<Limit>>,
        /// Where to go on: from the `Link` header of the page before.
        cursor: Query<Option<String>>,
        /// Answer nothing older than this position of the log, which you know from `Daybook-Position` or a
        /// stream: waits for it, for two seconds at most.
        #[oai(name = "Daybook-Min-Position")]
        min_position: Header<Option<Count>>,
    ) -> Result<Json<Vec<Task>>, Failure<Listing>> {
        self.0.reached(&min_position).await?;
        let (limit, state) = (page::limit(limit.0), state.0.map(StoredState::from));
        let list = List { name: "tasks", filter: state.map(StoredState::as_str) };
        let after = list
            .read(cursor.0.as_ref())?
            .map(|Place { position, id }| TaskCursor { position, id: TaskId::from_uuid(id) });
        let room = self.0.replies.page(caller.0.holder_id).await?;
        let tasks = self.0.queries.tasks(&caller.0, state, after, page::one_more(limit)).await?;
        let next = |last: &Placed<StoredTask>| {
            let state = state.map(|state| format!("state={}&", state.as_str())).unwrap_or_default();
            let place = Place { position: last.position, id: last.thing.id.uuid() };
            format!("/tasks?{state}limit={limit}&cursor={}", list.cursor(place))
        };
        Ok(page::reply(&tasks, limit, room, |task| Task::of(task.thing.clone()), next))
    }

    /// A task
    #[oai(path = "/tasks/:id", method = "get", operation_id = "getTask")]
    async fn get(
        &self,
        caller: Bearer,
        /// The task.
        id: Path<PathId>,
        /// Answer nothing older than this position of the log, which you know from `Daybook-Position` or a
        /// stream: waits for it, for two seconds at most.
        #[oai(name = "Daybook-Min-Position")]
        min_position: Header<Option<Count>>,
    ) -> Result<Json<Task>, Failure<Reading>> {
        self.0.reached(&min_position).await?;
        let task = self.0.queries.task(&caller.0, task_id(&id)?).await?;
        Ok(Json::of(&Task::of(task.ok_or_else(not_found)?)))
    }

    /// Put a dead task back on the queue
    ///
    /// One with a `unique_key` is refused while a later task with the same key is unfinished or within
    /// its time.
    #[oai(path = "/tasks/:id/retry", method = "post", operation_id = "retryTask")]
    async fn retry(
        &self,
        caller: Bearer,
        request: &Request,
        /// The task.
        id: Path<PathId>,
        /// Makes the request safe to repeat: the same key has one outcome.
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<Key>>,
    ) -> Result<Written<202, TaskAccepted>, Failure<Retrying>> {
        let id = task_id(&id)?;
        let request = request::of(request, key.0.as_ref(), "retryTask", &id);
        let outcome = self.0.commands.retry_task(&caller.0, id, request).await?;
        Ok(accepted(&outcome)?)
    }

    /// Take a task off the queue
    ///
    /// One that waits, whether for its time or for a worker, or that is dead. It is not done any
    /// more, and forgotten in time as if it had been. One that a worker has begun can't be called
    /// back.
    #[oai(path = "/tasks/:id/discard", method = "post", operation_id = "discardTask")]
    async fn discard(
        &self,
        caller: Bearer,
        request: &Request,
        /// The task.
        id: Path<PathId>,
        /// Makes the request safe to repeat: the same key has one outcome.
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<Key>>,
    ) -> Result<Written<204, Nothing>, Failure<Changing>> {
        let id = task_id(&id)?;
        let request = request::of(request, key.0.as_ref(), "discardTask", &id);
        let outcome = self.0.commands.discard_task(&caller.0, id, request).await?;
        receipt(&outcome)?;
        Ok(Written::empty(&outcome))
    }
}

fn task_id(id: &PathId) -> Result<TaskId, Problem> {
    id.0.map(TaskId::from_uuid).ok_or_else(not_found)
}

fn accepted(outcome: &Outcome) -> Result<Written<202, TaskAccepted>, Problem> {
    let (id, duplicate) = match receipt(outcome)? {
        Receipt::TaskAccepted(id) => (id, None),
        Receipt::TaskDuplicate(id) => (id, Some(true)),
        _ => return Err(unexpected()),
    };
    Ok(Written::new(outcome, &TaskAccepted { task_id: id.uuid(), duplicate }))
}

/// What a task says, however it is spelt.
fn understood(task: &TaskRequest) -> impl serde::Serialize + '_ {
    let unique = task.unique.as_ref().map(|unique| (unique.key.as_str(), unique.time));
    let payload = request::canonical(&task.payload);
    (&task.kind, payload, task.run_at, task.priority.as_str(), unique)
}

fn read_task(task: NewTask) -> Result<TaskRequest, Problem> {
    let kind: TaskKind = task.kind.parse().map_err(|error| Problem::field("kind", error))?;
    let payload = task.payload.0;
    if payload.get().len() > LONGEST_PAYLOAD {
        return Err(Problem::field("payload", "must have at most 65536 bytes of JSON"));
    }
    // A task that could only die is better refused now; other kinds are known to their workers alone.
    let fault = match kind.as_str() {
        TaskKind::SEND_EMAIL => EmailHandler::fault(payload.get()),
        TaskKind::TEXT => TextHandler::fault(payload.get()),
        _ => None,
    };
    if let Some(fault) = fault {
        return Err(Problem::field("payload", fault));
    }
    let run_at = task.run_at.map(|text| Timestamp::parse(&text.0)).transpose();
    let run_at = run_at.map_err(|error| Problem::field("run_at", error))?;
    let priority = task.priority.map(Priority::from).unwrap_or_default();
    let unique = read_unique(task.unique_key.as_deref(), task.unique_for.as_deref())?;
    Ok(TaskRequest { kind, payload, run_at, priority, unique })
}

fn read_unique(key: Option<&str>, time: Option<&str>) -> Result<Option<UniqueRequest>, Problem> {
    let time = time.map(humantime::parse_duration).transpose();
    let unreadable = |_| Problem::field("unique_for", "must be a duration, such as 10m or 1h 30m");
    let time = time.map_err(unreadable)?.unwrap_or_default();
    if time > LONGEST_UNIQUE {
        return Err(Problem::field("unique_for", "is more than 366 days"));
    }
    let Some(key) = key else {
        let needs_a_key = || Problem::field("unique_for", "needs a unique_key");
        return if time.is_zero() { Ok(None) } else { Err(needs_a_key()) };
    };
    let key = UniqueKey::new(key).map_err(|error| Problem::field("unique_key", error))?;
    Ok(Some(UniqueRequest { key, time }))
}
