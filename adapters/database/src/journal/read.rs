//! Bringing stored events back.

use daybook_events::{
    EventData, EventId, HolderId, Position, RecordedEvent, StreamId, Timestamp, Version,
};
use sea_orm::Statement;

use crate::accounts::restored;
use crate::entities::event;
use crate::error::Fault;

/// A page that is bounded in bytes of data as well: what would go past the bound stays in the database.
/// The sum runs over the rows of the page alone.
pub(crate) fn within(page: Statement, bytes: i64) -> Statement {
    let sql = format!(
        "SELECT * FROM (SELECT page.*, SUM(OCTET_LENGTH(data)) OVER (ORDER BY position) - \
         OCTET_LENGTH(data) AS ahead FROM ({}) AS page) AS summed WHERE ahead < {bytes} \
         ORDER BY position",
        page.sql
    );
    Statement { sql, ..page }
}

pub(crate) fn restore(row: event::Model) -> Result<RecordedEvent, Fault> {
    Ok(RecordedEvent {
        position: Position::new(restored(row.position)?),
        id: EventId::from_uuid(row.id),
        stream: StreamId::from_stored(&row.stream),
        version: Version::new(restored(row.version)?),
        event_type: row.event_type.into(),
        timestamp: Timestamp::from_micros(row.timestamp),
        data: EventData::from_stored(row.data).map_err(Fault::corrupt)?,
        owner: row.owner_id.map(HolderId::from_uuid),
        order_id: row.order_id,
        metadata: serde_json::from_str(&row.metadata).map_err(Fault::corrupt)?,
    })
}
