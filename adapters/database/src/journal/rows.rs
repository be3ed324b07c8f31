//! Writing a batch: one statement for each table it touches.

use std::collections::HashMap;
use std::ops::Range;

use daybook_accounts::{Account, HolderStanding, PasswordHash, SessionId};
use daybook_application::{PostingRow, Row};
use daybook_events::{Entry, HolderId, NewEvent, NewTask, Priority, TaskState};
use daybook_money::Money;
use daybook_orders::{Contents, Order};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Value};
use uuid::Uuid;

use super::plan::{Plan, Verdict, last_position, scoped};
use crate::accounts::stored;
use crate::entities::{ended_session, holder, task};
use crate::error::Fault;
use crate::insert::Insert;
use crate::task_rows::{priority_number, stored_history};

const EVENTS: Insert<11> = Insert {
    table: "events",
    columns: [
        "position",
        "id",
        "stream",
        "version",
        "event_type",
        "entry_id",
        "owner_id",
        "order_id",
        "timestamp",
        "data",
        "metadata",
    ],
    on_conflict: "",
};

const OUTCOMES: Insert<6> = Insert {
    table: "outcomes",
    columns: ["key", "scope", "fingerprint", "outcome", "position", "created_at"],
    on_conflict: "",
};

const HOLDERS: Insert<6> = Insert {
    table: "holders",
    columns: ["id", "email", "email_key", "full_name", "password_hash", "created_at"],
    on_conflict: "",
};

pub(crate) const ACCOUNTS: Insert<10> = Insert {
    table: "accounts",
    columns: [
        "id",
        "holder_id",
        "name",
        "currency",
        "initial_balance",
        "balance",
        "open",
        "created_at",
        "version",
        "position",
    ],
    on_conflict: "ON CONFLICT (id) DO UPDATE SET name = excluded.name, balance = excluded.balance, \
                  open = excluded.open, version = excluded.version",
};

pub(crate) const POSTINGS: Insert<8> = Insert {
    table: "postings",
    columns: [
        "position",
        "ledger",
        "account_id",
        "currency",
        "amount",
        "balance",
        "reference",
        "order_id",
    ],
    on_conflict: "",
};

pub(crate) const ORDERS: Insert<10> = Insert {
    table: "orders",
    columns: [
        "id",
        "holder_id",
        "status",
        "currency",
        "lines",
        "paid",
        "account_id",
        "created_at",
        "version",
        "position",
    ],
    on_conflict: "ON CONFLICT (id) DO UPDATE SET status = excluded.status, paid = excluded.paid, \
                  account_id = excluded.account_id, version = excluded.version",
};

/// Tasks of normal priority without a history or a unique key, as nearly all are: what the function
/// of the database takes.
const PLAIN_TASKS: Insert<11> = Insert {
    table: "tasks",
    columns: [
        "id",
        "owner_id",
        "kind",
        "payload",
        "state",
        "attempts",
        "run_at",
        "created_at",
        "lease_token",
        "version",
        "position",
    ],
    on_conflict: "ON CONFLICT (id) DO NOTHING",
};

pub(crate) const TASKS: Insert<16> = Insert {
    table: "tasks",
    columns: [
        "id",
        "owner_id",
        "kind",
        "payload",
        "state",
        "attempts",
        "run_at",
        "created_at",
        "lease_token",
        "version",
        "position",
        "priority",
        "history",
        "unique_key",
        "unique_number",
        "unique_until",
    ],
    on_conflict: "ON CONFLICT (id) DO NOTHING",
};

/// The rows of a batch, table by table.
#[derive(Default)]
pub(crate) struct Tables<'a> {
    pub events: Vec<[Value; 11]>,
    pub outcomes: Vec<[Value; 6]>,
    pub holders: Vec<[Value; 6]>,
    pub postings: Vec<[Value; 8]>,
    pub plain_tasks: Vec<[Value; 11]>,
    tasks: Vec<[Value; 16]>,
    /// Only how the batch leaves them is written, with where its first event of them stands: those
    /// that are there keep their position.
    accounts: HashMap<Uuid, (i64, &'a Account)>,
    orders: HashMap<Uuid, (i64, &'a Order)>,
    /// Tasks that were retried or discarded, and holders who changed something.
    changed: Vec<&'a Row>,
}

impl<'a> Tables<'a> {
    /// The rows of those of the entries from one number to another that the plan accepts.
    pub(super) fn of(
        batch: &'a [Entry<Row>],
        plan: &Plan,
        numbers: Range<usize>,
    ) -> Result<Self, Fault> {
        let mut tables = Self::default();
        let planned = batch.iter().zip(plan.verdicts());
        for (entry, verdict) in planned.skip(numbers.start).take(numbers.len()) {
            if let Verdict::Write { after } = verdict {
                tables.add(entry, *after)?;
            }
        }
        Ok(tables)
    }

    /// The accounts as the batch leaves them.
    pub(crate) fn accounts(&self) -> Result<Vec<[Value; 10]>, Fault> {
        self.accounts.values().map(|(at, account)| account_values(account, *at)).collect()
    }

    /// The orders as the batch leaves them.
    pub(crate) fn orders(&self) -> Result<Vec<[Value; 10]>, Fault> {
        self.orders.values().map(|(at, order)| order_values(order, *at)).collect()
    }

    /// Whether nothing is to be done but the inserts that the function of the database knows.
    pub(super) fn only_inserts(&self) -> bool {
        self.changed.is_empty() && self.tasks.is_empty()
    }

    fn add(&mut self, entry: &'a Entry<Row>, after: u64) -> Result<(), Fault> {
        let metadata = serde_json::to_string(&entry.metadata).map_err(Fault::corrupt)?;
        for (position, event) in (after + 1..).zip(&entry.events) {
            self.events.push(event_values(entry, event, stored(position)?, &metadata)?);
        }
        if let Some(record) = &entry.idempotency {
            let (scope, key) = scoped(record);
            self.outcomes.push([
                key.into(),
                scope.into(),
                record.fingerprint.bytes().to_vec().into(),
                record.outcome.as_str().into(),
                stored(last_position(after, entry).get())?.into(),
                entry.timestamp.micros().into(),
            ]);
        }
        for row in &entry.rows {
            match row {
                Row::Account(account) => {
                    let id = account.id.uuid();
                    let began = first_position(entry, "account", id, after)?;
                    self.accounts.entry(id).or_insert((began, account)).1 = account;
                }
                Row::Order(order) => {
                    let id = order.id.uuid();
                    let began = first_position(entry, "order", id, after)?;
                    self.orders.entry(id).or_insert((began, order)).1 = order;
                }
                Row::Holder(holder) => self.holders.push([
                    holder.id.uuid().into(),
                    holder.email.as_str().into(),
                    holder.email.key().into(),
                    holder.full_name.as_ref().map(|name| name.as_str().to_owned()).into(),
                    holder.password_hash.expose().into(),
                    holder.created_at.micros().into(),
                ]),
                Row::Posting(posting) => self.postings.push(posting_values(posting, after)?),
                Row::Task(task) => {
                    let began = first_position(entry, "task", task.id.uuid(), after)?;
                    if is_plain(task) {
                        self.plain_tasks.push(plain_task_values(task, 1, began));
                    } else {
                        self.tasks.push(task_values(task, 1, began)?);
                    }
                }
                Row::TaskRetried { .. }
                | Row::TaskPutBack { .. }
                | Row::TaskDiscarded { .. }
                | Row::PasswordChanged { .. }
                | Row::SessionEnded { .. } => self.changed.push(row),
            }
        }
        Ok(())
    }

    /// Writes the rows.
    pub(super) async fn insert(self, db: &impl ConnectionTrait) -> Result<(), Fault> {
        let (accounts, orders) = (self.accounts()?, self.orders()?);
        EVENTS.run(db, self.events).await?;
        OUTCOMES.run(db, self.outcomes).await?;
        HOLDERS.run(db, self.holders).await?;
        POSTINGS.run(db, self.postings).await?;
        PLAIN_TASKS.run(db, self.plain_tasks).await?;
        TASKS.run(db, self.tasks).await?;
        ACCOUNTS.run(db, accounts).await?;
        ORDERS.run(db, orders).await?;
        for row in self.changed {
            // Seldom, and large.
            Box::pin(change(db, row)).await?;
        }
        Ok(())
    }
}

/// Where the first event of a thing's stream stands that is in this entry, whose events follow
/// `after`.
fn first_position(entry: &Entry<Row>, category: &str, id: Uuid, after: u64) -> Result<i64, Fault> {
    let mut buffer = Uuid::encode_buffer();
    let id: &str = id.hyphenated().encode_lower(&mut buffer);
    let its_own = |stream: &str| {
        stream.strip_prefix(category).and_then(|rest| rest.strip_prefix('-')) == Some(id)
    };
    let first = (after + 1..).zip(&entry.events).find(|(_, event)| its_own(event.stream.as_str()));
    stored(first.map_or_else(|| last_position(after, entry).get(), |(position, _)| position))
}

fn event_values(
    entry: &Entry<Row>,
    event: &NewEvent,
    position: i64,
    metadata: &str,
) -> Result<[Value; 11], Fault> {
    Ok([
        position.into(),
        event.id.uuid().into(),
        event.stream.as_str().into(),
        stored(event.version.get())?.into(),
        event.event_type.into(),
        entry.id.uuid().into(),
        event.owner.map(daybook_events::HolderId::uuid).into(),
        event.order_id.into(),
        entry.timestamp.micros().into(),
        event.data.text().into(),
        metadata.into(),
    ])
}

pub(crate) fn posting_values(posting: &PostingRow, after: u64) -> Result<[Value; 8], Fault> {
    let event = u64::try_from(posting.event).map_err(Fault::corrupt)?;
    let account = match posting.ledger {
        daybook_accounts::Ledger::Account(id) => Some(id.uuid()),
        daybook_accounts::Ledger::Outside | daybook_accounts::Ledger::Sales => None,
    };
    Ok([
        stored(after + 1 + event)?.into(),
        posting.ledger.system_name().unwrap_or("account").into(),
        account.into(),
        posting.amount.currency().code().into(),
        posting.amount.minor().into(),
        posting.balance.map(Money::minor).into(),
        posting.reference.clone().into(),
        posting.order_id.into(),
    ])
}

/// An account's row; `position` is where its first event stands.
pub(crate) fn account_values(account: &Account, position: i64) -> Result<[Value; 10], Fault> {
    Ok([
        account.id.uuid().into(),
        account.holder_id.uuid().into(),
        account.name.as_str().into(),
        account.currency().code().into(),
        account.initial_balance.minor().into(),
        account.balance.minor().into(),
        account.is_open().into(),
        account.created_at.micros().into(),
        stored(account.version.get())?.into(),
        position.into(),
    ])
}

/// An order's row; `position` is where its first event stands.
pub(crate) fn order_values(order: &Order, position: i64) -> Result<[Value; 10], Fault> {
    let lines = order.contents.as_ref().map(Contents::lines).map(serde_json::to_string);
    Ok([
        order.id.uuid().into(),
        order.holder_id.uuid().into(),
        order.status.as_str().into(),
        order.total().map(|total| total.currency().code().to_owned()).into(),
        lines.transpose().map_err(Fault::corrupt)?.into(),
        order.payment.is_some().into(),
        order.payment.as_ref().and_then(|payment| payment.account_id).into(),
        order.created_at.micros().into(),
        stored(order.version.get())?.into(),
        position.into(),
    ])
}

fn is_plain(task: &NewTask) -> bool {
    task.priority == Priority::Normal && task.unique.is_none() && task.history.is_empty()
}

/// A task as it is when it comes to the queue. `version` is that of its stream in the log, `position`
/// where that begins.
pub(crate) fn task_values(
    task: &NewTask,
    version: i64,
    position: i64,
) -> Result<[Value; 16], Fault> {
    let [id, owner, kind, payload, state, attempts, run_at, created_at, token, version, position] =
        plain_task_values(task, version, position);
    let unique = task.unique.as_ref();
    let number = unique.map(|unique| stored(unique.number)).transpose()?;
    Ok([
        id,
        owner,
        kind,
        payload,
        state,
        attempts,
        run_at,
        created_at,
        token,
        version,
        position,
        priority_number(task.priority).into(),
        stored_history(&task.history)?.into(),
        unique.map(|unique| unique.key.as_str().to_owned()).into(),
        number.into(),
        unique.map(|unique| unique.until.micros()).into(),
    ])
}

fn plain_task_values(task: &NewTask, version: i64, position: i64) -> [Value; 11] {
    [
        task.id.uuid().into(),
        task.owner.map(daybook_events::HolderId::uuid).into(),
        task.kind.as_str().into(),
        task.payload.get().into(),
        TaskState::Queued.as_str().into(),
        0_i32.into(),
        task.run_at.micros().into(),
        task.created_at.micros().into(),
        0_i64.into(),
        version.into(),
        position.into(),
    ]
}

/// Changes the row of a holder or a task that is there.
async fn change(db: &impl ConnectionTrait, row: &Row) -> Result<(), Fault> {
    let (id, version, change) = match row {
        Row::PasswordChanged { id, hash, standing } => {
            return change_holder(db, *id, standing, Some(hash)).await;
        }
        Row::SessionEnded { session, standing } => {
            let ended = ended_session::ActiveModel {
                id: Set(session.id.uuid()),
                holder_id: Set(session.holder_id.uuid()),
                until: Set(session.until.micros()),
            };
            ended_session::Entity::insert(ended)
                .on_conflict_do_nothing()
                .exec_without_returning(db)
                .await?;
            return change_holder(db, session.holder_id, standing, None).await;
        }
        Row::TaskRetried { id, version, at, number } => {
            let mut again = task::Entity::update_many()
                .col_expr(task::Column::State, Expr::value(TaskState::Queued.as_str()))
                .col_expr(task::Column::Attempts, Expr::value(0))
                .col_expr(task::Column::RunAt, Expr::value(at.micros()))
                .col_expr(task::Column::FinishedAt, Expr::value(Option::<i64>::None));
            if let Some(new) = number {
                let number = Expr::value(stored(new.number)?);
                again = again.col_expr(task::Column::UniqueNumber, number);
            }
            (id, version, again)
        }
        Row::TaskPutBack { id, version } => (id, version, task::Entity::update_many()),
        Row::TaskDiscarded { id, version, at } => {
            let discarded = task::Entity::update_many()
                .col_expr(task::Column::State, Expr::value(TaskState::Discarded.as_str()))
                .col_expr(task::Column::FinishedAt, Expr::value(at.micros()));
            (id, version, discarded)
        }
        _ => return Ok(()),
    };
    change
        .col_expr(task::Column::Version, Expr::value(stored(version.get())?))
        .filter(task::Column::Id.eq(id.uuid()))
        .exec(db)
        .await?;
    Ok(())
}

async fn change_holder(
    db: &impl ConnectionTrait,
    id: HolderId,
    standing: &HolderStanding,
    hash: Option<&PasswordHash>,
) -> Result<(), Fault> {
    let mut changed = holder::Entity::update_many()
        .col_expr(holder::Column::Version, Expr::value(stored(standing.version.get())?))
        .filter(holder::Column::Id.eq(id.uuid()));
    if let Some(hash) = hash {
        let kept = standing.kept_session.map(SessionId::uuid);
        changed = changed
            .col_expr(holder::Column::PasswordHash, Expr::value(hash.expose()))
            .col_expr(holder::Column::Credentials, Expr::value(stored(standing.credentials.get())?))
            .col_expr(holder::Column::KeptSession, Expr::value(kept));
    }
    changed.exec(db).await?;
    Ok(())
}
