//! The figures: one file each. It starts both sides, lets them take turns and prints what came of it.

mod cached_read;
mod durable_orders;
mod durable_orders_over_http;
mod orders_beside_memory;
mod start;

use crate::controls::raw_sqlite;
use crate::error::BenchError;
use crate::http;
use crate::load::Load;
use crate::options::Options;
use crate::product::Product;
use crate::rounds::{Turn, as_float};

/// A figure that can be measured.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Figure {
    /// P1.
    CachedRead,
    /// P12.
    DurableOrders,
    /// The same over HTTP; no goal.
    DurableOrdersOverHttp,
    /// P14.
    OrdersBesideMemory,
    /// Time to the first answer, and idle memory.
    Start,
}

impl Figure {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [
        Self::CachedRead,
        Self::DurableOrders,
        Self::DurableOrdersOverHttp,
        Self::OrdersBesideMemory,
        Self::Start,
    ];

    /// Measures and prints it.
    ///
    /// # Errors
    /// Where a side does not come up, a request fails, or the run was asked to end.
    pub(crate) fn measure(self, options: &Options) -> Result<(), BenchError> {
        match self {
            Self::CachedRead => cached_read::measure(options),
            Self::DurableOrders => durable_orders::measure(options),
            Self::DurableOrdersOverHttp => durable_orders_over_http::measure(options),
            Self::OrdersBesideMemory => orders_beside_memory::measure(options),
            Self::Start => start::measure(options),
        }
    }
}

/// One turn of the product at creating orders over HTTP, on a new database.
fn create_orders(options: &Options, connections: u32) -> Result<Turn, BenchError> {
    let product = Product::start(options)?;
    let token = product.register()?;
    let request = http::request("POST", "/orders", Some(&token), None);
    http::call(product.address(), &request, 201)?.text_member("order_id")?;
    let load = Load {
        address: product.address(),
        request,
        expected_status: 201,
        connections,
        pace: options.pace(),
    };
    let (mut turn, answers) = Turn::of_load(&load, product.process())?;
    let (_folder, database) = product.end();
    let bytes = raw_sqlite::database_bytes(&database)?;
    turn.disk_bytes = Some(as_float(bytes) / as_float(answers.max(1)));
    turn.batch = raw_sqlite::average_batch(&database)?;
    Ok(turn)
}
