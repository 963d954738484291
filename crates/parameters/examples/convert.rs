//! A checkpoint becomes a safetensors file of plain names, and what it holds is told.
//!
//! ```text
//! cargo run -p candlewick-parameters --example convert -- [checkpoint.pth weights.safetensors [KEY [PREFIX]]]
//! ```
//!
//! Without arguments a checkpoint as Lightning and torch.compile name things, made on the spot.

#![allow(clippy::print_stdout)]

use candle_core::{DType, Device, Result, Tensor};
use candlewick_parameters::{Conversion, SafetensorsFile, convert, write_safetensors};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = std::env::temp_dir();
    let (from, to) = (folder.join("candlewick-wrapped.safetensors"), folder.join("candlewick-plain.safetensors"));
    let (from, to, what) = match arguments.as_slice() {
        [from, to, more @ ..] => {
            let key = more.first().filter(|key| !key.is_empty()).cloned();
            (from.into(), to.into(), Conversion { key, prefix: more.get(1).cloned() })
        }
        _ => {
            let weight = Tensor::zeros((2, 3), DType::F32, &Device::Cpu)?;
            let names = ["model._orig_mod.fc.weight", "model._orig_mod.fc.mask", "loss.weight"];
            write_safetensors(&names.map(|name| (name.to_owned(), weight.clone())), &from)?;
            (from, to, Conversion { key: None, prefix: Some("model.".into()) })
        }
    };
    let converted = convert(&from, &to, &what)?;
    for note in converted.notes {
        println!("{}: {note}", from.display());
    }
    let file = SafetensorsFile::open(&to)?;
    for name in file.names() {
        let shape = file.shape(name).map(|shape| format!("{:?}", shape.dims())).unwrap_or_default();
        println!("{name} {} {shape}", file.dtype(name).unwrap_or_default());
    }
    Ok(())
}
