//! Account holders.

use async_trait::async_trait;
use daybook_accounts::{
    Email, FullName, Holder, HolderRepository, HolderStanding, PasswordHash, RepositoryError,
    Session, SessionId,
};
use daybook_events::{HolderId, Timestamp, Version};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, Statement};
use uuid::Uuid;

use crate::Database;
use crate::accounts::restored;
use crate::entities::{ended_session, holder};
use crate::error::Fault;
use crate::insert::{padded, placeholders};

#[async_trait]
impl HolderRepository for Database {
    async fn find(&self, id: HolderId) -> Result<Option<Holder>, RepositoryError> {
        let found =
            holder::Entity::find_by_id(id.uuid()).one(&self.readers).await.map_err(Fault::from)?;
        Ok(found.map(restore).transpose()?)
    }

    async fn find_by_email(&self, email: &Email) -> Result<Option<Holder>, RepositoryError> {
        let query = holder::Entity::find().filter(holder::Column::EmailKey.eq(email.key()));
        let found = query.one(&self.readers).await.map_err(Fault::from)?;
        Ok(found.map(restore).transpose()?)
    }

    async fn registered(&self, keys: &[Box<str>]) -> Result<Vec<Box<str>>, RepositoryError> {
        let keys = padded(keys.iter().map(ToString::to_string).collect());
        let found: Result<Vec<String>, _> = holder::Entity::find()
            .select_only()
            .column(holder::Column::EmailKey)
            .filter(holder::Column::EmailKey.is_in(keys))
            .into_tuple()
            .all(&self.readers)
            .await;
        Ok(found.map_err(Fault::from)?.into_iter().map(Into::into).collect())
    }

    async fn standings(
        &self,
        ids: &[HolderId],
    ) -> Result<Vec<(HolderId, HolderStanding)>, RepositoryError> {
        let ids = padded(ids.iter().map(|id| id.uuid()).collect());
        let found: Result<Vec<StandingRow>, _> = holder::Entity::find()
            .select_only()
            .columns([
                holder::Column::Id,
                holder::Column::Version,
                holder::Column::Credentials,
                holder::Column::KeptSession,
            ])
            .filter(holder::Column::Id.is_in(ids))
            .into_tuple()
            .all(&self.readers)
            .await;
        let standings = found.map_err(Fault::from)?.into_iter().map(standing);
        Ok(standings.collect::<Result<_, _>>()?)
    }

    async fn is_live(&self, session: &Session) -> Result<bool, RepositoryError> {
        let found = self.standings(&[session.holder_id]).await?;
        if !found.iter().any(|(_, standing)| standing.has(session)) {
            return Ok(false);
        }
        let ended = ended_session::Entity::find_by_id(session.id.uuid()).one(&self.readers).await;
        Ok(ended.map_err(Fault::from)?.is_none())
    }

    async fn forget_ended_sessions(
        &self,
        before: Timestamp,
        limit: u32,
    ) -> Result<u64, RepositoryError> {
        let backend = self.writer.get_database_backend();
        let [instant, most] = [1, 2].map(|number| placeholders(backend, number, 1));
        let sql = format!(
            "DELETE FROM ended_sessions WHERE id IN \
             (SELECT id FROM ended_sessions WHERE until < {instant} LIMIT {most})"
        );
        let values = [before.micros().into(), i64::from(limit).into()];
        let statement = Statement::from_sql_and_values(backend, sql, values);
        let deleted = self.writer.execute_raw(statement).await.map_err(Fault::from)?;
        Ok(deleted.rows_affected())
    }
}

type StandingRow = (Uuid, i64, i64, Option<Uuid>);

pub(crate) fn standing(row: StandingRow) -> Result<(HolderId, HolderStanding), Fault> {
    let (id, version, credentials, kept) = row;
    let standing = HolderStanding {
        version: Version::new(restored(version)?),
        credentials: Version::new(restored(credentials)?),
        kept_session: kept.map(SessionId::from_uuid),
    };
    Ok((HolderId::from_uuid(id), standing))
}

fn restore(row: holder::Model) -> Result<Holder, Fault> {
    let (id, standing) = standing((row.id, row.version, row.credentials, row.kept_session))?;
    Ok(Holder {
        id,
        standing,
        email: row.email.parse().map_err(Fault::corrupt)?,
        full_name: row.full_name.map(FullName::from_stored),
        password_hash: PasswordHash::from_phc(&row.password_hash),
        created_at: Timestamp::from_micros(row.created_at),
    })
}
