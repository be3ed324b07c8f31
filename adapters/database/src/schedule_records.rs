//! Since when schedules are known.

use async_trait::async_trait;
use daybook_events::{QueueError, ScheduleRecords, Timestamp};
use sea_orm::{ConnectionTrait, Statement, Value};

use crate::Database;
use crate::error::Fault;

/// One statement, so that of several instances that tell of a schedule at once the first counts.
const KNOWN_SINCE: &str = "INSERT INTO schedules (name, pattern, since) VALUES ($1, $2, $3) \
     ON CONFLICT (name) DO UPDATE SET pattern = excluded.pattern, since = CASE \
     WHEN schedules.pattern = excluded.pattern THEN schedules.since ELSE excluded.since END \
     RETURNING since";

#[async_trait]
impl ScheduleRecords for Database {
    async fn known_since(
        &self,
        name: &str,
        pattern: &str,
        now: Timestamp,
    ) -> Result<Timestamp, QueueError> {
        let backend = self.writer.get_database_backend();
        let values: [Value; 3] = [name.into(), pattern.into(), now.micros().into()];
        let known = Statement::from_sql_and_values(backend, KNOWN_SINCE, values);
        let rows = self.writer.query_all_raw(known).await.map_err(Fault::from)?;
        let row = rows.first().ok_or_else(|| Fault::corrupt("a schedule was not remembered"))?;
        Ok(Timestamp::from_micros(row.try_get("", "since").map_err(Fault::from)?))
    }
}
