//! Loading the state that a batch depends on.

use std::sync::Arc;

use daybook_accounts::RepositoryError as AccountsError;
use daybook_events::{JournalError, QueueError, Task, TaskState};
use daybook_orders::RepositoryError as OrdersError;

use super::Ports;
use crate::states::{AmongEquals, State, TaskStanding};
use crate::{CommandError, EmailHandler, Key, States};

/// Loads what `keys` name into `states`, each kind with one query. What isn't there stays absent.
pub(super) async fn load(
    ports: &Ports,
    keys: &[Key],
    states: &mut States,
) -> Result<(), CommandError> {
    let (mut accounts, mut orders, mut topics) = (Vec::new(), Vec::new(), Vec::new());
    let mut asked = Vec::new();
    for key in keys {
        match key {
            Key::Account(id) => accounts.push(*id),
            Key::Order(id) => orders.push(*id),
            Key::Topic(topic) => topics.push(topic.clone()),
            Key::Asked(id) => asked.push(*id),
            Key::Task(_) | Key::UniqueTask(..) | Key::Email(_) => {}
        }
    }
    if !accounts.is_empty() {
        for account in ports.accounts.find(&accounts).await? {
            states.set(Key::Account(account.id), State::Account(Arc::new(account)));
        }
    }
    if !orders.is_empty() {
        for order in ports.orders.find(&orders).await? {
            states.set(Key::Order(order.id), State::Order(Arc::new(order)));
        }
    }
    if !topics.is_empty() {
        let streams: Vec<_> = topics.iter().map(daybook_events::Topic::stream).collect();
        for (topic, version) in topics.into_iter().zip(ports.journal.versions(&streams).await?) {
            states.set(Key::Topic(topic), State::Topic(version));
        }
    }
    if !asked.is_empty() {
        let streams: Vec<_> = asked.iter().map(|id| id.stream()).collect();
        for (id, version) in asked.into_iter().zip(ports.journal.versions(&streams).await?) {
            states.set(Key::Asked(id), State::Asked(version));
        }
    }
    // These are rare, and each needs a query of its own.
    for key in keys {
        match key {
            Key::Task(id) => {
                if let Some(task) = ports.tasks.find(*id).await? {
                    let standing = TaskStanding {
                        owner: task.owner,
                        mail_to: EmailHandler::recipient(&task.kind, &task.payload),
                        state: task.state,
                        version: task.version,
                        among_equals: among_equals(ports, &task).await?,
                    };
                    states.set(key.clone(), State::Task(standing));
                }
            }
            Key::UniqueTask(owner, kind, unique) => {
                if let Some(task) = ports.tasks.find_unique(*owner, kind, unique).await? {
                    states.set(key.clone(), State::UniqueTask(task));
                }
            }
            Key::Email(text) => {
                let taken = match text.parse() {
                    Ok(email) => ports.holders.find_by_email(&email).await?.is_some(),
                    Err(_) => false,
                };
                if taken {
                    states.set(key.clone(), State::EmailTaken);
                }
            }
            Key::Account(_) | Key::Order(_) | Key::Topic(_) | Key::Asked(_) => {}
        }
    }
    Ok(())
}

/// Asked of a dead task: any other is not put back.
async fn among_equals(ports: &Ports, task: &Task) -> Result<Option<AmongEquals>, CommandError> {
    let (Some(owner), Some(key), TaskState::Dead) = (task.owner, &task.unique, task.state) else {
        return Ok(None);
    };
    let latest = ports.tasks.find_unique(owner, &task.kind, key).await?;
    let (kind, key) = (task.kind.clone(), key.clone());
    Ok(latest.map(|latest| AmongEquals { owner, kind, key, latest }))
}

impl From<JournalError> for CommandError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Unavailable(detail) => Self::Unavailable(detail),
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
