//! Accounts and their statements.

use async_trait::async_trait;
use daybook_accounts::{
    Account, AccountEvent, AccountId, AccountName, AccountPage, AccountRepository, AccountStatus,
    RepositoryError, StatementEntry, StatementPage, Transfer, TransferSent, TransferSide,
};
use daybook_events::{
    EntryId, EventData, EventPayload, HolderId, Placed, Position, Timestamp, TransferId, Version,
};
use daybook_money::{Currency, Money};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    Select, SelectTwo,
};

use crate::Database;
use crate::entities::{account, event, posting};
use crate::error::Fault;
use crate::insert::padded;
use crate::list::{Next, Readable};

#[async_trait]
impl AccountRepository for Database {
    async fn find(&self, ids: &[AccountId]) -> Result<Vec<Account>, RepositoryError> {
        let ids = padded(ids.iter().map(|id| id.uuid()).collect());
        let found =
            account::Entity::find().filter(account::Column::Id.is_in(ids)).all(&self.readers).await;
        Ok(found.map_err(Fault::from)?.iter().map(restore).collect::<Result<_, _>>()?)
    }

    async fn list(&self, page: &AccountPage) -> Result<Vec<Placed<Account>>, RepositoryError> {
        let (mut page, mut readable) = (*page, Readable::new(page.limit, u64::MAX));
        loop {
            let next = Next::rows(readable.missing());
            page.limit = next.rows;
            let rows = listed(&page)?.all(&self.readers).await.map_err(Fault::from)?;
            let last = rows.last().map(|row| restored(row.position)).transpose()?;
            page.after = last.map(Position::new);
            if readable.take(rows, &next, |_| 0, |row| restore_placed(&row))? {
                return Ok(readable.into_page());
            }
        }
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

    async fn transfer(&self, id: TransferId) -> Result<Option<Transfer>, RepositoryError> {
        // As the index has it, which is of these events alone: a parameter would not be recognised.
        let named = match self.readers.get_database_backend() {
            DbBackend::Postgres => "(data::jsonb) ->> 'transfer_id'",
            _ => "json_extract(data, '$.transfer_id')",
        };
        let found = event::Entity::find()
            .filter(Expr::cust("event_type = 'TransferSent'"))
            .filter(Expr::cust(named).eq(id.uuid().to_string()))
            .one(&self.readers)
            .await
            .map_err(Fault::from)?;
        Ok(found.map(restore_transfer).transpose()?)
    }
}

fn restore_transfer(event: event::Model) -> Result<Transfer, Fault> {
    let data = EventData::from_stored(event.data).map_err(Fault::corrupt)?;
    let sent: TransferSent = data.read().map_err(Fault::corrupt)?;
    let from = event.stream.strip_prefix("account-").and_then(|id| id.parse().ok());
    let from = from.ok_or_else(|| Fault::corrupt("a transfer from no account"))?;
    Ok(Transfer {
        id: sent.transfer_id,
        from: AccountId::from_uuid(from),
        to: sent.to_account_id,
        amount: sent.amount,
        reference: sent.reference.map(Into::into),
        entry_id: EntryId::from_uuid(event.entry_id),
        position: Position::new(restored(event.position)?),
        timestamp: Timestamp::from_micros(event.timestamp),
    })
}

/// What an event's data says of a transfer; that of any other event is not read.
fn transfer_side(event: &event::Model) -> Result<Option<TransferSide>, Fault> {
    if !matches!(event.event_type.as_str(), "TransferSent" | "TransferReceived") {
        return Ok(None);
    }
    let data = EventData::from_stored(event.data.clone()).map_err(Fault::corrupt)?;
    let event = AccountEvent::from_stored(&event.event_type, &data).map_err(Fault::corrupt)?;
    Ok(TransferSide::of(&event))
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
        name: AccountName::from_stored(row.name.clone()),
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
    let transfer = transfer_side(&event)?;
    Ok(StatementEntry {
        entry_id: EntryId::from_uuid(event.entry_id),
        position: Position::new(restored(row.position)?),
        event_type: event.event_type,
        amount: Money::from_minor(row.amount, currency),
        balance: Money::from_minor(balance, currency),
        timestamp: Timestamp::from_micros(event.timestamp),
        reference: row.reference,
        order_id: row.order_id,
        transfer,
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
