//! The figures: one file each. It starts both sides, lets them take turns and prints what came of it.

mod brokered;
mod cached_read;
mod durable_orders;
mod durable_orders_over_http;
mod full_batches;
mod lists;
mod many_clients;
mod one_account;
mod one_client;
mod orders_beside_memory;
mod redis_read;
mod start;
mod task_relay;
mod tasks;

use crate::controls::raw_sqlite;
use crate::error::BenchError;
use crate::http;
use crate::load::Load;
use crate::options::Options;
use crate::product::Product;
use crate::rounds::{Turn, as_float};
use crate::servers::PostgresServer;

/// A figure that can be measured.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Figure {
    /// P1.
    CachedRead,
    /// P2.
    RedisRead,
    /// P3.
    OneClient,
    /// The same over HTTP; no goal.
    OneClientOverHttp,
    /// P4.
    ManyClients,
    /// The same over HTTP; no goal.
    ManyClientsOverHttp,
    /// P5.
    FullBatches,
    /// P6.
    OneAccount,
    /// P7.
    TaskRelay,
    /// P8.
    Tasks,
    /// P12.
    DurableOrders,
    /// The same over HTTP; no goal.
    DurableOrdersOverHttp,
    /// P14.
    OrdersBesideMemory,
    /// P17.
    Lists,
    /// Time to the first answer, and idle memory.
    Start,
}

impl Figure {
    /// All of them.
    pub(crate) const ALL: [Self; 15] = [
        Self::CachedRead,
        Self::RedisRead,
        Self::OneClient,
        Self::OneClientOverHttp,
        Self::ManyClients,
        Self::ManyClientsOverHttp,
        Self::FullBatches,
        Self::OneAccount,
        Self::TaskRelay,
        Self::Tasks,
        Self::DurableOrders,
        Self::DurableOrdersOverHttp,
        Self::OrdersBesideMemory,
        Self::Lists,
        Self::Start,
    ];

    /// Measures and prints it.
    ///
    /// # Errors
    /// Where a side does not come up, a request fails, or the run was asked to end.
    pub(crate) fn measure(self, options: &Options) -> Result<(), BenchError> {
        match self {
            Self::CachedRead => cached_read::measure(options),
            Self::RedisRead => redis_read::measure(options),
            Self::OneClient => one_client::measure(options),
            Self::OneClientOverHttp => one_client::measure_over_http(options),
            Self::ManyClients => many_clients::measure(options),
            Self::ManyClientsOverHttp => many_clients::measure_over_http(options),
            Self::FullBatches => full_batches::measure(options),
            Self::OneAccount => one_account::measure(options),
            Self::TaskRelay => task_relay::measure(options),
            Self::Tasks => tasks::measure(options),
            Self::DurableOrders => durable_orders::measure(options),
            Self::DurableOrdersOverHttp => durable_orders_over_http::measure(options),
            Self::OrdersBesideMemory => orders_beside_memory::measure(options),
            Self::Lists => lists::measure(options),
            Self::Start => start::measure(options),
        }
    }
}

/// One turn of the product at creating orders over HTTP, on a new `SQLite` database.
fn create_orders(options: &Options, connections: u32) -> Result<Turn, BenchError> {
    let product = Product::start(options)?;
    let (mut turn, answers) = put_orders(options, &product, connections)?;
    let (_folder, database) = product.end();
    let bytes = raw_sqlite::database_bytes(&database)?;
    turn.disk_bytes = Some(as_float(bytes) / as_float(answers.max(1)));
    turn.batch = raw_sqlite::average_batch(&database)?;
    Ok(turn)
}

/// The same on a new database of a server.
fn create_orders_on(
    options: &Options,
    server: &PostgresServer,
    connections: u32,
) -> Result<Turn, BenchError> {
    let database = server.database()?;
    let product = Product::start_on(options, &database, None)?;
    let (mut turn, answers) = put_orders(options, &product, connections)?;
    drop(product);
    turn.disk_bytes = Some(database.bytes()? / as_float(answers.max(1)));
    turn.batch = database.average_batch()?;
    Ok(turn)
}

fn put_orders(
    options: &Options,
    product: &Product,
    connections: u32,
) -> Result<(Turn, u64), BenchError> {
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
    Turn::of_load(&load, product.process())
}
