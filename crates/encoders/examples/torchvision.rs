//! torchvision's ResNet-18 by its names: what a state dict of it holds, and a picture through its weights.
//!
//! `cargo run -p candlewick-encoders --example torchvision [WEIGHTS [PICTURE]]`: with an argument torchvision's or timm's `resnet18` as
//! `.pth` or safetensors; else fresh weights, which are written under torchvision's names and opened again.

#![allow(clippy::print_stdout)]

use candle_core::{Device, Result};
use candlewick_encoders::{Architecture, NetworkConfig};
use candlewick_parameters::{Mode, Parameters, SafetensorsFile};
use image::RgbImage;
use std::path::PathBuf;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (weights, picture) = (arguments.next(), arguments.next());
    let resnet = Architecture::find("resnet18")?;
    // `classes: None` would leave the head away.
    let config = NetworkConfig { classes: Some(1000), ..NetworkConfig::default() };
    let file = match weights {
        Some(path) => SafetensorsFile::open(path)?,
        None => {
            let fresh = Parameters::new(1);
            resnet.build(&config, fresh.builder(&Device::Cpu))?;
            SafetensorsFile::from_tensors("fresh weights", &fresh.tensors())?
        }
    };
    let parameters = Parameters::from_file(resnet.canonical_weights(file)?);
    let network = resnet.build(&config, parameters.builder(&Device::Cpu))?;
    parameters.verify()?;
    let names = parameters.names();
    println!(
        "{} tensors, {} numbers, from {} to {}",
        names.len(),
        parameters.count(),
        names[0],
        names[names.len() - 1]
    );

    let picture = match picture {
        Some(path) => image::open(path).map_err(candle_core::Error::wrap)?.to_rgb8(),
        None => RgbImage::from_fn(320, 240, |x, y| image::Rgb([x as u8, y as u8, 128])),
    };
    let images = resnet.preprocessing().apply(&picture, &Device::Cpu)?.unsqueeze(0)?;
    // Batch norm folded into the convolutions, ReLU fused, weights packed.
    let network = network.for_inference()?;
    let logits = network.logits(&images, &mut Mode::Eval)?.get(0)?.to_vec1::<f32>()?;
    let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
    println!("{} layers with maps, likeliest class {best:?}", network.layers().len());
    Ok(())
}
