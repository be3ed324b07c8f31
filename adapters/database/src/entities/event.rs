//! The log.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "events")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub position: i64,
    pub id: Uuid,
    pub stream: String,
    pub version: i64,
    pub event_type: String,
    pub entry_id: Uuid,
    pub owner_id: Option<Uuid>,
    pub order_id: Option<Uuid>,
    pub timestamp: i64,
    pub data: String,
    pub metadata: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
