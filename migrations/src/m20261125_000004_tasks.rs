//! Tasks with a priority, a history and a unique key. Tasks that are there get the defaults.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer_null, small_integer, text, text_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = [
            // 0 is high, 1 is normal, 2 is low.
            small_integer("priority").default(1).take(),
            // Attempts that failed, as JSON, oldest first.
            text("history").default("[]").take(),
            text_null("unique_key"),
            big_integer_null("unique_number"),
            big_integer_null("unique_until"),
        ];
        // SQLite adds one at a time.
        for column in columns {
            let table = Table::alter().table("tasks").add_column(column).take();
            manager.alter_table(table).await?;
        }
        let turns = Index::create()
            .name("tasks_by_priority")
            .table("tasks")
            .col("state")
            .col("priority")
            .col("run_at")
            .take();
        manager.create_index(turns).await?;
        // Nearly always nothing was created later than now.
        let newest = Index::create()
            .name("tasks_by_creation")
            .table("tasks")
            .col("state")
            .col("created_at")
            .take();
        manager.create_index(newest).await?;
        // Tasks without a key are not in it: nothing equals NULL.
        let unique = Index::create()
            .name("tasks_unique")
            .table("tasks")
            .unique()
            .col("unique_key")
            .col("owner_id")
            .col("kind")
            .col("unique_number")
            .take();
        manager.create_index(unique).await
    }
}
