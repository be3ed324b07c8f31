//! P14: durable orders from 64 clients on `SQLite`, beside a service that keeps orders in memory alone.

use super::create_orders;
use crate::controls::memory_orders::MemoryOrders;
use crate::error::BenchError;
use crate::http;
use crate::load::Load;
use crate::options::Options;
use crate::product::Product;
use crate::report::{self, Heading};
use crate::rounds::{Turn, alternate};

const CLIENTS: u32 = 64;

/// Measures and prints the figure.
pub(super) fn measure(options: &Options) -> Result<(), BenchError> {
    let folder = options.temporary_folder()?;
    let service = MemoryOrders::build(folder.path())?;
    // The control looks at no token, but it gets one, so that both read as much.
    let token = Product::start(options)?.register()?;
    let request = http::request("POST", "/orders", Some(&token), None);
    let product = || create_orders(options, CLIENTS);
    let control = || {
        let server = service.start(folder.path())?;
        http::call(server.address(), &request, 201)?.text_member("order_id")?;
        let load = Load {
            address: server.address(),
            request: request.clone(),
            expected_status: 201,
            connections: CLIENTS,
            pace: options.pace(),
        };
        Turn::of_load(&load, &server).map(|(turn, _)| turn)
    };
    let result = alternate(options.rounds, product, control)?;
    let heading = Heading {
        name: "P14",
        path: "durable POST /orders on SQLite over HTTP, 64 clients",
        control: service.description(),
        goal: Some(1.0),
        notes: Vec::new(),
    };
    report::comparison(&heading, &result)
}
