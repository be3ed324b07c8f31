//! Accounts and their statements.

use async_trait::async_trait;
use daybook_accounts::{
    Account, AccountId, AccountName, AccountPage, AccountRepository, AccountStatus,
    RepositoryError, StatementEntry, StatementPage,
};
use daybook_events::{EntryId, HolderId, Placed, Position, Timestamp, Version};
use daybook_money::{Currency, Money};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select, SelectTwo};

use crate::Database;
use crate::entities::{account, event, posting};
use crate::error::Fault;
use crate::insert::padded;

#[async_trait]
impl AccountRepository for Database {
    async fn find(&self, ids: &[AccountId]) -> Result<Vec<Account>, RepositoryError> {
        let ids = padded(ids.iter().map(|id| id.uuid()).collect());
        let found =
            account::Entity::find().filter(account::Column::Id.is_in(ids)).all(&self.readers).await;
        Ok(found.map_err(Fault::from)?.iter().map(restore).collect::<Result<_, _>>()?)
    }

    async fn list(&self, page: &AccountPage) -> Result<Vec<Placed<Account>>, RepositoryError> {
        let found = listed(page)?.all(&self.readers).await;
        Ok(found.map_err(Fault::from)?.iter().map(restore_placed).collect::<Result<_, _>>()?)
    }

    async fn statement(
        &self,
        page: &StatementPage,
    ) -> Result<Vec<StatementEntry>, RepositoryError> {
        let found = lines(page)?.all(&self.readers).await.map_err(Fault::from)?;
        Ok(found
            .into_iter()
            .map(|(posting, event)| restore_entry(posting, event))
            .collect::<Result<_, _>>()?)
    }
}

pub(crate) fn listed(page: &AccountPage) -> Result<Select<account::Entity>, Fault> {
    let mut query = account::Entity::find().filter(account::Column::Open.eq(true));
    if let Some(holder) = page.holder {
        query = query.filter(account::Column::HolderId.eq(holder.uuid()));
    }
    if let Some(after) = page.after {
        query = query.filter(account::Column::Position.gt(stored(after.get())?));
    }
    Ok(query.order_by_asc(account::Column::Position).limit(u64::from(page.limit)))
}

pub(crate) fn lines(
    page: &StatementPage,
) -> Result<SelectTwo<posting::Entity, event::Entity>, Fault> {
    let mut query = posting::Entity::find()
        .filter(posting::Column::AccountId.eq(page.account.uuid()))
        .find_also_related(event::Entity);
    if let Some(before) = page.before {
        query = query.filter(posting::Column::Position.lt(stored(before.get())?));
    }
    Ok(query.order_by_desc(posting::Column::Position).limit(u64::from(page.limit)))
}

pub(crate) fn restore_placed(row: &account::Model) -> Result<Placed<Account>, Fault> {
    Ok(Placed { position: Position::new(restored(row.position)?), thing: restore(row)? })
}

pub(crate) fn restore(row: &account::Model) -> Result<Account, Fault> {
    let currency: Currency = row.currency.parse().map_err(Fault::corrupt)?;
    Ok(Account {
        id: AccountId::from_uuid(row.id),
        holder_id: HolderId::from_uuid(row.holder_id),
        name: AccountName::new(&row.name).map_err(Fault::corrupt)?,
        initial_balance: Money::from_minor(row.initial_balance, currency),
        balance: Money::from_minor(row.balance, currency),
        status: if row.open { AccountStatus::Open } else { AccountStatus::Closed },
        created_at: Timestamp::from_micros(row.created_at),
        version: Version::new(restored(row.version)?),
    })
}

fn restore_entry(
    row: posting::Model,
    event: Option<event::Model>,
) -> Result<StatementEntry, Fault> {
    let event = event.ok_or_else(|| Fault::corrupt("a posting without its event"))?;
    let currency: Currency = row.currency.parse().map_err(Fault::corrupt)?;
    let balance =
        row.balance.ok_or_else(|| Fault::corrupt("a posting of an account without a balance"))?;
    Ok(StatementEntry {
        entry_id: EntryId::from_uuid(event.entry_id),
        position: Position::new(restored(row.position)?),
        event_type: event.event_type,
        amount: Money::from_minor(row.amount, currency),
        balance: Money::from_minor(balance, currency),
        timestamp: Timestamp::from_micros(event.timestamp),
        reference: row.reference,
        order_id: row.order_id,
    })
}

/// A count as the database has it. SQL integers are signed.
pub(crate) fn stored(count: u64) -> Result<i64, Fault> {
    i64::try_from(count).map_err(Fault::corrupt)
}

/// A count as it was stored.
pub(crate) fn restored(count: i64) -> Result<u64, Fault> {
    u64::try_from(count).map_err(Fault::corrupt)
}
