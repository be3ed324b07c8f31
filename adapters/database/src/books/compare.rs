//! Stored rows beside those that the log comes to, column by column.

use std::collections::HashMap;

use daybook_accounts::SessionId;
use daybook_application::{Check, Difference, Projected};
use daybook_events::{Placed, TaskKind};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, Value};
use uuid::Uuid;

use super::Snapshot;
use crate::accounts::stored;
use crate::entities::{account, holder, order, posting, task};
use crate::error::Fault;
use crate::insert::padded;
use crate::journal::rows::{
    ACCOUNTS, ORDERS, POSTINGS, account_values, order_values, posting_values,
};

impl Snapshot {
    pub(super) async fn compare_page(
        &mut self,
        page: &Projected,
    ) -> Result<Vec<Difference>, Fault> {
        let mut found = self.accounts(page).await?;
        found.extend(self.orders(page).await?);
        found.extend(self.holders_of(page).await?);
        found.extend(self.tasks(page).await?);
        found.extend(self.postings(page).await?);
        Ok(found)
    }

    async fn accounts(&mut self, page: &Projected) -> Result<Vec<Difference>, Fault> {
        if page.accounts.is_empty() {
            return Ok(Vec::new());
        }
        let ids = padded(page.accounts.iter().map(|account| account.thing.id.uuid()).collect());
        let rows =
            account::Entity::find().filter(account::Column::Id.is_in(ids)).all(&self.db).await?;
        let rows: HashMap<Uuid, _> = rows.iter().map(|row| (row.id, stored_account(row))).collect();
        self.accounts += u64::try_from(rows.len()).map_err(Fault::corrupt)?;
        let mut found = Vec::new();
        for Placed { position, thing: account } in &page.accounts {
            let position = stored(position.get())?;
            let name = format!("account-{}", account.id);
            let is = rows.get(&account.id.uuid());
            let wrong = differing(&ACCOUNTS.columns, is, &account_values(account, position)?);
            found.extend(wrong.map(|why| Difference::new(Check::Accounts, format!("{name}{why}"))));
        }
        Ok(found)
    }

    async fn orders(&mut self, page: &Projected) -> Result<Vec<Difference>, Fault> {
        if page.orders.is_empty() {
            return Ok(Vec::new());
        }
        let ids = padded(page.orders.iter().map(|order| order.thing.id.uuid()).collect());
        let rows = order::Entity::find().filter(order::Column::Id.is_in(ids)).all(&self.db).await?;
        let rows: HashMap<Uuid, _> = rows.iter().map(|row| (row.id, stored_order(row))).collect();
        self.orders += u64::try_from(rows.len()).map_err(Fault::corrupt)?;
        let mut found = Vec::new();
        for Placed { position, thing: order } in &page.orders {
            let name = format!("order-{}", order.id);
            let should = order_values(order, stored(position.get())?)?;
            let wrong = differing(&ORDERS.columns, rows.get(&order.id.uuid()), &should);
            found.extend(wrong.map(|why| Difference::new(Check::Orders, format!("{name}{why}"))));
        }
        Ok(found)
    }

    async fn holders_of(&self, page: &Projected) -> Result<Vec<Difference>, Fault> {
        if page.holders.is_empty() {
            return Ok(Vec::new());
        }
        let ids = padded(page.holders.iter().map(|(id, _)| id.uuid()).collect());
        let rows =
            holder::Entity::find().filter(holder::Column::Id.is_in(ids)).all(&self.db).await?;
        let row = |row: holder::Model| {
            let is = [row.version.into(), row.credentials.into(), row.kept_session.into()];
            (row.id, is)
        };
        let rows: HashMap<Uuid, [Value; 3]> = rows.into_iter().map(row).collect();
        let mut found = Vec::new();
        for (id, standing) in &page.holders {
            let should = [
                stored(standing.version.get())?.into(),
                stored(standing.credentials.get())?.into(),
                standing.kept_session.map(SessionId::uuid).into(),
            ];
            let columns = ["version", "credentials", "kept_session"];
            let wrong = differing(&columns, rows.get(&id.uuid()), &should);
            let name = format!("holder-{id}");
            found.extend(wrong.map(|why| Difference::new(Check::Holders, format!("{name}{why}"))));
        }
        Ok(found)
    }

    /// Tasks that were done are forgotten in time: only those that are still there are compared.
    async fn tasks(&self, page: &Projected) -> Result<Vec<Difference>, Fault> {
        if page.tasks.is_empty() {
            return Ok(Vec::new());
        }
        let ids = padded(page.tasks.iter().map(|task| task.id.uuid()).collect());
        let rows = task::Entity::find()
            .filter(task::Column::Id.is_in(ids))
            .filter(task::Column::Version.gt(0))
            .all(&self.db)
            .await?;
        let rows: HashMap<Uuid, _> = rows.iter().map(|row| (row.id, row)).collect();
        let mut found = Vec::new();
        for task in &page.tasks {
            let Some(row) = rows.get(&task.id.uuid()) else { continue };
            let is = [
                row.owner_id.into(),
                row.kind.as_str().into(),
                row.position.into(),
                row.version.into(),
            ];
            let owner = task.owner.map(daybook_events::HolderId::uuid);
            // The log need not know what a task is about that it has not asked for, and one that came by way
            // of a broker stands where it was recorded, before its first event.
            let kind = task.kind.as_ref().map_or(row.kind.as_str(), TaskKind::as_str);
            let should = [
                owner.into(),
                kind.into(),
                stored(task.position.get())?.min(row.position).into(),
                stored(task.version.get())?.into(),
            ];
            let columns = ["owner_id", "kind", "position", "version"];
            let wrong = differing(&columns, Some(&is), &should);
            let name = format!("task-{}", task.id);
            found.extend(wrong.map(|why| Difference::new(Check::Tasks, format!("{name}{why}"))));
        }
        Ok(found)
    }

    async fn postings(&self, page: &Projected) -> Result<Vec<Difference>, Fault> {
        if page.positions.is_empty() {
            return Ok(Vec::new());
        }
        let positions: Vec<i64> = page
            .positions
            .iter()
            .map(|position| stored(position.get()))
            .collect::<Result<_, _>>()?;
        let rows = posting::Entity::find()
            .filter(posting::Column::Position.is_in(padded(positions)))
            .all(&self.db)
            .await?;
        let mut rows: HashMap<(i64, String), _> = rows
            .into_iter()
            .map(|row| ((row.position, row.ledger.clone()), stored_posting(&row)))
            .collect();
        let mut found = Vec::new();
        for posting in &page.postings {
            let position = posting.position.get();
            let should = posting_values(&posting.row, position.saturating_sub(1))?;
            let ledger = posting.row.ledger.system_name().unwrap_or("account");
            let is = rows.remove(&(stored(position)?, ledger.to_owned()));
            let wrong = differing(&POSTINGS.columns, is.as_ref(), &should);
            found.extend(wrong.map(|why| {
                Difference::new(Check::Postings, format!("{ledger} at position {position}{why}"))
            }));
        }
        found.extend(rows.into_keys().map(|(position, ledger)| {
            let what = format!("{ledger} at position {position}: its event moves no money there");
            Difference::new(Check::Postings, what)
        }));
        Ok(found)
    }
}

/// What differs, if anything, to be put behind a name. What people wrote is not shown.
fn differing<const N: usize>(
    columns: &[&str; N],
    is: Option<&[Value; N]>,
    should: &[Value; N],
) -> Option<String> {
    let Some(is) = is else { return Some(" has no row".to_owned()) };
    let wrong: Vec<_> = columns
        .iter()
        .zip(is.iter().zip(should))
        .filter(|(_, (is, should))| is != should)
        .map(|(column, (is, should))| match (shown(is), shown(should)) {
            (Some(is), Some(should)) => format!("{column} is {is} and should be {should}"),
            _ => format!("{column} differs"),
        })
        .collect();
    (!wrong.is_empty()).then(|| format!(": {}", wrong.join(", ")))
}

fn shown(value: &Value) -> Option<String> {
    match value {
        Value::BigInt(Some(number)) => Some(number.to_string()),
        Value::BigInt(None) => Some("nothing".to_owned()),
        Value::Bool(Some(yes)) => Some(yes.to_string()),
        _ => None,
    }
}

fn stored_account(row: &account::Model) -> [Value; 10] {
    [
        row.id.into(),
        row.holder_id.into(),
        row.name.as_str().into(),
        row.currency.as_str().into(),
        row.initial_balance.into(),
        row.balance.into(),
        row.open.into(),
        row.created_at.into(),
        row.version.into(),
        row.position.into(),
    ]
}

fn stored_order(row: &order::Model) -> [Value; 10] {
    [
        row.id.into(),
        row.holder_id.into(),
        row.status.as_str().into(),
        row.currency.clone().into(),
        row.lines.clone().into(),
        row.paid.into(),
        row.account_id.into(),
        row.created_at.into(),
        row.version.into(),
        row.position.into(),
    ]
}

fn stored_posting(row: &posting::Model) -> [Value; 8] {
    [
        row.position.into(),
        row.ledger.as_str().into(),
        row.account_id.into(),
        row.currency.as_str().into(),
        row.amount.into(),
        row.balance.into(),
        row.reference.clone().into(),
        row.order_id.into(),
    ]
}
