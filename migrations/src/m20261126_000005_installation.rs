//! Which log this is. The row is made by whoever opens the database: it says where that is.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{small_integer, text, uuid};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("installation")
            // There is one row: its number is 1.
            .col(small_integer("number").primary_key())
            .col(uuid("id"))
            .col(uuid("secret"))
            .col(text("place"))
            .take();
        manager.create_table(table).await
    }
}
