//! `candlewick convert`: a PyTorch checkpoint becomes safetensors.

use super::Failure;
use super::arguments::ConvertArguments;
use super::output::say;
use candlewick::parameters::{read_pytorch, strip_data_parallel, write_safetensors};

/// Reads the checkpoint, writes the tensors under their names without DataParallel's prefix, and says how many there were.
///
/// # Errors
/// When the checkpoint cannot be read, or the file cannot be written; the message names it.
pub fn run(arguments: &ConvertArguments) -> Result<(), Failure> {
    if arguments.to.extension().is_none_or(|extension| extension != "safetensors") {
        return Err(Failure::usage(format!("{}: the file to write ends with .safetensors", arguments.to.display())));
    }
    let mut tensors = read_pytorch(&arguments.from, arguments.key.as_deref())?;
    let parallel = strip_data_parallel(&mut tensors);
    write_safetensors(&tensors, &arguments.to)?;
    let numbers: usize = tensors.iter().map(|(_, tensor)| tensor.elem_count()).sum();
    if parallel {
        say!("{}: took module., which DataParallel puts there, from all names", arguments.from.display())?;
    }
    say!("{}: {} tensors, {numbers} numbers", arguments.to.display(), tensors.len())?;
    Ok(())
}
