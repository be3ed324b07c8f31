//! The state that decisions are made against.

use std::collections::HashMap;
use std::sync::Arc;

use daybook_accounts::{Account, AccountId, Email, Holder, HolderStanding};
use daybook_events::{
    HolderId, StreamId, TaskId, TaskKind, TaskState, Timestamp, Topic, UniqueName, UniqueTask,
    Version,
};
use daybook_orders::{Order, OrderId};

use crate::{Rejection, TaskNumber};

/// Names something that a decision depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// An account.
    Account(AccountId),
    /// An order.
    Order(OrderId),
    /// A topic of notifications.
    Topic(Topic),
    /// A task.
    Task(TaskId),
    /// Whether a task with this id was ever asked for.
    Asked(TaskId),
    /// The latest of a holder's tasks of a kind with a unique key.
    UniqueTask(UniqueName),
    /// Which sessions of a holder go on.
    Holder(HolderId),
    /// How many urgent tasks of a holder wait.
    UrgentTasks(HolderId),
    /// Whether an email address, in its comparable form, is registered.
    Email(Box<str>),
}

impl Key {
    /// The stream whose version says whether the state is still the same.
    pub(crate) fn stream(&self) -> Option<StreamId> {
        match self {
            Self::Account(id) => Some(id.stream()),
            Self::Order(id) => Some(id.stream()),
            Self::Holder(id) => Some(Holder::stream(*id)),
            Self::Topic(topic) => Some(topic.stream()),
            Self::Task(id) | Self::Asked(id) => Some(id.stream()),
            // Guarded by the uniqueness of the rows: an address is registered once, and tasks with a
            // key are numbered. How many are urgent is about right, and makes nobody decide again.
            Self::Email(_) | Self::UniqueTask(..) | Self::UrgentTasks(_) => None,
        }
    }
}

/// The state of one thing. Only things that exist have one.
#[derive(Clone, Debug)]
pub(crate) enum State {
    Account(Arc<Account>),
    Order(Arc<Order>),
    Topic(Version),
    Task(TaskStanding),
    Asked(Version),
    UniqueTask(UniqueTask),
    Holder(HolderStanding),
    UrgentTasks(u64),
    EmailTaken,
}

/// What a decision needs to know of a task.
#[derive(Clone, Debug)]
pub(crate) struct TaskStanding {
    pub owner: Option<HolderId>,
    /// To whom it is a mail, where it is one.
    pub mail_to: Option<Email>,
    pub kind: TaskKind,
    pub run_at: Timestamp,
    pub state: TaskState,
    pub version: Version,
    pub among_equals: Option<AmongEquals>,
}

/// Where a dead task with a unique key stands among those of the same owner, kind and key.
#[derive(Clone, Debug)]
pub(crate) struct AmongEquals {
    pub name: UniqueName,
    pub latest: UniqueTask,
}

impl AmongEquals {
    /// The number that comes after the latest.
    pub(crate) fn next(self) -> TaskNumber {
        let number = self.latest.number.saturating_add(1);
        let UniqueName { owner, kind, key } = self.name;
        TaskNumber { owner, kind, key, number }
    }
}

impl State {
    pub(crate) fn version(&self) -> Version {
        match self {
            Self::Account(account) => account.version,
            Self::Order(order) => order.version,
            Self::Topic(version) | Self::Asked(version) => *version,
            Self::Task(task) => task.version,
            Self::UniqueTask(task) => task.version,
            Self::Holder(standing) => standing.version,
            Self::UrgentTasks(_) | Self::EmailTaken => Version::ZERO,
        }
    }
}

/// The present state of what a batch of commands needs, as the commands before left it.
#[derive(Debug, Default)]
pub struct States(HashMap<Key, State>);

impl States {
    /// The caller's open account.
    ///
    /// # Errors
    /// [`Rejection::AccountNotFound`], also where it is another's or closed.
    pub fn own_account(&self, id: AccountId, holder: HolderId) -> Result<&Account, Rejection> {
        match self.0.get(&Key::Account(id)) {
            Some(State::Account(account)) if account.holder_id == holder && account.is_open() => {
                Ok(account)
            }
            _ => Err(Rejection::AccountNotFound),
        }
    }

    /// An account, whoever's it is.
    pub fn account(&self, id: AccountId) -> Option<&Account> {
        match self.0.get(&Key::Account(id)) {
            Some(State::Account(account)) => Some(account),
            _ => None,
        }
    }

    /// The caller's order.
    ///
    /// # Errors
    /// [`Rejection::OrderNotFound`], also where it is another's.
    pub fn own_order(&self, id: OrderId, holder: HolderId) -> Result<&Order, Rejection> {
        match self.0.get(&Key::Order(id)) {
            Some(State::Order(order)) if order.holder_id == holder => Ok(order),
            _ => Err(Rejection::OrderNotFound),
        }
    }

    /// Whether someone has registered with this address.
    pub fn email_taken(&self, key: &str) -> bool {
        self.0.contains_key(&Key::Email(key.into()))
    }

    /// How a holder stands; `None` for one who is not there.
    pub fn holder(&self, id: HolderId) -> Option<HolderStanding> {
        match self.0.get(&Key::Holder(id)) {
            Some(State::Holder(standing)) => Some(*standing),
            _ => None,
        }
    }

    /// How many urgent tasks of a holder wait, counted up to a bound.
    pub(crate) fn urgent_tasks(&self, holder: HolderId) -> u64 {
        match self.0.get(&Key::UrgentTasks(holder)) {
            Some(State::UrgentTasks(count)) => *count,
            _ => 0,
        }
    }

    pub(crate) fn task(&self, id: TaskId) -> Option<&TaskStanding> {
        match self.0.get(&Key::Task(id)) {
            Some(State::Task(task)) => Some(task),
            _ => None,
        }
    }

    /// Whether a task with this id was ever asked for.
    pub(crate) fn was_asked_for(&self, id: TaskId) -> bool {
        self.version(&Key::Asked(id)) > Version::ZERO
    }

    pub(crate) fn unique_task(&self, key: &Key) -> Option<UniqueTask> {
        match self.0.get(key) {
            Some(State::UniqueTask(task)) => Some(*task),
            _ => None,
        }
    }

    /// The stream that says whether a state is still the same, and its version. Where there is a task
    /// with a unique key it is that one's: who is told of it has to be told of one that is there.
    pub(crate) fn expectation(&self, key: &Key) -> Option<(StreamId, Version)> {
        let stream = key.stream().or_else(|| Some(self.unique_task(key)?.id.stream()));
        Some((stream?, self.version(key)))
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&State> {
        self.0.get(key)
    }

    pub(crate) fn set(&mut self, key: Key, state: State) {
        self.0.insert(key, state);
    }

    pub(crate) fn version(&self, key: &Key) -> Version {
        self.0.get(key).map_or(Version::ZERO, State::version)
    }
}
