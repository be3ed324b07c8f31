//! Entries are looked for where they could have been appended, at the end of the log: that needs no index
//! that each event is written to.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DatabaseBackend;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() == DatabaseBackend::Postgres {
            // Instances that are running append neither now nor in another order of locks.
            let lock = "SELECT pg_advisory_xact_lock(1684109676, 1)";
            manager.get_connection().execute_unprepared(lock).await?;
        }
        manager.drop_index(Index::drop().name("events_by_entry").table("events").to_owned()).await
    }
}
