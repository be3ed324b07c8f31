//! Tasks are handed out in turn by their holders: of those that wait, the next holder is found.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let index = "CREATE INDEX tasks_in_turn ON tasks (priority, owner_id, run_at) \
                     WHERE state = 'queued' AND lease_until IS NULL";
        manager.get_connection().execute_unprepared(index).await.map(drop)
    }
}
