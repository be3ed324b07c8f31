//! Orders.

use async_trait::async_trait;
use daybook_events::{HolderId, Placed, Position, Timestamp, Version};
use daybook_money::Currency;
use daybook_orders::{
    Contents, Order, OrderId, OrderLine, OrderPage, OrderRepository, OrderStatus, Payment,
    RepositoryError,
};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseBackend, EntityTrait, QueryFilter, Statement};

use crate::Database;
use crate::accounts::{restored, stored};
use crate::entities::order;
use crate::error::Fault;
use crate::insert::padded;
use crate::list::{Newest, Readable, sizes};

#[async_trait]
impl OrderRepository for Database {
    async fn find(&self, ids: &[OrderId]) -> Result<Vec<Order>, RepositoryError> {
        let ids = padded(ids.iter().map(|id| id.uuid()).collect());
        let found =
            order::Entity::find().filter(order::Column::Id.is_in(ids)).all(&self.readers).await;
        Ok(found.map_err(Fault::from)?.into_iter().map(restore).collect::<Result<_, _>>()?)
    }

    async fn list(&self, page: &OrderPage) -> Result<Vec<Placed<Order>>, RepositoryError> {
        let (mut page, mut readable) = (*page, Readable::new(page.limit, page.bytes));
        let backend = self.readers.get_database_backend();
        loop {
            let sizes = async |limit| {
                let page = OrderPage { limit, ..page };
                sizes(&self.readers, listed(&page, SIZED, backend)?).await
            };
            let next = readable.next(sizes).await?;
            page.limit = next.rows;
            let statement = listed(&page, "*", backend)?;
            let rows = order::Entity::find().from_raw_sql(statement).all(&self.readers).await;
            let rows = rows.map_err(Fault::from)?;
            let last = rows.last().map(|row| restored(row.position)).transpose()?;
            page.before = last.map(Position::new);
            let size = |row: &order::Model| row.lines.as_ref().map_or(0, String::len) / 2;
            if readable.take(rows, &next, size, restore_placed)? {
                return Ok(readable.into_page());
            }
        }
    }
}

/// The size of a row: no more than it takes where it is shown.
pub(crate) const SIZED: &str = "position,COALESCE(OCTET_LENGTH(lines),0)/2 AS size";

pub(crate) fn listed(
    page: &OrderPage,
    columns: &str,
    backend: DatabaseBackend,
) -> Result<Statement, Fault> {
    let all = OrderStatus::ALL.map(OrderStatus::as_str);
    let one = page.status.map(OrderStatus::as_str);
    let newest = Newest {
        table: "orders",
        owner_column: "holder_id",
        owner: page.holder.map(HolderId::uuid),
        state_column: "status",
        states: one.as_ref().map_or(&all[..], std::slice::from_ref),
        key: "position",
        before: vec![page.before.map_or(Ok(i64::MAX), |before| stored(before.get()))?.into()],
        limit: page.limit,
        columns,
    };
    Ok(newest.statement(backend))
}

pub(crate) fn restore_placed(row: order::Model) -> Result<Placed<Order>, Fault> {
    Ok(Placed { position: Position::new(restored(row.position)?), thing: restore(row)? })
}

pub(crate) fn restore(row: order::Model) -> Result<Order, Fault> {
    let contents = match (row.currency, row.lines) {
        (Some(currency), Some(lines)) => {
            let currency: Currency = currency.parse().map_err(Fault::corrupt)?;
            let lines: Vec<OrderLine> = serde_json::from_str(&lines).map_err(Fault::corrupt)?;
            Some(Contents::from_lines(lines, currency).map_err(Fault::corrupt)?)
        }
        (None, None) => None,
        _ => return Err(Fault::corrupt("an order with half of its contents")),
    };
    let amount = contents.as_ref().map(Contents::total);
    Ok(Order {
        id: OrderId::from_uuid(row.id),
        holder_id: HolderId::from_uuid(row.holder_id),
        status: OrderStatus::from_name(&row.status)
            .ok_or_else(|| Fault::corrupt("an unknown status of an order"))?,
        payment: row.paid.then_some(Payment { account_id: row.account_id, amount }),
        contents,
        created_at: Timestamp::from_micros(row.created_at),
        version: Version::new(restored(row.version)?),
    })
}
