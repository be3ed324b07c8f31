//! Tasks: ask for one, put a dead one back on the queue, and discard one.

use std::sync::Arc;
use std::time::Duration;

use daybook_accounts::Email;
use daybook_events::{
    EntryId, HolderId, NewTask, Origin, Priority, TaskId, TaskKind, TaskState, Timestamp, Unique,
    UniqueKey, UniqueName,
};
use serde_json::value::RawValue;

use super::Commands;
use crate::{
    Caller, Change, Command, CommandError, Decision, EmailHandler, Key, MailPolicy, Outcome,
    Receipt, Rejection, Request, States,
};

/// How many urgent tasks of one holder wait at most; what they ask for beyond is as urgent as anything.
/// Operators may ask for as many as they like.
pub(crate) const MOST_URGENT: u32 = 20;

/// A task to be done.
#[derive(Clone, Debug)]
pub struct TaskRequest {
    /// What it is about.
    pub kind: TaskKind,
    /// What the handler of that kind needs.
    pub payload: Box<RawValue>,
    /// Not before; at once where there is none.
    pub run_at: Option<Timestamp>,
    /// How urgent it is.
    pub priority: Priority,
    /// Whether it is to be there once.
    pub unique: Option<UniqueRequest>,
}

/// A task that is to be there once: of an equal one, with the same owner, kind and key, that is
/// unfinished or within its time, its caller is told instead.
#[derive(Clone, Debug)]
pub struct UniqueRequest {
    /// The key.
    pub key: UniqueKey,
    /// For how long, from when it was asked for, there is no other even if it is finished.
    pub time: Duration,
}

impl Commands {
    /// Puts a task on the queue.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn request_task(
        &self,
        caller: &Caller,
        task: TaskRequest,
        request: Request,
    ) -> Result<Outcome, CommandError> {
        let mail = self.mail_rule(caller, EmailHandler::is_mail(&task.kind)).await?;
        let to = EmailHandler::recipient(&task.kind, &task.payload);
        let refused = to.is_some_and(|to| !mail.allows(&to));
        let (now, unique) = (self.clock.now(), task.unique);
        let task = NewTask {
            id: TaskId::from_uuid(self.ids.next()),
            owner: Some(caller.holder_id),
            kind: task.kind,
            payload: task.payload,
            run_at: task.run_at.unwrap_or(now),
            created_at: now,
            priority: task.priority,
            unique: None,
            history: Vec::new(),
            origin: Origin::Recorded,
        };
        let unique = unique.map(|unique| Numbering {
            key: Key::UniqueTask(UniqueName {
                owner: caller.holder_id,
                kind: task.kind.clone(),
                key: unique.key.clone(),
            }),
            until: now.plus(unique.time),
            unique: unique.key,
        });
        self.appender.execute(Enqueue { caller: *caller, task, unique, refused }, request).await
    }

    /// Puts the task of a schedule's tick on the queue, unless that was done before, by whichever
    /// instance. It is nobody's.
    ///
    /// # Errors
    /// [`CommandError`].
    pub(crate) async fn request_tick(
        &self,
        id: TaskId,
        kind: TaskKind,
        payload: Box<RawValue>,
        tick: Timestamp,
    ) -> Result<Outcome, CommandError> {
        let task = NewTask {
            id,
            owner: None,
            kind,
            payload,
            run_at: tick,
            created_at: self.clock.now(),
            priority: Priority::Normal,
            unique: None,
            history: Vec::new(),
            origin: Origin::Recorded,
        };
        self.appender.execute(Tick(task), Request::default()).await
    }

    /// Puts a task on the queue that is nobody's, to be done at once.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn request_own_task(
        &self,
        kind: TaskKind,
        payload: Box<RawValue>,
    ) -> Result<Outcome, CommandError> {
        let (id, now) = (TaskId::from_uuid(self.ids.next()), self.clock.now());
        self.request_tick(id, kind, payload, now).await
    }

    /// Puts a dead task back on the queue, unless it has a unique key and a later one with the same
    /// key is unfinished or within its time. One that waits is put there again, in case it was lost
    /// there; it is done once, and no sooner.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn retry_task(
        &self,
        caller: &Caller,
        id: TaskId,
        request: Request,
    ) -> Result<Outcome, CommandError> {
        self.change(caller, id, To::Queued, request).await
    }

    /// Takes a task that waits or is dead off the queue.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn discard_task(
        &self,
        caller: &Caller,
        id: TaskId,
        request: Request,
    ) -> Result<Outcome, CommandError> {
        self.change(caller, id, To::Discarded, request).await
    }

    async fn change(
        &self,
        caller: &Caller,
        id: TaskId,
        to: To,
        request: Request,
    ) -> Result<Outcome, CommandError> {
        let mail = self.mail_rule(caller, matches!(to, To::Queued)).await?;
        let change = Move { caller: *caller, id, now: self.clock.now(), to, mail };
        self.appender.execute(change, request).await
    }

    /// Whom the caller may mail; not asked for where there is no mail in question.
    async fn mail_rule(&self, caller: &Caller, asked: bool) -> Result<MailRule, CommandError> {
        if !asked || caller.operator || *self.mail_policy == MailPolicy::Anyone {
            return Ok(MailRule::Anyone);
        }
        let own = self.holders.find(caller.holder_id).await?.map(|holder| holder.email);
        Ok(MailRule::Policy { policy: Arc::clone(&self.mail_policy), own })
    }
}

/// Whom a caller may mail.
enum MailRule {
    Anyone,
    Policy { policy: Arc<MailPolicy>, own: Option<Email> },
}

impl MailRule {
    fn allows(&self, to: &Email) -> bool {
        match self {
            Self::Anyone => true,
            Self::Policy { policy, own } => own.as_ref().is_some_and(|own| policy.allows(own, to)),
        }
    }
}

struct Enqueue {
    caller: Caller,
    task: NewTask,
    unique: Option<Numbering>,
    /// Whether it is a mail that the actor may not send.
    refused: bool,
}

/// How a unique task gets its number: by that, of two processes that decide at once, one is
/// refused and decides again.
struct Numbering {
    key: Key,
    unique: UniqueKey,
    until: Timestamp,
}

impl Command for Enqueue {
    fn actor(&self) -> Option<HolderId> {
        Some(self.caller.holder_id)
    }

    fn needs(&self) -> Vec<Key> {
        let urgent = self.is_bounded().then_some(Key::UrgentTasks(self.caller.holder_id));
        self.unique.iter().map(|unique| unique.key.clone()).chain(urgent).collect()
    }

    fn decide(&self, states: &States, _entry: EntryId) -> Result<Decision, Rejection> {
        if self.refused {
            return Err(Rejection::MailNotAllowed);
        }
        let mut task = self.task.clone();
        let waiting = states.urgent_tasks(self.caller.holder_id);
        if self.is_bounded() && waiting >= u64::from(MOST_URGENT) {
            task.priority = Priority::Normal;
        }
        if let Some(numbering) = &self.unique {
            let latest = states.unique_task(&numbering.key);
            if let Some(latest) = latest.filter(|t| t.rules_out_another(task.created_at)) {
                return Ok(duplicate(latest.id));
            }
            task.unique = Some(Unique {
                key: numbering.unique.clone(),
                number: latest.map_or(1, |latest| latest.number.saturating_add(1)),
                until: numbering.until,
            });
        }
        Ok(accepted(task))
    }
}

impl Enqueue {
    /// Whether it counts among the urgent tasks that its caller may have.
    fn is_bounded(&self) -> bool {
        self.task.priority == Priority::High && !self.caller.operator
    }
}

struct Tick(NewTask);

impl Command for Tick {
    fn actor(&self) -> Option<HolderId> {
        None
    }

    fn needs(&self) -> Vec<Key> {
        vec![Key::Asked(self.0.id)]
    }

    fn decide(&self, states: &States, _entry: EntryId) -> Result<Decision, Rejection> {
        let id = self.0.id;
        Ok(if states.was_asked_for(id) { duplicate(id) } else { accepted(self.0.clone()) })
    }
}

fn accepted(task: NewTask) -> Decision {
    let receipt = Receipt::TaskAccepted(task.id);
    Decision { changes: vec![Change::Task(Box::new(task))], receipt }
}

fn duplicate(of: TaskId) -> Decision {
    Decision { changes: Vec::new(), receipt: Receipt::TaskDuplicate(of) }
}

/// What is to become of a task that is there.
struct Move {
    caller: Caller,
    id: TaskId,
    now: Timestamp,
    to: To,
    mail: MailRule,
}

#[derive(Clone, Copy)]
enum To {
    Queued,
    Discarded,
}

impl Command for Move {
    fn actor(&self) -> Option<HolderId> {
        Some(self.caller.holder_id)
    }

    fn needs(&self) -> Vec<Key> {
        vec![Key::Task(self.id)]
    }

    fn decide(&self, states: &States, _entry: EntryId) -> Result<Decision, Rejection> {
        let task = states
            .task(self.id)
            .filter(|task| self.caller.may_see(task.owner))
            .ok_or(Rejection::TaskNotFound)?;
        let (change, receipt) = match (self.to, task.state) {
            (To::Queued, TaskState::Dead) => {
                if task.mail_to.as_ref().is_some_and(|to| !self.mail.allows(to)) {
                    return Err(Rejection::MailNotAllowed);
                }
                let latest = task.among_equals.as_ref().map(|equals| equals.latest);
                let other = latest.filter(|latest| latest.id != self.id);
                if other.is_some_and(|other| other.rules_out_another(self.now)) {
                    return Err(Rejection::TaskDuplicated);
                }
                (Change::RetryTask(self.id), Receipt::TaskAccepted(self.id))
            }
            (To::Queued, TaskState::Queued) => {
                (Change::RetryTask(self.id), Receipt::TaskAccepted(self.id))
            }
            (To::Discarded, TaskState::Queued | TaskState::Dead) => {
                (Change::DiscardTask(self.id), Receipt::Done)
            }
            (To::Queued, _) => return Err(Rejection::TaskNotDead),
            (To::Discarded, _) => return Err(Rejection::TaskNotDiscardable),
        };
        Ok(Decision { changes: vec![change], receipt })
    }
}
