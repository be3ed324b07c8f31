//! Transfers are found by their ids: an index of the events that say of one, and of no others.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DatabaseBackend;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let id = match manager.get_database_backend() {
            DatabaseBackend::Postgres => "((data::jsonb) ->> 'transfer_id')",
            _ => "json_extract(data, '$.transfer_id')",
        };
        let index = format!(
            "CREATE INDEX events_by_transfer ON events ({id}) WHERE event_type = 'TransferSent'"
        );
        manager.get_connection().execute_unprepared(&index).await?;
        Ok(())
    }
}
