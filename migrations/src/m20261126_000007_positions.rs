//! Where accounts, orders and tasks began in the log: lists go by that, as ids and instants come
//! from clocks that may differ. And for each filter of a list an index in its order.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::big_integer;
use sea_orm_migration::sea_orm::DatabaseBackend;

use crate::append;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Each table, with the category of its streams.
const TABLES: [(&str, &str); 3] = [("accounts", "account"), ("orders", "order"), ("tasks", "task")];

/// What is replaced: these were in the order of ids.
const OUTDATED: [(&str, &str); 3] = [
    ("accounts_by_holder", "accounts"),
    ("orders_by_holder", "orders"),
    ("tasks_by_owner", "tasks"),
];

/// For a holder, and for who sees all. Without a filter by state, those of all states are merged.
const INDEXES: [(&str, &str, &[&str]); 6] = [
    ("accounts_listed_of_holder", "accounts", &["holder_id", "open", "position"]),
    ("accounts_listed", "accounts", &["open", "position"]),
    ("orders_listed_of_holder", "orders", &["holder_id", "status", "position"]),
    ("orders_listed", "orders", &["status", "position"]),
    ("tasks_listed_of_owner", "tasks", &["owner_id", "state", "position", "id"]),
    ("tasks_listed", "tasks", &["state", "position", "id"]),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let (db, backend) = (manager.get_connection(), manager.get_database_backend());
        append::hold_off(manager).await?;
        for (name, table) in OUTDATED {
            manager.drop_index(Index::drop().name(name).table(table).to_owned()).await?;
        }
        for (table, category) in TABLES {
            let position = big_integer("position").default(0).take();
            manager.alter_table(Table::alter().table(table).add_column(position).take()).await?;
            let stream = stream_of(backend, table, category);
            let begun = format!(
                "UPDATE {table} SET position = coalesce((SELECT e.position FROM events AS e \
                 WHERE e.stream = {stream} AND e.version = 1), 0)"
            );
            db.execute_unprepared(&begun).await?;
        }
        db.execute_unprepared(FOREIGN_TASKS).await?;
        if backend == DatabaseBackend::Postgres {
            db.execute_unprepared(OLDER_INSTANCES).await?;
        }
        for (name, table, columns) in INDEXES {
            let mut index = Index::create().name(name).table(table).take();
            for column in columns {
                index.col(*column);
            }
            manager.create_index(index).await?;
        }
        Ok(())
    }
}

/// The name of a row's stream.
fn stream_of(backend: DatabaseBackend, table: &str, category: &str) -> String {
    if backend == DatabaseBackend::Postgres {
        return format!("'{category}-' || {table}.id");
    }
    let hex = |from: u8, length: u8| format!("substr(hex({table}.id), {from}, {length})");
    let parts = [hex(1, 8), hex(9, 4), hex(13, 4), hex(17, 4), hex(21, 12)];
    format!("'{category}-' || lower({})", parts.join(" || '-' || "))
}

/// Tasks that no event asked for stand where they stood among the others.
const FOREIGN_TASKS: &str = "
UPDATE tasks SET position = found.position
FROM (SELECT id, max(position) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS position
      FROM tasks) AS found
WHERE found.id = tasks.id AND tasks.position = 0";

/// Instances that run while others are upgraded say no position.
const OLDER_INSTANCES: &str = "
CREATE FUNCTION daybook_position() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.position := coalesce(
        (SELECT position FROM events WHERE stream = TG_ARGV[0] || NEW.id AND version = 1),
        (SELECT max(position) FROM events), 0);
    RETURN NEW;
END
$$;
CREATE TRIGGER accounts_position BEFORE INSERT ON accounts FOR EACH ROW
    WHEN (NEW.position = 0) EXECUTE FUNCTION daybook_position('account-');
CREATE TRIGGER orders_position BEFORE INSERT ON orders FOR EACH ROW
    WHEN (NEW.position = 0) EXECUTE FUNCTION daybook_position('order-');
CREATE TRIGGER tasks_position BEFORE INSERT ON tasks FOR EACH ROW
    WHEN (NEW.position = 0) EXECUTE FUNCTION daybook_position('task-');
";
