//! P1: a cached `GET /accounts/{id}` with its bearer token checked, beside a bare poem route with the same reply.

use crate::controls::bare_route;
use crate::error::BenchError;
use crate::http;
use crate::load::Load;
use crate::options::Options;
use crate::process::Process;
use crate::product::Product;
use crate::report::{self, Heading};
use crate::rounds::{Turn, alternate};

const CONNECTIONS: u32 = 64;

/// Measures and prints the figure.
pub(super) fn measure(options: &Options) -> Result<(), BenchError> {
    let product = Product::start(options)?;
    let token = product.register()?;
    let account = product.open_account(&token)?;
    let request = http::request("GET", &format!("/accounts/{account}"), Some(&token), None);
    let reply = http::call(product.address(), &request, 200)?;

    let folder = options.temporary_folder()?;
    let control = bare_route::start(&reply, folder.path())?;
    let copy = http::call(control.address(), &request, 200)?;
    if copy.body() != reply.body() {
        return Err(BenchError::failed("the control answers with another body than the product"));
    }

    let turn = |server: &Process| {
        let pace = options.pace();
        let load = Load {
            address: server.address(),
            request: request.clone(),
            expected_status: 200,
            connections: CONNECTIONS,
            pace,
        };
        Turn::of_load(&load, server).map(|(turn, _)| turn)
    };
    let result = alternate(options.rounds, || turn(product.process()), || turn(&control))?;

    let (ours, theirs) = (reply.bytes.len(), copy.bytes.len());
    let heading = Heading {
        name: "P1",
        path: "cached GET /accounts/{id}, bearer token checked, 64 connections",
        control: "a bare poem route under poem's own server: no token, no look-up, the same body",
        goal: Some(0.85),
        notes: vec![format!(
            "reply: {ours} bytes from the product, {theirs} from the control, head included"
        )],
    };
    report::comparison(&heading, &result)
}
