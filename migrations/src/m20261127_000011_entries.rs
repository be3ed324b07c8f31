//! Entries are looked for where they could have been appended, at the end of the log: that needs no index
//! that each event is written to.

use sea_orm_migration::prelude::*;

use crate::append;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        append::hold_off(manager).await?;
        manager.drop_index(Index::drop().name("events_by_entry").table("events").to_owned()).await
    }
}
