//! Orders.

use async_trait::async_trait;
use daybook_events::{HolderId, Timestamp, Version};
use daybook_money::Currency;
use daybook_orders::{
    Contents, Order, OrderId, OrderLine, OrderPage, OrderRepository, OrderStatus, Payment,
    RepositoryError,
};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::Database;
use crate::accounts::restored;
use crate::entities::order;
use crate::error::Fault;
use crate::insert::padded;

#[async_trait]
impl OrderRepository for Database {
    async fn find(&self, ids: &[OrderId]) -> Result<Vec<Order>, RepositoryError> {
        let ids = padded(ids.iter().map(|id| id.uuid()).collect());
        let found =
            order::Entity::find().filter(order::Column::Id.is_in(ids)).all(&self.readers).await;
        Ok(found.map_err(Fault::from)?.into_iter().map(restore).collect::<Result<_, _>>()?)
    }

    async fn list(&self, page: &OrderPage) -> Result<Vec<Order>, RepositoryError> {
        let mut query = order::Entity::find();
        if let Some(holder) = page.holder {
            query = query.filter(order::Column::HolderId.eq(holder.uuid()));
        }
        if let Some(status) = page.status {
            query = query.filter(order::Column::Status.eq(status.as_str()));
        }
        if let Some(after) = page.after {
            query = query.filter(order::Column::Id.lt(after.uuid()));
        }
        let found = query
            .order_by_desc(order::Column::Id)
            .limit(u64::from(page.limit))
            .all(&self.readers)
            .await;
        Ok(found.map_err(Fault::from)?.into_iter().map(restore).collect::<Result<_, _>>()?)
    }
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
