//! Which log this is.
//!
//! Beside the identity stands the *place* where it was made. A copy, a restored backup and a dump
//! that was loaded are elsewhere, and whoever opens them gives them an identity of their own.
//!
//! - On SQLite the place is the file itself: its device, its inode, and when it was made. It keeps
//!   them whatever it is called.
//! - On Postgres it is the server's system identifier, the database and the table: a standby that is
//!   promoted has the same; another server, `createdb -T`, and `pg_restore` into new tables do not.
//!   Where the role may not ask for the system identifier, the database's name stands in for it: two
//!   servers are then told apart only by the numbers that they gave to the database and the table.
//!
//! A file or server that was put back in the same place can't be told from here.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use daybook_events::{Identity, Installation, InstallationError, InstallationId};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, Set};
use uuid::Uuid;

use crate::Database;
use crate::database::{Engine, scalar};
use crate::entities::installation::{ActiveModel, Column, Entity, Model};

/// The number of the one row.
const ONE: i16 = 1;
/// How often the place is compared again with what others have made of the row meanwhile.
const ROUNDS: usize = 8;

const MAY_ASK: &str =
    "SELECT has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE') AS may";
const WITHIN_SERVER: &str = "oid || '/' || 'installation'::regclass::oid AS place \
    FROM pg_database WHERE datname = current_database()";
const OF_SERVER: &str =
    "'server ' || (SELECT system_identifier FROM pg_control_system()) || '/' || ";
const OF_NAME: &str = "'database ' || datname || '/' || ";

#[async_trait]
impl Installation for Database {
    async fn identity(&self) -> Result<Identity, InstallationError> {
        self.readers.bounded(self.present()).await.map_err(unavailable)
    }

    async fn renew(&self, old: InstallationId) -> Result<Identity, InstallationError> {
        let renewed = async {
            let place = self.place().await?;
            self.replace(old.uuid(), &place).await?;
            self.present().await
        };
        self.writer.bounded(renewed).await.map_err(unavailable)
    }
}

impl Database {
    /// The identity that stands in the database, made or made anew where it is not of this place.
    async fn present(&self) -> Result<Identity, DbErr> {
        let place = self.place().await?;
        for _ in 0..ROUNDS {
            match Entity::find_by_id(ONE).one(&self.readers).await? {
                None => self.begin_with(&place).await?,
                Some(row) if row.place == place => return Ok(identity(&row)),
                Some(row) => {
                    self.replace(row.id, &place).await?;
                    tracing::info!(
                        "this database was copied or moved: it is an installation of its own"
                    );
                }
            }
        }
        Err(DbErr::Custom("the database is in two places at once".to_owned()))
    }

    async fn begin_with(&self, place: &str) -> Result<(), DbErr> {
        let row = ActiveModel {
            number: Set(ONE),
            id: Set(Uuid::now_v7()),
            secret: Set(secret()),
            place: Set(place.to_owned()),
        };
        let first = OnConflict::column(Column::Number).do_nothing().to_owned();
        match Entity::insert(row).on_conflict(first).exec_without_returning(&self.writer).await {
            Ok(_) | Err(DbErr::RecordNotInserted) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Makes a new identity in place of `old`, unless another process has done so.
    async fn replace(&self, old: Uuid, place: &str) -> Result<(), DbErr> {
        Entity::update_many()
            .col_expr(Column::Id, Expr::value(Uuid::now_v7()))
            .col_expr(Column::Secret, Expr::value(secret()))
            .col_expr(Column::Place, Expr::value(place))
            .filter(Column::Number.eq(ONE))
            .filter(Column::Id.eq(old))
            .exec(&self.writer)
            .await
            .map(drop)
    }

    async fn place(&self) -> Result<String, DbErr> {
        match &self.engine {
            Engine::Sqlite(sqlite) => {
                place_of(sqlite.file()).map_err(|error| DbErr::Custom(error.to_string()))
            }
            Engine::Postgres(_) => {
                let may: Option<bool> = scalar(&self.readers, MAY_ASK, "may").await?;
                let server = if may == Some(true) { OF_SERVER } else { OF_NAME };
                let sql = format!("SELECT {server}{WITHIN_SERVER}");
                let place = scalar(&self.readers, &sql, "place").await?;
                place.ok_or_else(|| DbErr::Custom("the database has no name".to_owned()))
            }
        }
    }
}

/// Which file it is, whatever it is called.
fn place_of(file: &Path) -> std::io::Result<String> {
    let found = file.metadata()?;
    let mut place = format!("file {}/{}", found.dev(), found.ino());
    // Not every file system keeps it.
    if let Some(made) = found.created().ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok()) {
        let _ = write!(place, "/{}", made.as_nanos());
    }
    Ok(place)
}

fn secret() -> Uuid {
    Uuid::from_u128(rand::random())
}

fn identity(row: &Model) -> Identity {
    Identity { id: InstallationId::from_uuid(row.id), secret: *row.secret.as_bytes() }
}

#[expect(clippy::needless_pass_by_value, reason = "the form in which errors are mapped")]
fn unavailable(error: DbErr) -> InstallationError {
    InstallationError(error.to_string())
}
