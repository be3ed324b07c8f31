//! The database schema, one migration a step, on every engine.
//!
//! A migration that has been released is never edited: the next change is a new one, listed last.

use sea_orm_migration::prelude::*;

mod append;
mod m20261123_000001_ledger;
mod m20261123_000002_tasks;
mod m20261125_000003_append;
mod m20261125_000004_tasks;
mod m20261126_000005_installation;
mod m20261126_000006_lost_tasks;
mod m20261126_000007_positions;
mod m20261126_000008_append_placed;
mod m20261126_000010_transfers;
mod m20261127_000011_entries;
mod m20261127_000012_order_lists;
mod m20261127_000013_append_orders;
mod m20261201_000014_sessions;
mod m20261201_000015_task_turns;

/// Brings a database to the present schema.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261123_000001_ledger::Migration),
            Box::new(m20261123_000002_tasks::Migration),
            Box::new(m20261125_000003_append::Migration),
            Box::new(m20261125_000004_tasks::Migration),
            Box::new(m20261126_000005_installation::Migration),
            Box::new(m20261126_000006_lost_tasks::Migration),
            Box::new(m20261126_000007_positions::Migration),
            Box::new(m20261126_000008_append_placed::Migration),
            Box::new(m20261126_000010_transfers::Migration),
            Box::new(m20261127_000011_entries::Migration),
            Box::new(m20261127_000012_order_lists::Migration),
            Box::new(m20261127_000013_append_orders::Migration),
            Box::new(m20261201_000014_sessions::Migration),
            Box::new(m20261201_000015_task_turns::Migration),
        ]
    }
}

/// On SQLite a table with a key of its own needs no hidden row number beside it.
fn keyed_by_primary_key(
    manager: &SchemaManager<'_>,
    table: &mut TableCreateStatement,
) -> TableCreateStatement {
    if manager.get_database_backend() == sea_orm_migration::sea_orm::DatabaseBackend::Sqlite {
        table.extra("WITHOUT ROWID");
    }
    table.take()
}
