//! Rows as one array for each column: a statement then has the same text for any number of rows.

use sea_orm::Value;
use sea_orm::sqlx::Arguments;
use sea_orm::sqlx::postgres::PgArguments;
use uuid::Uuid;

use crate::error::Fault;

/// The type of a column's array.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    BigInt,
    Bool,
    Bytes,
    Int,
    Text,
    Uuid,
}

/// The columns of the rows, in order, as further arguments.
pub(super) fn add<const N: usize>(
    arguments: &mut PgArguments,
    kinds: [Kind; N],
    rows: Vec<[Value; N]>,
) -> Result<(), Fault> {
    let mut columns = kinds.map(|kind| Array::with_capacity(kind, rows.len()));
    for row in rows {
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value)?;
        }
    }
    columns.into_iter().try_for_each(|column| column.bind(arguments))
}

enum Array {
    BigInt(Vec<Option<i64>>),
    Bool(Vec<Option<bool>>),
    Bytes(Vec<Option<Vec<u8>>>),
    Int(Vec<Option<i32>>),
    Text(Vec<Option<String>>),
    Uuid(Vec<Option<Uuid>>),
}

impl Array {
    fn with_capacity(kind: Kind, rows: usize) -> Self {
        match kind {
            Kind::BigInt => Self::BigInt(Vec::with_capacity(rows)),
            Kind::Bool => Self::Bool(Vec::with_capacity(rows)),
            Kind::Bytes => Self::Bytes(Vec::with_capacity(rows)),
            Kind::Int => Self::Int(Vec::with_capacity(rows)),
            Kind::Text => Self::Text(Vec::with_capacity(rows)),
            Kind::Uuid => Self::Uuid(Vec::with_capacity(rows)),
        }
    }

    fn push(&mut self, value: Value) -> Result<(), Fault> {
        match (self, value) {
            (Self::BigInt(column), Value::BigInt(value)) => column.push(value),
            (Self::Bool(column), Value::Bool(value)) => column.push(value),
            (Self::Bytes(column), Value::Bytes(value)) => column.push(value),
            (Self::Int(column), Value::Int(value)) => column.push(value),
            (Self::Text(column), Value::String(value)) => column.push(value),
            (Self::Uuid(column), Value::Uuid(value)) => column.push(value),
            (_, other) => {
                return Err(Fault::corrupt(format!("a value of another type: {other:?}")));
            }
        }
        Ok(())
    }

    fn bind(self, arguments: &mut PgArguments) -> Result<(), Fault> {
        let bound = match self {
            Self::BigInt(column) => arguments.add(column),
            Self::Bool(column) => arguments.add(column),
            Self::Bytes(column) => arguments.add(column),
            Self::Int(column) => arguments.add(column),
            Self::Text(column) => arguments.add(column),
            Self::Uuid(column) => arguments.add(column),
        };
        bound.map_err(Fault::corrupt)
    }
}
