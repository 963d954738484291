//! The command line of Candlewick.

mod program;

use std::process::ExitCode;

fn main() -> ExitCode {
    program::run()
}
