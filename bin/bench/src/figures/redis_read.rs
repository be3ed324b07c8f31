//! P2: a cached `GET /accounts/{id}` whose reply comes from Redis, beside redis-benchmark asking for the same value.

use daybook_services::Redis;

use crate::controls::redis_benchmark::{RedisBenchmark, hits, value_of};
use crate::error::BenchError;
use crate::http;
use crate::load::Load;
use crate::options::Options;
use crate::product::Product;
use crate::programs;
use crate::report::{self, Heading};
use crate::rounds::{Turn, alternate};
use crate::servers::PostgresServer;

const CONNECTIONS: u32 = 50;

/// Measures and prints the figure.
pub(super) fn measure(options: &Options) -> Result<(), BenchError> {
    let program = programs::redis_benchmark()?;
    let (postgres, redis) = (PostgresServer::start()?, Redis::start()?);
    let database = postgres.database()?;
    let product = Product::start_on(options, &database, Some(&redis.url()))?;
    let token = product.register()?;
    let account = product.open_account(&token)?;
    let request = http::request("GET", &format!("/accounts/{account}"), Some(&token), None);
    // The first puts it into Redis.
    http::call(product.address(), &request, 200)?;
    let reply = http::call(product.address(), &request, 200)?;

    let mut connection = redis::Client::open(redis.url())?.get_connection()?;
    let (key, value) = value_of(&mut connection, &format!("account:{account}:"))?;
    if value != reply.body() {
        return Err(BenchError::failed("the value in Redis is not the body of the reply"));
    }
    let control = RedisBenchmark::new(program, redis.port(), key, CONNECTIONS);

    let load = Load {
        address: product.address(),
        request,
        expected_status: 200,
        connections: CONNECTIONS,
        pace: options.pace(),
    };
    let turn = || {
        let before = hits(&mut connection)?;
        let (turn, answers) = Turn::of_load(&load, product.process())?;
        if hits(&mut connection)? - before < answers {
            return Err(BenchError::failed("not every answer of the product came from Redis"));
        }
        Ok(turn)
    };
    let result = alternate(options.rounds, turn, || control.turn(options))?;

    let (head, body) = (reply.bytes.len() - value.len(), value.len());
    let heading = Heading {
        name: "P2",
        path: "cached GET /accounts/{id} from Redis, bearer token checked, 50 connections",
        control: "redis-benchmark, 50 connections, GET of the same key, without pipelining",
        goal: Some(0.5),
        notes: vec![
            format!("the value has {body} bytes; the product's reply has a head of {head} as well"),
            "product: asks Redis for the value and its guard in one step, over one connection that all requests \
             share; its processor time is without Redis'"
                .to_owned(),
            "control: its load is a program of one thread, of which no processor time is known".to_owned(),
        ],
    };
    report::comparison(&heading, &result)
}
