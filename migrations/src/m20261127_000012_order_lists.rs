//! Orders are listed along an index for each status, which has no status in it: a new order is written
//! to two of them, with a shorter key.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const OUTDATED: [&str; 2] = ["orders_listed_of_holder", "orders_listed"];

const STATUSES: [(&str, &str); 3] =
    [("pending", "PENDING"), ("paid", "PAID"), ("canceled", "CANCELED")];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for name in OUTDATED {
            manager.drop_index(Index::drop().name(name).table("orders").to_owned()).await?;
        }
        let db = manager.get_connection();
        for (name, status) in STATUSES {
            for (of_whom, columns) in [("_of_holder", "holder_id, position"), ("", "position")] {
                let index = format!(
                    "CREATE INDEX orders_{name}{of_whom} ON orders ({columns}) \
                     WHERE status = '{status}'"
                );
                db.execute_unprepared(&index).await?;
            }
        }
        Ok(())
    }
}
