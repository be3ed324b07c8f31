//! On Postgres: appending a batch in one step, with the positions of new accounts, orders and tasks.
//!
//! The function with fewer parameters stays beside it, for instances of the version before: the rows
//! that it writes get their positions by a trigger.

use sea_orm_migration::prelude::*;

use crate::append;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        append::make(manager).await
    }
}
