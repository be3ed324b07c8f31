//! Which sessions of a holder go on: those of the present password, but for those that were ended.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, uuid, uuid_null};

use crate::keyed_by_primary_key;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Who is there has registered, and done nothing else.
        for column in [
            big_integer("version").default(1).take(),
            big_integer("credentials").default(1).take(),
            uuid_null("kept_session"),
        ] {
            let table = Table::alter().table("holders").add_column(column).take();
            manager.alter_table(table).await?;
        }
        let mut ended = Table::create()
            .table("ended_sessions")
            .col(uuid("id").primary_key())
            .col(uuid("holder_id"))
            .col(big_integer("until"))
            .take();
        manager.create_table(keyed_by_primary_key(manager, &mut ended)).await?;
        let by_end = Index::create()
            .name("ended_sessions_by_end")
            .table("ended_sessions")
            .col("until")
            .take();
        manager.create_index(by_end).await
    }
}
