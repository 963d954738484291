//! `candlewick convert`: a PyTorch checkpoint becomes safetensors.

use super::Failure;
use super::arguments::ConvertArguments;
use super::output::say;
use candlewick::parameters::{Conversion, convert};

/// Writes the checkpoint's tensors, and says how many there were, what was taken from their names and what was left out.
///
/// # Errors
/// When the checkpoint cannot be read, or the file cannot be written; the message names it.
pub fn run(arguments: &ConvertArguments) -> Result<(), Failure> {
    if arguments.to.extension().is_none_or(|extension| extension != "safetensors") {
        return Err(Failure::usage(format!("{}: the file to write ends with .safetensors", arguments.to.display())));
    }
    let what = Conversion { key: arguments.key.clone(), prefix: arguments.prefix.clone() };
    let converted = convert(&arguments.from, &arguments.to, &what)?;
    for note in &converted.notes {
        say!("{}: {note}", arguments.from.display())?;
    }
    say!("{}: {} tensors, {} numbers", arguments.to.display(), converted.tensors, converted.numbers)?;
    Ok(())
}
