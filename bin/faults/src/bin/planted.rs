//! Daybook with a fault planted, which `DAYBOOK_PLANTED_FAULT` names.

use std::env;
use std::process::ExitCode;

use daybook_faults::planted::{Plant, Planted};
use daybook_faults::site::PLANT;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let plant = env::var(PLANT).ok().as_deref().and_then(Plant::named);
    daybook::main(Planted(plant))
}
