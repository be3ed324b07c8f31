//! Daybook.

use std::process::ExitCode;

use daybook::Plain;

/// Requests are many small allocations on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    daybook::main(Plain)
}
