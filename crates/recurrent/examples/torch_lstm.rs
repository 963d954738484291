//! A checkpoint of PyTorch's, loaded as it is: the state dict of `torch.nn.LSTM(3, 4, num_layers=2, bidirectional=True)`.
//!
//! `cargo run -p candlewick-recurrent --example torch_lstm [CHECKPOINT [KEY]]`: with an argument the safetensors file or `.pth` of such an LSTM, and
//! the key under which the checkpoint keeps it.

#![allow(clippy::print_stdout)]

use candle_core::{DType, Device, Result, Tensor};
use candlewick_parameters::{Mode, Parameters, SafetensorsFile};
use candlewick_recurrent::{Lstm, SequenceLayer, StackConfig};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let file = match (arguments.next(), arguments.next()) {
        (Some(path), Some(key)) => SafetensorsFile::open_key(path, &key)?,
        (Some(path), None) => SafetensorsFile::open(path)?,
        _ => SafetensorsFile::from_bytes("torch_lstm.safetensors", include_bytes!("torch_lstm.safetensors").to_vec())?,
    };
    // Where the LSTM is a part of a network, `file.under("encoder.lstm")` is its state dict.
    for name in file.names() {
        println!("{name:<24} {:?}", file.shape(name).map(|shape| shape.into_dims()).unwrap_or_default());
    }
    let parameters = Parameters::from_file(file);
    let config = StackConfig { num_layers: 2, bidirectional: true, ..StackConfig::default() };
    let lstm = Lstm::new(3, 4, &config, parameters.builder(&Device::Cpu))?;
    // Everything that the file holds is in the network, and the other way round.
    parameters.verify()?;

    let xs = Tensor::ones((1, 5, 3), DType::F32, &Device::Cpu)?;
    let (ys, state) = lstm.forward(&xs, None, None, &mut Mode::Eval)?;
    println!("\noutputs {:?}, the last {:.4?}", ys.dims(), ys.get(0)?.get(4)?.to_vec1::<f32>()?);
    println!("h of the last layer forwards {:.4?}", state[2][0].get(0)?.to_vec1::<f32>()?);
    Ok(())
}
