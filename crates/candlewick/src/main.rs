//! The command line of Candlewick.

mod program;

use std::process::ExitCode;

// Training makes and drops maps of many megabytes at every layer; the system's allocator gives such pages back each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    const SPINS: &str = "CANDLE_BARRIER_POOL_SPIN_LIMIT";
    if std::env::var_os(SPINS).is_none() {
        // candle's own threads wait by spinning, which takes the cores from the products between its operations.
        // SAFETY: no other thread runs yet.
        unsafe { std::env::set_var(SPINS, "200") };
    }
    program::run()
}
