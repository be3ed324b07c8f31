//! The log, and the read models of holders, accounts and orders that are written with it.
//!
//! Instants are microseconds since 1970, money is minor units.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, big_integer_null, binary, boolean, text, text_null, uuid, uuid_null,
};

use crate::keyed_by_primary_key;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        events(manager).await?;
        outcomes(manager).await?;
        checkpoints(manager).await?;
        holders(manager).await?;
        accounts(manager).await?;
        postings(manager).await?;
        orders(manager).await
    }
}

async fn events(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table("events")
        .col(big_integer("position").primary_key())
        .col(uuid("id"))
        .col(text("stream"))
        .col(big_integer("version"))
        .col(text("event_type"))
        .col(uuid("entry_id"))
        .col(uuid_null("owner_id"))
        .col(uuid_null("order_id"))
        .col(big_integer("timestamp"))
        .col(text("data"))
        .col(text("metadata"))
        .take();
    manager.create_table(table).await?;
    unique(manager, "events_by_stream", "events", &["stream", "version"]).await?;
    index(manager, "events_by_owner", "events", &["owner_id", "position"]).await?;
    index(manager, "events_by_entry", "events", &["entry_id"]).await
}

async fn outcomes(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let mut table = Table::create()
        .table("outcomes")
        .col(text("key"))
        // The nil UUID for callers who are not logged in.
        .col(uuid("scope"))
        .col(binary("fingerprint"))
        .col(text("outcome"))
        .col(big_integer("position"))
        .col(big_integer("created_at"))
        .primary_key(Index::create().col("key").col("scope"))
        .take();
    manager.create_table(keyed_by_primary_key(manager, &mut table)).await?;
    index(manager, "outcomes_by_age", "outcomes", &["created_at"]).await
}

async fn checkpoints(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table("checkpoints")
        .col(text("reader").primary_key())
        .col(big_integer("position"))
        .take();
    manager.create_table(table).await
}

async fn holders(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table("holders")
        .col(uuid("id").primary_key())
        .col(text("email"))
        .col(text("email_key").unique_key())
        .col(text_null("full_name"))
        .col(text("password_hash"))
        .col(big_integer("created_at"))
        .take();
    manager.create_table(table).await
}

async fn accounts(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let mut table = Table::create()
        .table("accounts")
        .col(uuid("id").primary_key())
        .col(uuid("holder_id"))
        .col(text("name"))
        .col(text("currency"))
        .col(big_integer("initial_balance"))
        .col(big_integer("balance"))
        .col(boolean("open"))
        .col(big_integer("created_at"))
        .col(big_integer("version"))
        .take();
    manager.create_table(keyed_by_primary_key(manager, &mut table)).await?;
    index(manager, "accounts_by_holder", "accounts", &["holder_id", "id"]).await
}

async fn postings(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let mut table = Table::create()
        .table("postings")
        .col(big_integer("position"))
        // `account`, or the name of a system ledger.
        .col(text("ledger"))
        .col(uuid_null("account_id"))
        .col(text("currency"))
        .col(big_integer("amount"))
        .col(big_integer_null("balance"))
        .col(text_null("reference"))
        .col(uuid_null("order_id"))
        .primary_key(Index::create().col("position").col("ledger"))
        .take();
    manager.create_table(keyed_by_primary_key(manager, &mut table)).await?;
    index(manager, "postings_by_account", "postings", &["account_id", "position"]).await
}

async fn orders(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let mut table = Table::create()
        .table("orders")
        .col(uuid("id").primary_key())
        .col(uuid("holder_id"))
        .col(text("status"))
        .col(text_null("currency"))
        .col(text_null("lines"))
        .col(boolean("paid"))
        .col(uuid_null("account_id"))
        .col(big_integer("created_at"))
        .col(big_integer("version"))
        .take();
    manager.create_table(keyed_by_primary_key(manager, &mut table)).await?;
    index(manager, "orders_by_holder", "orders", &["holder_id", "id"]).await
}

async fn index(
    manager: &SchemaManager<'_>,
    name: &str,
    table: &str,
    columns: &[&'static str],
) -> Result<(), DbErr> {
    let mut index = Index::create().name(name).table(table.to_owned()).take();
    for column in columns {
        index.col(*column);
    }
    manager.create_index(index).await
}

async fn unique(
    manager: &SchemaManager<'_>,
    name: &str,
    table: &str,
    columns: &[&'static str],
) -> Result<(), DbErr> {
    let mut index = Index::create().unique().name(name).table(table.to_owned()).take();
    for column in columns {
        index.col(*column);
    }
    manager.create_index(index).await
}
