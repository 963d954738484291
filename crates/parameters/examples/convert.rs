//! A checkpoint of PyTorch's becomes a safetensors file, and what it holds is told.
//!
//! ```text
//! cargo run -p candlewick-parameters --example convert -- checkpoint.pth weights.safetensors [KEY [PREFIX]]
//! ```

#![allow(clippy::print_stdout)]

use candle_core::Result;
use candlewick_parameters::{Conversion, SafetensorsFile, convert};
use std::path::Path;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [from, to, more @ ..] = arguments.as_slice() else {
        println!("name a checkpoint and the file to write, and the state dict's key and prefix if it has any");
        return Ok(());
    };
    let what = Conversion { key: more.first().filter(|key| !key.is_empty()).cloned(), prefix: more.get(1).cloned() };
    let converted = convert(Path::new(from), Path::new(to), &what)?;
    for note in converted.notes {
        println!("{from}: {note}");
    }
    let file = SafetensorsFile::open(to)?;
    for name in file.names() {
        let shape = file.shape(name).map(|shape| format!("{:?}", shape.dims())).unwrap_or_default();
        println!("{name} {} {shape}", file.dtype(name).unwrap_or_default());
    }
    Ok(())
}
