//! Daybook with a fault planted, which `DAYBOOK_PLANTED_FAULT` names, or with a clock that
//! is off by what the file says that `DAYBOOK_PLANTED_CLOCK` names.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use daybook_faults::planted::{Plant, Planted};
use daybook_faults::site::{CLOCK, PLANT};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let fault = env::var(PLANT).ok().as_deref().and_then(Plant::named);
    let clock = env::var_os(CLOCK).map(PathBuf::from);
    daybook::main(Planted { fault, clock })
}
