//! Loading the state that a batch depends on.

use std::collections::HashMap;
use std::sync::Arc;

use daybook_accounts::{Account, AccountId, RepositoryError as AccountsError};
use daybook_events::{
    HolderId, JournalError, Priority, QueueError, Task, TaskId, TaskState, Timestamp, Topic,
    UniqueName,
};
use daybook_orders::{Order, OrderId, RepositoryError as OrdersError};

use super::Ports;
use crate::commands::MOST_URGENT;
use crate::states::{AmongEquals, State, TaskStanding};
use crate::{CommandError, EmailHandler, Key, States};

/// What was to be loaded and can't be read, and why.
pub(super) type Unreadable = HashMap<Key, CommandError>;

/// Loads what `keys` name into `states`, each kind with one query. What isn't there stays absent; what
/// can't be read is told, and keeps nothing else from being loaded.
pub(super) async fn load(
    ports: &Ports,
    keys: &[Key],
    states: &mut States,
) -> Result<Unreadable, CommandError> {
    let (mut accounts, mut orders, mut topics) = (Vec::new(), Vec::new(), Vec::new());
    let (mut asked, mut tasks) = (Vec::new(), Vec::new());
    let (mut unique, mut urgent) = (Vec::new(), Vec::new());
    let (mut emails, mut holders) = (Vec::new(), Vec::new());
    for key in keys {
        match key {
            Key::Account(id) => accounts.push(*id),
            Key::Order(id) => orders.push(*id),
            Key::Topic(topic) => topics.push(topic.clone()),
            Key::Asked(id) => asked.push(*id),
            Key::Task(id) => tasks.push(*id),
            Key::UniqueTask(name) => unique.push(name.clone()),
            Key::UrgentTasks(holder) => urgent.push(*holder),
            Key::Holder(id) => holders.push(*id),
            Key::Email(email) => emails.push(email.clone()),
        }
    }
    let mut loading = Loading { states, unreadable: Unreadable::new() };
    let find = |ids: Vec<AccountId>| async move {
        let found = ports.accounts.find(&ids).await?;
        let keyed =
            |account: Account| (Key::Account(account.id), State::Account(Arc::new(account)));
        Ok(found.into_iter().map(keyed).collect())
    };
    loading.all(accounts, find, |id| Key::Account(*id)).await?;
    let find = |ids: Vec<OrderId>| async move {
        let found = ports.orders.find(&ids).await?;
        let keyed = |order: Order| (Key::Order(order.id), State::Order(Arc::new(order)));
        Ok(found.into_iter().map(keyed).collect())
    };
    loading.all(orders, find, |id| Key::Order(*id)).await?;
    let find = |topics: Vec<Topic>| async move {
        let streams: Vec<_> = topics.iter().map(Topic::stream).collect();
        let versions = ports.journal.versions(&streams).await?.into_iter().map(State::Topic);
        Ok(topics.into_iter().map(Key::Topic).zip(versions).collect())
    };
    loading.all(topics, find, |topic| Key::Topic(topic.clone())).await?;
    let find = |ids: Vec<TaskId>| async move {
        let streams: Vec<_> = ids.iter().map(|id| id.stream()).collect();
        let versions = ports.journal.versions(&streams).await?.into_iter().map(State::Asked);
        Ok(ids.into_iter().map(Key::Asked).zip(versions).collect())
    };
    loading.all(asked, find, |id| Key::Asked(*id)).await?;
    let find = |ids: Vec<TaskId>| find_tasks(ports, ids);
    loading.all(tasks, find, |id| Key::Task(*id)).await?;
    let find = |names: Vec<UniqueName>| async move {
        let found = ports.tasks.find_unique(&names).await?;
        let keyed = |(name, task)| (Key::UniqueTask(name), State::UniqueTask(task));
        Ok(found.into_iter().map(keyed).collect())
    };
    loading.all(unique, find, |name| Key::UniqueTask(name.clone())).await?;
    let find = |ids: Vec<HolderId>| async move {
        // Those for later will be urgent all at once.
        let (high, ever) = ([Priority::High], Timestamp::from_micros(i64::MAX));
        let counts = ports.tasks.count_waiting(&ids, &high, ever, MOST_URGENT).await?;
        let counts = counts.into_iter().map(State::UrgentTasks);
        Ok(ids.into_iter().map(Key::UrgentTasks).zip(counts).collect())
    };
    loading.all(urgent, find, |id| Key::UrgentTasks(*id)).await?;
    let find = |ids: Vec<HolderId>| async move {
        let found = ports.holders.standings(&ids).await?;
        Ok(found.into_iter().map(|(id, now)| (Key::Holder(id), State::Holder(now))).collect())
    };
    loading.all(holders, find, |id| Key::Holder(*id)).await?;
    let find = |emails: Vec<Box<str>>| async move {
        let found = ports.holders.registered(&emails).await?;
        Ok(found.into_iter().map(|email| (Key::Email(email), State::EmailTaken)).collect())
    };
    loading.all(emails, find, |email| Key::Email(email.clone())).await?;
    Ok(loading.unreadable)
}

struct Loading<'a> {
    states: &'a mut States,
    unreadable: Unreadable,
}

impl Loading<'_> {
    /// Loads all of these together; where something among them can't be read, the halves, down to what
    /// it is.
    async fn all<I: Clone, F>(
        &mut self,
        ids: Vec<I>,
        find: impl Fn(Vec<I>) -> F,
        key: impl Fn(&I) -> Key,
    ) -> Result<(), CommandError>
    where
        F: Future<Output = Result<Vec<(Key, State)>, CommandError>>,
    {
        if ids.is_empty() {
            return Ok(());
        }
        let mut pieces = vec![ids];
        while let Some(mut piece) = pieces.pop() {
            match (find(piece.clone()).await, &*piece) {
                (Ok(found), _) => {
                    for (key, state) in found {
                        self.states.set(key, state);
                    }
                }
                (Err(error @ CommandError::Corrupt(_)), [id]) => {
                    self.unreadable.insert(key(id), error);
                }
                (Err(CommandError::Corrupt(_)), _) => {
                    pieces.push(piece.split_off(piece.len() / 2));
                    pieces.push(piece);
                }
                (Err(error), _) => return Err(error),
            }
        }
        Ok(())
    }
}

async fn find_tasks(ports: &Ports, ids: Vec<TaskId>) -> Result<Vec<(Key, State)>, CommandError> {
    let found = ports.tasks.find_each(&ids).await?;
    let names: Vec<_> = found.iter().filter_map(name_of_dead).collect();
    let latest: HashMap<_, _> = match &*names {
        [] => HashMap::new(),
        names => ports.tasks.find_unique(names).await?.into_iter().collect(),
    };
    let keyed = |task: Task| {
        let among_equals = name_of_dead(&task).and_then(|name| {
            let latest = *latest.get(&name)?;
            Some(AmongEquals { name, latest })
        });
        let standing = TaskStanding {
            owner: task.owner,
            mail_to: EmailHandler::recipient(&task.kind, &task.payload),
            kind: task.kind,
            run_at: task.run_at,
            state: task.state,
            version: task.version,
            among_equals,
        };
        (Key::Task(task.id), State::Task(standing))
    };
    Ok(found.into_iter().map(keyed).collect())
}

/// Asked of a dead task: any other is not put back beside its equals.
fn name_of_dead(task: &Task) -> Option<UniqueName> {
    let (Some(owner), Some(key), TaskState::Dead) = (task.owner, &task.unique, task.state) else {
        return None;
    };
    Some(UniqueName { owner, kind: task.kind.clone(), key: key.clone() })
}

impl From<JournalError> for CommandError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Unavailable(detail) | JournalError::ReadOnly(detail) => {
                Self::Unavailable(detail)
            }
            JournalError::Unknown(detail) => Self::OutcomeUnknown(detail),
            JournalError::Corrupt(detail) => Self::Corrupt(detail),
        }
    }
}

impl From<AccountsError> for CommandError {
    fn from(error: AccountsError) -> Self {
        match error {
            AccountsError::Unavailable(detail) => Self::Unavailable(detail),
            AccountsError::Corrupt(detail) => Self::Corrupt(detail),
        }
    }
}

impl From<OrdersError> for CommandError {
    fn from(error: OrdersError) -> Self {
        match error {
            OrdersError::Unavailable(detail) => Self::Unavailable(detail),
            OrdersError::Corrupt(detail) => Self::Corrupt(detail),
        }
    }
}

impl From<QueueError> for CommandError {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Unavailable(detail) => Self::Unavailable(detail),
            QueueError::Corrupt(detail) => Self::Corrupt(detail),
        }
    }
}
