//! Commands, what they decide, and how they end.

use daybook_accounts::{AccountEvent, AccountId, AccountRejection, Holder, PasswordHash, Session};
use daybook_events::{
    EntryId, HolderId, NewTask, NotificationPublished, Position, TaskId, TransferId,
};
use daybook_money::Money;
use daybook_orders::{OrderEvent, OrderId, OrderRejection};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Key, States};

/// Something a caller wants done.
pub trait Command: Send + Sync {
    /// Who acts; `None` for someone who is not logged in.
    fn actor(&self) -> Option<HolderId>;

    /// Whose the request's idempotency key is: two with different scopes are two keys.
    fn key_scope(&self) -> Option<HolderId> {
        self.actor()
    }

    /// What the decision depends on. Streams that the command itself begins are not named.
    fn needs(&self) -> Vec<Key>;

    /// Decides, against the present state of what it needs. Pure: it may be asked again when the
    /// state has changed in between, and `entry` stays the same.
    ///
    /// # Errors
    /// A [`Rejection`] where a rule refuses.
    fn decide(&self, states: &States, entry: EntryId) -> Result<Decision, Rejection>;
}

/// What a command decided.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What happens, in order: all of it or nothing.
    pub changes: Vec<Change>,
    /// What the caller is told.
    pub receipt: Receipt,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Change {
    /// An event of an account.
    Account(AccountId, AccountEvent),
    /// An event of an order.
    Order(OrderId, OrderEvent),
    /// A holder registers.
    Holder(Box<Holder>),
    /// A holder changes their password in a session.
    Password {
        /// The session, which goes on.
        session: Session,
        /// What the new one is checked against.
        hash: PasswordHash,
    },
    /// A holder logs out.
    EndSession(Session),
    /// A notification is published.
    Notification(NotificationPublished),
    /// A task is asked for.
    Task(Box<NewTask>),
    /// A task that is dead or waits is put back on the queue.
    RetryTask(TaskId),
    /// A task is taken off the queue.
    DiscardTask(TaskId),
}

/// What a caller is told of a command that was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Receipt {
    /// It is done, and there is nothing more to say.
    Done,
    /// A holder registered.
    Registered(HolderId),
    /// An account was opened.
    AccountOpened(AccountId),
    /// Money came in or went out.
    Moved {
        /// The journal's entry.
        entry_id: EntryId,
        /// The balance after it.
        balance: Money,
        /// What can be spent after it.
        available: Money,
    },
    /// Money was transferred.
    Transferred(TransferId),
    /// An order was made.
    OrderCreated(OrderId),
    /// A task is on the queue.
    TaskAccepted(TaskId),
    /// An equal task is there already: this one.
    TaskDuplicate(TaskId),
}

/// Why a command was refused by a rule. Another's thing is as if it were not there.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// There is no such account of the caller's.
    #[error("there is no such account")]
    AccountNotFound,
    /// There is no such order of the caller's.
    #[error("there is no such order")]
    OrderNotFound,
    /// There is no such task of the caller's.
    #[error("there is no such task")]
    TaskNotFound,
    /// The task is neither dead nor waiting.
    #[error("only a task that is dead or waits can be retried")]
    TaskNotDead,
    /// Another task with the same unique key is unfinished, or within its time.
    #[error("another task with the same unique key is there")]
    TaskDuplicated,
    /// The task is in a worker's hands, done, or discarded already.
    #[error("only a task that waits or is dead can be discarded")]
    TaskNotDiscardable,
    /// The caller may not send mail to that address.
    #[error("the mail policy does not let the caller send mail to that address")]
    MailNotAllowed,
    /// Someone has registered with this email address.
    #[error("the email address is registered already")]
    EmailTaken,
    /// The session is over, or the password was changed meanwhile.
    #[error("the session is over")]
    SessionOver,
    /// A rule of an account.
    #[error(transparent)]
    Account(#[from] AccountRejection),
    /// A rule of an order.
    #[error(transparent)]
    Order(#[from] OrderRejection),
}

impl Rejection {
    /// Whether the command can never be right, whatever happens: its input is at fault. Nothing is
    /// remembered of it, so that its idempotency key is free for what was meant.
    pub const fn is_of_input(&self) -> bool {
        match self {
            Self::Account(rejection) => rejection.is_of_input(),
            Self::AccountNotFound
            | Self::OrderNotFound
            | Self::TaskNotFound
            | Self::TaskNotDead
            | Self::TaskDuplicated
            | Self::TaskNotDiscardable
            | Self::EmailTaken
            | Self::SessionOver
            | Self::MailNotAllowed
            | Self::Order(_) => false,
        }
    }
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the caller is told.
    pub result: Result<Receipt, Rejection>,
    /// The position of its last event; where it has none, of the last event before it.
    pub position: Position,
    /// Whether this outcome was remembered under the request's idempotency key.
    pub replayed: bool,
}

/// Why a command has no outcome. But for the last two, nothing happened and it may be sent again.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommandError {
    /// Too much is waiting.
    #[error("too many commands are waiting")]
    Overloaded,
    /// The journal can't be reached.
    #[error("the journal is unavailable: {0}")]
    Unavailable(String),
    /// Others kept changing what it depends on.
    #[error("what the command depends on kept changing")]
    Contended,
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The journal was lost at the wrong moment: it may have happened, or not.
    #[error("the outcome is unknown: {0}")]
    OutcomeUnknown(String),
    /// The journal would not write it, alone: nothing happened, and it would be so again.
    #[error("the journal refused an entry: {0}")]
    Refused(String),
    /// What is stored contradicts itself.
    #[error("stored state is damaged: {0}")]
    Corrupt(String),
}
