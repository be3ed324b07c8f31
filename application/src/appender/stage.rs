//! Turning a decision into an entry, and the state into the one after it.

use std::sync::Arc;

use daybook_accounts::{
    Account, Holder, HolderEvent, HolderStanding, PasswordChanged, PasswordHash, Session,
    SessionEnded,
};
use daybook_events::{
    Aggregate, EventId, EventPayload, HolderId, IdSource, ImpossibleHistory, NewEvent,
    NotificationEvent, Priority, StreamId, TaskDiscarded, TaskEvent, TaskId, TaskRequested,
    TaskRetried, TaskState, Timestamp, UniqueName, UniqueTask, Version,
};
use daybook_money::{Currency, MoneyError};
use daybook_orders::{Order, OrderEvent};
use thiserror::Error;
use uuid::Uuid;

use crate::projection::{account_postings, order_postings};
use crate::states::{AmongEquals, State, TaskStanding};
use crate::{Change, Key, Row, States};

/// A decision that contradicts the state or the books. It is a fault of the program or of the
/// stored data, never of a caller, and nothing of it is written.
#[derive(Debug, Error)]
pub(super) enum Unstageable {
    #[error(transparent)]
    History(#[from] ImpossibleHistory),
    #[error("an amount went out of range: {0}")]
    Money(#[from] MoneyError),
    #[error("the postings of an entry do not sum to zero in {0}")]
    Unbalanced(Currency),
    #[error("a task that does not exist was changed")]
    NoTask,
    #[error("a holder who does not exist was changed")]
    NoHolder,
}

/// The events and rows of one entry, and what it changed.
#[derive(Default)]
pub(super) struct Staged {
    pub events: Vec<NewEvent>,
    pub rows: Vec<Row>,
    pub changed: Vec<Key>,
    pub has_tasks: bool,
}

pub(super) struct Stage<'a> {
    pub ids: &'a dyn IdSource,
    pub states: &'a mut States,
    pub actor: Option<HolderId>,
    pub now: Timestamp,
    pub staged: Staged,
}

impl Stage<'_> {
    /// Applies `changes` to the states and gathers their events and rows.
    pub(super) fn apply(mut self, changes: Vec<Change>) -> Result<Staged, Unstageable> {
        for change in changes {
            self.change(change)?;
        }
        self.staged.check_balance()?;
        Ok(self.staged)
    }

    fn change(&mut self, change: Change) -> Result<(), Unstageable> {
        match change {
            Change::Account(id, event) => self.account(id, &event),
            Change::Order(id, event) => self.order(id, &event),
            Change::Holder(holder) => {
                let event = Holder::register(holder.id);
                self.event(
                    Holder::stream(holder.id),
                    Version::new(1),
                    &event,
                    Some(holder.id),
                    None,
                );
                let key = Key::Email(holder.email.key().into());
                self.states.set(key.clone(), State::EmailTaken);
                self.staged.changed.push(key);
                self.staged.rows.push(Row::Holder(holder));
                Ok(())
            }
            Change::Password { session, hash } => self.password(session, hash),
            Change::EndSession(session) => self.end_session(session),
            Change::Notification(published) => {
                let (key, stream) = (Key::Topic(published.topic.clone()), published.topic.stream());
                let version = self.states.version(&key).next();
                let event = NotificationEvent::NotificationPublished(published);
                self.event(stream, version, &event, self.actor, None);
                self.set(key, State::Topic(version));
                Ok(())
            }
            Change::Task(task) => {
                let requested = TaskRequested {
                    task_id: task.id,
                    kind: task.kind.clone(),
                    run_at: task.run_at,
                };
                let event = TaskEvent::TaskRequested(requested);
                self.event(task.id.stream(), Version::new(1), &event, task.owner, None);
                if let (Some(owner), Some(unique)) = (task.owner, &task.unique) {
                    let latest = UniqueTask {
                        id: task.id,
                        version: Version::new(1),
                        state: TaskState::Queued,
                        number: unique.number,
                        until: unique.until,
                    };
                    let (kind, key) = (task.kind.clone(), unique.key.clone());
                    let name = UniqueName { owner, kind, key };
                    self.set(Key::UniqueTask(name), State::UniqueTask(latest));
                }
                if let (Some(owner), Priority::High) = (task.owner, task.priority) {
                    let urgent = self.states.urgent_tasks(owner).saturating_add(1);
                    self.set(Key::UrgentTasks(owner), State::UrgentTasks(urgent));
                }
                self.staged.rows.push(Row::Task(task));
                self.staged.has_tasks = true;
                Ok(())
            }
            Change::RetryTask(id) => {
                let mut task = self.logged_task(id)?;
                let version = task.version.next();
                let event = TaskEvent::TaskRetried(TaskRetried { task_id: id });
                self.event(id.stream(), version, &event, task.owner, None);
                let number = task.among_equals.take().map(AmongEquals::next);
                self.staged.rows.push(match task.state {
                    TaskState::Queued => Row::TaskPutBack { id, version },
                    _ => Row::TaskRetried { id, version, at: self.now, number },
                });
                self.staged.has_tasks = true;
                let standing = TaskStanding { state: TaskState::Queued, version, ..task };
                self.set(Key::Task(id), State::Task(standing));
                Ok(())
            }
            Change::DiscardTask(id) => {
                let task = self.logged_task(id)?;
                let version = task.version.next();
                let event = TaskEvent::TaskDiscarded(TaskDiscarded { task_id: id });
                self.event(id.stream(), version, &event, task.owner, None);
                self.staged.rows.push(Row::TaskDiscarded { id, version, at: self.now });
                let standing = TaskStanding { state: TaskState::Discarded, version, ..task };
                self.set(Key::Task(id), State::Task(standing));
                Ok(())
            }
        }
    }

    fn password(&mut self, session: Session, hash: PasswordHash) -> Result<(), Unstageable> {
        let id = session.holder_id;
        let changed = PasswordChanged { holder_id: id, kept_session: session.id };
        let standing = self.holder_event(id, &HolderEvent::PasswordChanged(changed))?;
        self.staged.rows.push(Row::PasswordChanged { id, hash, standing });
        Ok(())
    }

    fn end_session(&mut self, session: Session) -> Result<(), Unstageable> {
        let id = session.holder_id;
        let ended = SessionEnded { holder_id: id, session_id: session.id };
        let standing = self.holder_event(id, &HolderEvent::SessionEnded(ended))?;
        self.staged.rows.push(Row::SessionEnded { session, standing });
        Ok(())
    }

    /// An event of a holder who has registered; how they stand after it.
    fn holder_event(
        &mut self,
        id: HolderId,
        event: &HolderEvent,
    ) -> Result<HolderStanding, Unstageable> {
        let standing = self.states.holder(id).ok_or(Unstageable::NoHolder)?.after(event);
        self.event(Holder::stream(id), standing.version, event, Some(id), None);
        self.set(Key::Holder(id), State::Holder(standing));
        Ok(standing)
    }

    /// A task that has a stream. For one that came by way of a broker that begins here: what happens
    /// to a task follows that it was asked for.
    fn logged_task(&mut self, id: TaskId) -> Result<TaskStanding, Unstageable> {
        let task = self.states.task(id).ok_or(Unstageable::NoTask)?.clone();
        if task.version > Version::ZERO {
            return Ok(task);
        }
        let (kind, version) = (task.kind.clone(), Version::new(1));
        let requested = TaskRequested { task_id: id, kind, run_at: task.run_at };
        self.event(id.stream(), version, &TaskEvent::TaskRequested(requested), task.owner, None);
        Ok(TaskStanding { version, ..task })
    }

    fn account(
        &mut self,
        id: daybook_accounts::AccountId,
        event: &daybook_accounts::AccountEvent,
    ) -> Result<(), Unstageable> {
        let key = Key::Account(id);
        let before = match self.states.get(&key) {
            Some(State::Account(account)) => Some(Account::clone(account)),
            _ => None,
        };
        let after = Account::evolve(before, event)?;
        let index = self.staged.events.len();
        self.event(id.stream(), after.version, event, Some(after.holder_id), event.order_id());
        let postings = account_postings(&after, event, index)?;
        self.staged.rows.extend(postings.into_iter().map(Row::Posting));
        self.staged.rows.push(Row::Account(after.clone()));
        self.set(key, State::Account(Arc::new(after)));
        Ok(())
    }

    fn order(
        &mut self,
        id: daybook_orders::OrderId,
        event: &OrderEvent,
    ) -> Result<(), Unstageable> {
        let key = Key::Order(id);
        let before = match self.states.get(&key) {
            Some(State::Order(order)) => Some(Order::clone(order)),
            _ => None,
        };
        let after = Order::evolve(before, event)?;
        let index = self.staged.events.len();
        self.event(id.stream(), after.version, event, Some(after.holder_id), Some(id.uuid()));
        let postings = order_postings(id, event, index)?;
        self.staged.rows.extend(postings.into_iter().map(Row::Posting));
        self.staged.rows.push(Row::Order(after.clone()));
        self.set(key, State::Order(Arc::new(after)));
        Ok(())
    }

    fn set(&mut self, key: Key, state: State) {
        self.states.set(key.clone(), state);
        self.staged.changed.push(key);
    }

    fn event(
        &mut self,
        stream: StreamId,
        version: Version,
        event: &impl EventPayload,
        owner: Option<HolderId>,
        order_id: Option<Uuid>,
    ) {
        self.staged.events.push(NewEvent {
            id: EventId::from_uuid(self.ids.next()),
            stream,
            version,
            event_type: event.event_type(),
            data: event.data(),
            owner,
            order_id,
        });
    }
}

impl Staged {
    /// Money is neither made nor lost: whatever was decided, the postings sum to zero.
    fn check_balance(&self) -> Result<(), Unstageable> {
        let mut sums: Vec<(Currency, i128)> = Vec::new();
        for row in &self.rows {
            let Row::Posting(posting) = row else { continue };
            let (currency, minor) = (posting.amount.currency(), i128::from(posting.amount.minor()));
            match sums.iter_mut().find(|(c, _)| *c == currency) {
                Some((_, sum)) => *sum += minor,
                None => sums.push((currency, minor)),
            }
        }
        match sums.into_iter().find(|(_, sum)| *sum != 0) {
            Some((currency, _)) => Err(Unstageable::Unbalanced(currency)),
            None => Ok(()),
        }
    }
}
