//! The journal.

mod plan;
pub(crate) mod read;
pub(crate) mod rows;

pub(crate) use rows::{TASKS, Tables, task_values};

use async_trait::async_trait;
use daybook_application::Row;
use daybook_events::{
    Entry, EntryId, EntryOutcome, EventFilter, Fingerprint, HolderId, Journal, JournalError,
    Position, RecordedEvent, StoredOutcome, StreamId, Timestamp, Version,
};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseBackend, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait, Set, Statement, Value,
};
use uuid::Uuid;

use plan::{NewStreams, Stored};

use crate::Database;
use crate::accounts::{restored, stored};
use crate::database::Engine;
use crate::entities::{checkpoint, event, outcome};
use crate::error::Fault;
use crate::insert::{padded, placeholders};

/// The scope of keys of callers who are not logged in.
pub(crate) const NO_HOLDER: Uuid = Uuid::nil();

#[async_trait]
impl Journal<Row> for Database {
    async fn append(&self, batch: &[Entry<Row>]) -> Result<Vec<EntryOutcome>, JournalError> {
        if let Some(outcomes) = self.append_at_once(batch).await? {
            return Ok(outcomes);
        }
        match self.append_planned(batch, NewStreams::Believed).await {
            Err(AppendError::Exists) => {}
            ended => return ended.map_err(AppendError::into_port),
        }
        self.append_planned(batch, NewStreams::LookedUp).await.map_err(AppendError::into_port)
    }

    async fn find_entries(
        &self,
        entries: &[EntryId],
    ) -> Result<Vec<Option<Position>>, JournalError> {
        if let Engine::Postgres(postgres) = &self.engine {
            postgres.end_suspects(&self.readers).await?;
        }
        let ids = padded(entries.iter().map(|id| id.uuid()).collect());
        let found: Vec<(Uuid, i64)> = event::Entity::find()
            .select_only()
            .column(event::Column::EntryId)
            .column_as(event::Column::Position.max(), "last")
            .filter(event::Column::EntryId.is_in(ids))
            .group_by(event::Column::EntryId)
            .into_tuple()
            .all(&self.readers)
            .await
            .map_err(Fault::from)?;
        let last = |entry: &EntryId| {
            found.iter().find(|(id, _)| *id == entry.uuid()).map(|(_, position)| *position)
        };
        Ok(entries
            .iter()
            .map(|entry| {
                last(entry).map(|position| restored(position).map(Position::new)).transpose()
            })
            .collect::<Result<_, _>>()?)
    }

    async fn versions(&self, streams: &[StreamId]) -> Result<Vec<Version>, JournalError> {
        let found = versions(&self.readers, streams.iter().map(StreamId::as_str).collect()).await?;
        Ok(streams
            .iter()
            .map(|stream| {
                found
                    .iter()
                    .find(|(name, _)| name == stream.as_str())
                    .map_or(Version::ZERO, |(_, v)| *v)
            })
            .collect())
    }

    async fn read(
        &self,
        filter: &EventFilter,
        after: Position,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, JournalError> {
        // Past the highest position that can be stored there is nothing.
        let Ok(after) = i64::try_from(after.get()) else { return Ok(Vec::new()) };
        let statement = listed(filter, after, limit, self.readers.get_database_backend());
        let found = event::Entity::find().from_raw_sql(statement).all(&self.readers).await;
        let found = found.map_err(Fault::from)?;
        Ok(found.into_iter().map(read::restore).collect::<Result<_, _>>()?)
    }

    async fn head(&self) -> Result<Position, JournalError> {
        Ok(Position::new(restored(head(&self.readers).await?)?))
    }

    async fn find_outcome(
        &self,
        scope: Option<HolderId>,
        key: &str,
    ) -> Result<Option<StoredOutcome>, JournalError> {
        let scope = scope.map_or(NO_HOLDER, HolderId::uuid);
        let found = outcome::Entity::find_by_id((key.to_owned(), scope)).one(&self.readers).await;
        Ok(found.map_err(Fault::from)?.map(restore_outcome).transpose()?)
    }

    async fn forget_outcomes(&self, before: Timestamp, limit: u32) -> Result<u64, JournalError> {
        let old: Vec<(String, Uuid)> = outcome::Entity::find()
            .select_only()
            .columns([outcome::Column::Key, outcome::Column::Scope])
            .filter(outcome::Column::CreatedAt.lt(before.micros()))
            .limit(u64::from(limit))
            .into_tuple()
            .all(&self.readers)
            .await
            .map_err(Fault::from)?;
        let transaction = self.begin().await.map_err(Fault::from)?;
        let mut forgotten = 0;
        for key in old {
            let deleted =
                outcome::Entity::delete_by_id(key).exec(&transaction).await.map_err(Fault::from)?;
            forgotten += deleted.rows_affected;
        }
        transaction.commit().await.map_err(Fault::from)?;
        Ok(forgotten)
    }

    async fn checkpoint(&self, reader: &str) -> Result<Position, JournalError> {
        let found = checkpoint::Entity::find_by_id(reader.to_owned())
            .one(&self.readers)
            .await
            .map_err(Fault::from)?;
        Ok(Position::new(found.map_or(Ok(0), |row| restored(row.position))?))
    }

    async fn save_checkpoint(&self, reader: &str, position: Position) -> Result<(), JournalError> {
        let row = checkpoint::ActiveModel {
            reader: Set(reader.to_owned()),
            position: Set(stored(position.get())?),
        };
        let further = OnConflict::column(checkpoint::Column::Reader)
            .update_column(checkpoint::Column::Position)
            .action_and_where(
                Expr::col(("excluded", checkpoint::Column::Position))
                    .gt(Expr::col((checkpoint::Entity, checkpoint::Column::Position))),
            )
            .to_owned();
        match checkpoint::Entity::insert(row)
            .on_conflict(further)
            .exec_without_returning(&self.writer)
            .await
        {
            // Nothing was written: the checkpoint is further already.
            Ok(_) | Err(DbErr::RecordNotInserted) => Ok(()),
            Err(error) => Err(Fault::from(error).into()),
        }
    }
}

/// Why a batch was not appended.
enum AppendError {
    /// Something that was believed to be new is there.
    Exists,
    Port(JournalError),
}

impl AppendError {
    fn into_port(self) -> JournalError {
        match self {
            Self::Exists => {
                JournalError::Corrupt("a row that was looked for and not found is there".to_owned())
            }
            Self::Port(error) => error,
        }
    }
}

impl From<Fault> for AppendError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Exists => Self::Exists,
            other => Self::Port(other.into()),
        }
    }
}

/// The events of a stream after a position. Within a stream versions rise as positions do, and
/// there is an index of versions: the last version up to the position is found by halving, in some
/// twenty steps of the index, and an index of positions would have to be written with each event.
const READ_STREAM: &str = "
WITH RECURSIVE search (low, high) AS (
    SELECT CAST(0 AS bigint),
           coalesce((SELECT version FROM events WHERE stream = $1 ORDER BY version DESC LIMIT 1), 0)
    UNION ALL
    SELECT CASE WHEN middle.position <= $2 THEN middle.version ELSE low END,
           CASE WHEN middle.position <= $2 THEN high ELSE middle.version - 1 END
    FROM search, events AS middle
    WHERE low < high AND middle.stream = $1 AND middle.version = (low + high + 1) / 2
)
SELECT * FROM events
WHERE stream = $1 AND version > (SELECT max(low) FROM search) AND position > $2
ORDER BY version LIMIT $3";

/// What reads events.
pub(crate) fn listed(
    filter: &EventFilter,
    after: i64,
    limit: u32,
    backend: DatabaseBackend,
) -> Statement {
    let query = event::Entity::find().filter(event::Column::Position.gt(after));
    let query = match filter {
        EventFilter::All => query,
        EventFilter::Owner(holder) => query.filter(event::Column::OwnerId.eq(holder.uuid())),
        EventFilter::Stream(stream) => {
            let values = [stream.as_str().into(), after.into(), i64::from(limit).into()];
            return Statement::from_sql_and_values(backend, READ_STREAM, values);
        }
    };
    query.order_by_asc(event::Column::Position).limit(u64::from(limit)).build(backend)
}

impl Database {
    /// Appends a batch in one step, where the engine can and everything is as the batch expects;
    /// `None` where it has to be planned. Then nothing was written.
    async fn append_at_once(
        &self,
        batch: &[Entry<Row>],
    ) -> Result<Option<Vec<EntryOutcome>>, JournalError> {
        let Engine::Postgres(postgres) = &self.engine else { return Ok(None) };
        let plan = Stored::believed(batch).plan(batch);
        if !plan.is_whole() {
            return Ok(None);
        }
        let tables = Tables::of(batch, &plan)?;
        if !tables.only_inserts() {
            return Ok(None);
        }
        let expected = Stored::believed(batch).expectations(batch);
        match postgres.append(expected, tables).await? {
            Some(head) => Ok(Some(plan.after(restored(head)?).into_outcomes(batch))),
            None => Ok(None),
        }
    }

    async fn append_planned(
        &self,
        batch: &[Entry<Row>],
        new_streams: NewStreams,
    ) -> Result<Vec<EntryOutcome>, AppendError> {
        let written = self.writer.bounded(async {
            let (transaction, session) = match &self.engine {
                Engine::Sqlite(_) => (self.begin().await?, None),
                Engine::Postgres(postgres) => {
                    let (transaction, pid) = postgres.begin_append(&self.writer).await?;
                    (transaction, Some((postgres, pid)))
                }
            };
            let plan = Stored::look_up(&transaction, batch, new_streams).await?.plan(batch);
            Tables::of(batch, &plan)?.insert(&transaction).await?;
            Ok::<_, Fault>((transaction, session, plan))
        });
        let (transaction, session, plan) = written.await?;
        let committed = self.writer.bounded(transaction.commit()).await;
        // Past this point only the database knows; an error does not say what became of it.
        committed.map_err(|error: DbErr| {
            if let Some((postgres, pid)) = session {
                postgres.suspect(pid);
            }
            AppendError::Port(JournalError::Unknown(error.to_string()))
        })?;
        Ok(plan.into_outcomes(batch))
    }
}

/// The position of the last event; zero for an empty log.
pub(crate) async fn head(db: &impl ConnectionTrait) -> Result<i64, Fault> {
    let last: Option<Option<i64>> = event::Entity::find()
        .select_only()
        .column_as(event::Column::Position.max(), "last")
        .into_tuple()
        .one(db)
        .await?;
    Ok(last.flatten().unwrap_or(0))
}

/// The versions of those of the streams that have events. One step of the index for each, however
/// long the stream is.
pub(crate) async fn versions(
    db: &impl ConnectionTrait,
    streams: Vec<&str>,
) -> Result<Vec<(String, Version)>, Fault> {
    if streams.is_empty() {
        return Ok(Vec::new());
    }
    let (backend, streams) = (db.get_database_backend(), padded(streams));
    let rows: Vec<_> = (1..=streams.len())
        .map(|number| format!("({})", placeholders(backend, number, 1)))
        .collect();
    let sql = format!(
        "SELECT DISTINCT asked.column1 AS stream, (SELECT events.version FROM events WHERE \
         events.stream = asked.column1 ORDER BY events.version DESC LIMIT 1) AS version \
         FROM (VALUES {}) AS asked",
        rows.join(",")
    );
    let values = streams.into_iter().map(Value::from);
    let found = db.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    found
        .into_iter()
        .filter_map(|row| match row.try_get::<Option<i64>>("", "version") {
            Ok(None) => None,
            Ok(Some(version)) => Some(
                row.try_get("", "stream")
                    .map_err(Fault::from)
                    .and_then(|stream| Ok((stream, Version::new(restored(version)?)))),
            ),
            Err(error) => Some(Err(error.into())),
        })
        .collect()
}

fn restore_outcome(row: outcome::Model) -> Result<StoredOutcome, Fault> {
    let digest = row
        .fingerprint
        .try_into()
        .map_err(|_| Fault::corrupt("a fingerprint of another length"))?;
    Ok(StoredOutcome {
        fingerprint: Fingerprint::new(digest),
        outcome: row.outcome,
        position: Position::new(restored(row.position)?),
    })
}
