//! Bringing stored events back.

use daybook_events::{
    EventData, EventFilter, EventId, HolderId, Position, RecordedEvent, StreamId, Timestamp,
    Version,
};
use sea_orm::{DbBackend, Statement, Value};

use crate::accounts::restored;
use crate::entities::event;
use crate::error::Fault;

/// Asks for a page that is bounded in bytes of data as well: what would go past the bound stays in the
/// database. The sum runs over the rows of the page alone.
pub(crate) fn within(
    backend: DbBackend,
    filter: &EventFilter,
    after: i64,
    limit: u32,
    bytes: i64,
) -> Statement {
    let mark = |number: usize| match backend {
        DbBackend::Postgres => format!("${number}"),
        _ => "?".to_owned(),
    };
    let mut values: Vec<Value> = vec![after.into()];
    let narrowed = match filter {
        EventFilter::All => None,
        EventFilter::Owner(holder) => Some(("owner_id", Value::from(holder.uuid()))),
        EventFilter::Stream(stream) => Some(("stream", Value::from(stream.as_str()))),
    };
    let narrowed = narrowed.map(|(column, value)| {
        values.push(value);
        format!("AND {column} = {}", mark(values.len()))
    });
    values.extend([i64::from(limit).into(), bytes.into()]);
    let (limit, bytes) = (mark(values.len() - 1), mark(values.len()));
    let sql = format!(
        "SELECT * FROM (SELECT page.*, SUM(OCTET_LENGTH(data)) OVER (ORDER BY position) - \
         OCTET_LENGTH(data) AS ahead FROM (SELECT * FROM events WHERE position > {} {} \
         ORDER BY position LIMIT {limit}) AS page) AS summed WHERE ahead < {bytes} ORDER BY position",
        mark(1),
        narrowed.unwrap_or_default(),
    );
    Statement::from_sql_and_values(backend, sql, values)
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
