//! Account holders.

use async_trait::async_trait;
use daybook_accounts::{Email, FullName, Holder, HolderRepository, PasswordHash, RepositoryError};
use daybook_events::{HolderId, Timestamp};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};

use crate::Database;
use crate::entities::holder;
use crate::error::Fault;
use crate::insert::padded;

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
}

fn restore(row: holder::Model) -> Result<Holder, Fault> {
    Ok(Holder {
        id: HolderId::from_uuid(row.id),
        email: row.email.parse().map_err(Fault::corrupt)?,
        full_name: row.full_name.map(FullName::from_stored),
        password_hash: PasswordHash::from_phc(&row.password_hash),
        created_at: Timestamp::from_micros(row.created_at),
    })
}
