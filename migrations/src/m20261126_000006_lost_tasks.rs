//! When tasks whose messages were lost were put on the queue again, and since when schedules are
//! known.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, big_integer_null, text};

use crate::keyed_by_primary_key;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let put_back =
            Table::alter().table("tasks").add_column(big_integer_null("put_back_at")).take();
        manager.alter_table(put_back).await?;
        let mut schedules = Table::create()
            .table("schedules")
            .col(text("name").primary_key())
            .col(text("pattern"))
            .col(big_integer("since"))
            .take();
        manager.create_table(keyed_by_primary_key(manager, &mut schedules)).await
    }
}
