//! `candlewick completions` and `candlewick man`: what shells and manual readers want to know of the program.

use super::Failure;
use super::arguments::{Arguments, CompletionsArguments, ManArguments};
use super::output::say;
use clap::CommandFactory as _;

/// What the program is called.
const NAME: &str = "candlewick";

/// Prints the completion script of a shell.
///
/// # Errors
/// Where standard output takes no more.
pub fn completions(arguments: &CompletionsArguments) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), NAME, &mut script);
    say!("{}", String::from_utf8_lossy(&script).trim_end())
}

/// Writes a manual page of the program and of each command.
///
/// # Errors
/// When the folder or a file cannot be written.
pub fn pages(arguments: &ManArguments) -> Result<(), Failure> {
    let written = || -> std::io::Result<()> {
        std::fs::create_dir_all(&arguments.folder)?;
        clap_mangen::generate_to(Arguments::command(), &arguments.folder)
    };
    written().map_err(|error| Failure::from(error).of(&arguments.folder))?;
    say!("{}", arguments.folder.join("candlewick.1").display())
}
