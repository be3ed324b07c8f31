//! How soon the product answers on an empty folder, and how much memory it holds when idle.

use std::time::Duration;

use crate::error::BenchError;
use crate::http;
use crate::interrupt;
use crate::machine;
use crate::options::Options;
use crate::product::Product;
use crate::report;
use crate::rounds::{Spread, as_float};

const RUNS: u32 = 5;
const IDLE: Duration = Duration::from_secs(2);

/// Measures and prints both.
pub(super) fn measure(options: &Options) -> Result<(), BenchError> {
    let request = http::request("GET", "/health/live", None, None);
    let mut times = Vec::new();
    let mut memory = Vec::new();
    for _ in 0..RUNS {
        let product = Product::start(options)?;
        http::call(product.address(), &request, 200)?;
        times.push(product.process().age().as_secs_f64() * 1e3);
        interrupt::sleep(IDLE)?;
        memory.extend(
            machine::resident_kib(product.process().id()).map(|kib| as_float(kib) / 1024.0),
        );
    }
    println!("\nStart  on an empty folder, SQLite, nothing else configured; {RUNS} runs");
    report::below("first answer", "ms", Spread::of(times), 200.0);
    report::below("idle memory", "MiB", Spread::of(memory), 30.0);
    Ok(())
}
