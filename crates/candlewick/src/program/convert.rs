//! `candlewick convert`: a PyTorch checkpoint becomes safetensors.

use super::Failure;
use super::arguments::ConvertArguments;
use candlewick::parameters::{read_pytorch, write_safetensors};

/// Reads the checkpoint, writes the tensors under their names, and says how many there were.
///
/// # Errors
/// When the checkpoint cannot be read, or the file cannot be written; the message names it.
pub fn run(arguments: &ConvertArguments) -> Result<(), Failure> {
    if arguments.to.extension().is_none_or(|extension| extension != "safetensors") {
        return Err(Failure::usage(format!("{}: the file to write ends with .safetensors", arguments.to.display())));
    }
    let tensors = read_pytorch(&arguments.from, arguments.key.as_deref())?;
    write_safetensors(&tensors, &arguments.to)?;
    let numbers: usize = tensors.iter().map(|(_, tensor)| tensor.elem_count()).sum();
    println!("{}: {} tensors, {numbers} numbers", arguments.to.display(), tensors.len());
    Ok(())
}
