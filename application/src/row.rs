//! What is written to the read models with the events of an entry.

use daybook_accounts::{Account, Holder, HolderStanding, Ledger, PasswordHash, Session};
use daybook_events::{HolderId, NewTask, TaskId, TaskKind, Timestamp, UniqueKey, Version};
use daybook_money::Money;
use daybook_orders::Order;
use uuid::Uuid;

/// A change to a read model. A read model's row is also the snapshot of its stream: it holds all
/// that decisions need, and its version.
#[derive(Clone, Debug)]
pub enum Row {
    /// The account is now so.
    Account(Account),
    /// The order is now so.
    Order(Order),
    /// Someone registered. Another holder with the same email address is a conflict.
    Holder(Box<Holder>),
    /// A holder has another password.
    PasswordChanged {
        /// The holder.
        id: HolderId,
        /// What it is checked against.
        hash: PasswordHash,
        /// How the holder stands now.
        standing: HolderStanding,
    },
    /// A session is over.
    SessionEnded {
        /// Which, and whose.
        session: Session,
        /// How the holder stands now.
        standing: HolderStanding,
    },
    /// Money was posted.
    Posting(PostingRow),
    /// A task is to be done.
    Task(Box<NewTask>),
    /// A dead task is to be done again.
    TaskRetried {
        /// The task.
        id: TaskId,
        /// The version of its stream.
        version: Version,
        /// When.
        at: Timestamp,
        /// The number that it has from now on, where it has a unique key: so of two processes that
        /// want one such task to be done, one is refused.
        number: Option<TaskNumber>,
    },
    /// A task that waits is put on the queue again, where that is elsewhere. Whatever became of it
    /// meanwhile stays.
    TaskPutBack {
        /// The task.
        id: TaskId,
        /// The version of its stream.
        version: Version,
    },
    /// A task is not to be done any more. One that has been leased or is finished meanwhile is a
    /// conflict.
    TaskDiscarded {
        /// The task.
        id: TaskId,
        /// The version of its stream.
        version: Version,
        /// When.
        at: Timestamp,
    },
}

/// Which of a holder's tasks of a kind with a unique key a task is.
#[derive(Clone, Debug)]
pub struct TaskNumber {
    /// The holder.
    pub owner: HolderId,
    /// The kind.
    pub kind: TaskKind,
    /// The key.
    pub key: UniqueKey,
    /// The number. Another task that has it is a conflict.
    pub number: u64,
}

/// One posting of an event.
#[derive(Clone, Debug)]
pub struct PostingRow {
    /// Which event of the entry it follows from, from 0.
    pub event: usize,
    /// Whose balance changed.
    pub ledger: Ledger,
    /// By how much.
    pub amount: Money,
    /// The balance of the account after it; `None` for a system ledger.
    pub balance: Option<Money>,
    /// What the caller noted.
    pub reference: Option<String>,
    /// The order it was for.
    pub order_id: Option<Uuid>,
}
