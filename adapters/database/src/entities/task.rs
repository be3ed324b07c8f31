//! The task queue.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tasks")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub owner_id: Option<Uuid>,
    pub kind: String,
    pub payload: String,
    pub state: String,
    pub attempts: i32,
    pub last_error: Option<String>,
    pub run_at: i64,
    pub created_at: i64,
    pub finished_at: Option<i64>,
    pub lease_token: i64,
    pub lease_until: Option<i64>,
    pub version: i64,
    pub priority: i16,
    pub history: String,
    pub unique_key: Option<String>,
    pub unique_number: Option<i64>,
    pub unique_until: Option<i64>,
    pub position: i64,
    pub put_back_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
