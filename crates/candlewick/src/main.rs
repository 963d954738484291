//! The command line of Candlewick.

mod allocator;
mod program;

use std::process::ExitCode;

fn main() -> ExitCode {
    allocator::keep_pages();
    const SPINS: &str = "CANDLE_BARRIER_POOL_SPIN_LIMIT";
    if std::env::var_os(SPINS).is_none() {
        // candle's own threads wait by spinning, which takes the cores from the products between its operations.
        // SAFETY: no other thread runs yet.
        unsafe { std::env::set_var(SPINS, "200") };
    }
    program::run()
}
