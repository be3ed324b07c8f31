//! The task queue.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, big_integer_null, integer, text, text_null, uuid, uuid_null,
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("tasks")
            .col(uuid("id").primary_key())
            .col(uuid_null("owner_id"))
            .col(text("kind"))
            .col(text("payload"))
            .col(text("state"))
            .col(integer("attempts"))
            .col(text_null("last_error"))
            .col(big_integer("run_at"))
            .col(big_integer("created_at"))
            .col(big_integer_null("finished_at"))
            .col(big_integer("lease_token"))
            .col(big_integer_null("lease_until"))
            .col(big_integer("version"))
            .take();
        manager.create_table(table).await?;
        let due =
            Index::create().name("tasks_due").table("tasks").col("state").col("run_at").take();
        manager.create_index(due).await?;
        let by_owner =
            Index::create().name("tasks_by_owner").table("tasks").col("owner_id").col("id").take();
        manager.create_index(by_owner).await
    }
}
