//! The journal.

mod isolation;
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
    ColumnTrait, ConnectionTrait, DatabaseBackend, DatabaseTransaction, DbErr, EntityTrait,
    QueryFilter, QueryOrder, QuerySelect, QueryTrait, Set, Statement, Value,
};
use uuid::Uuid;

use isolation::{Isolation, LeftOut};
use plan::{NewStreams, Plan, Stored};

use crate::Database;
use crate::accounts::{restored, stored};
use crate::database::Engine;
use crate::diagnosis::{About, about, of_driver};
use crate::entities::{checkpoint, event, outcome};
use crate::error::Fault;
use crate::insert::{padded, placeholders};
use crate::postgres::Postgres;

/// The scope of keys of callers who are not logged in.
pub(crate) const NO_HOLDER: Uuid = Uuid::nil();

#[async_trait]
impl Journal<Row> for Database {
    async fn append(&self, batch: &[Entry<Row>]) -> Result<Vec<EntryOutcome>, JournalError> {
        if let Some(outcomes) = self.append_at_once(batch).await? {
            return Ok(outcomes);
        }
        let mut written = self.append_planned(batch, NewStreams::Believed).await;
        if matches!(written, Err(AppendError::Fault(Fault::Exists))) {
            written = self.append_planned(batch, NewStreams::LookedUp).await;
        }
        if matches!(
            written,
            Err(AppendError::Fault(Fault::Exists | Fault::Refused(_) | Fault::Corrupt(_)))
        ) {
            written = self.append_isolated(batch).await;
        }
        written.map_err(AppendError::into_port)
    }

    async fn check(&self) -> Result<(), JournalError> {
        match &self.engine {
            Engine::Sqlite(_) => head(&self.readers).await.map(drop).map_err(JournalError::from),
            Engine::Postgres(postgres) => postgres.check().await,
        }
    }

    async fn find_entries(
        &self,
        entries: &[EntryId],
        after: Position,
    ) -> Result<Vec<Option<Position>>, JournalError> {
        if let Engine::Postgres(postgres) = &self.engine {
            postgres.end_suspects(&self.readers).await?;
        }
        let after = if self.head().await? < after { Position::ZERO } else { after };
        let after: i64 = stored(after.get())?;
        let ids = padded(entries.iter().map(|id| id.uuid()).collect());
        let found: Vec<(Uuid, i64)> = event::Entity::find()
            .select_only()
            .column(event::Column::EntryId)
            .column_as(event::Column::Position.max(), "last")
            .filter(event::Column::Position.gt(after))
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

    async fn read_within(
        &self,
        filter: &EventFilter,
        after: Position,
        limit: u32,
        bytes: u64,
    ) -> Result<Vec<RecordedEvent>, JournalError> {
        let Ok(after) = i64::try_from(after.get()) else { return Ok(Vec::new()) };
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let backend = self.readers.get_database_backend();
        let statement = read::within(listed(filter, after, limit, backend), bytes);
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
        // One statement: what it finds is what it forgets, whatever others remember meanwhile.
        let (backend, limit) = (self.writer.get_database_backend(), i64::from(limit));
        let [instant, most] = [1, 2].map(|number| placeholders(backend, number, 1));
        let sql = format!(
            "DELETE FROM outcomes WHERE created_at < {instant} AND (key, scope) IN \
             (SELECT key, scope FROM outcomes WHERE created_at < {instant} LIMIT {most})"
        );
        let values = match backend {
            // A number names a parameter, however often it is written.
            DatabaseBackend::Postgres => vec![before.micros().into(), limit.into()],
            _ => vec![before.micros().into(), before.micros().into(), limit.into()],
        };
        let statement = Statement::from_sql_and_values(backend, sql, values);
        let deleted = self.writer.execute_raw(statement).await.map_err(Fault::from)?;
        Ok(deleted.rows_affected())
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
    /// Nothing was written.
    Fault(Fault),
    /// Only the database knows what became of it.
    Unknown(String),
}

impl AppendError {
    fn into_port(self) -> JournalError {
        match self {
            Self::Fault(fault) => fault.into(),
            Self::Unknown(reason) => JournalError::Unknown(reason),
        }
    }
}

/// The transaction of a batch, and on Postgres its session, which may have to be ended.
struct Begun<'a> {
    transaction: DatabaseTransaction,
    session: Option<(&'a Postgres, i32)>,
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
        let plan = Stored::believed(batch).plan(batch, &LeftOut::default());
        if !plan.is_whole() {
            return Ok(None);
        }
        // What can't even be said is refused by itself, below.
        let Ok(tables) = Tables::of(batch, &plan, 0..batch.len()) else { return Ok(None) };
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
            let begun = self.begin_append().await?;
            let stored = Stored::look_up(&begun.transaction, batch, new_streams).await?;
            let plan = stored.plan(batch, &LeftOut::default());
            Tables::of(batch, &plan, 0..batch.len())?.insert(&begun.transaction).await?;
            Ok::<_, Fault>((begun, plan))
        });
        let (begun, plan) = written.await.map_err(AppendError::Fault)?;
        self.commit(begun, plan, batch).await
    }

    /// Appends a batch of which something is refused: that is left out, and the rest is committed.
    async fn append_isolated(
        &self,
        batch: &[Entry<Row>],
    ) -> Result<Vec<EntryOutcome>, AppendError> {
        let mut isolation = Isolation::of(batch);
        loop {
            let written = self.writer.bounded(async {
                let begun = self.begin_append().await?;
                let db = &begun.transaction;
                let stored = Stored::look_up(db, batch, NewStreams::LookedUp).await?;
                let plan = isolation.write(db, &stored, batch).await?;
                Ok::<_, Fault>(plan.map(|plan| (begun, plan)))
            });
            if let Some((begun, plan)) = written.await.map_err(AppendError::Fault)? {
                return self.commit(begun, plan, batch).await;
            }
        }
    }

    /// Begins the transaction of a batch, with the lock.
    async fn begin_append(&self) -> Result<Begun<'_>, DbErr> {
        Ok(match &self.engine {
            Engine::Sqlite(_) => Begun { transaction: self.begin().await?, session: None },
            Engine::Postgres(postgres) => {
                let (transaction, pid) = postgres.begin_append(&self.writer).await?;
                Begun { transaction, session: Some((postgres, pid)) }
            }
        })
    }

    async fn commit(
        &self,
        begun: Begun<'_>,
        plan: Plan,
        batch: &[Entry<Row>],
    ) -> Result<Vec<EntryOutcome>, AppendError> {
        let Begun { transaction, session } = begun;
        let committed = self.writer.bounded(transaction.commit()).await;
        committed.map_err(|error: DbErr| {
            // What is looked at only now is refused like any other.
            if of_driver(&error).is_some_and(|error| about(error) == About::Row) {
                return AppendError::Fault(Fault::Refused(error.to_string()));
            }
            // Otherwise only the database knows; an error does not say what became of it.
            if let Some((postgres, pid)) = session {
                postgres.suspect(pid);
            }
            AppendError::Unknown(error.to_string())
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
