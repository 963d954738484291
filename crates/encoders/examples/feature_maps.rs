//! What a ResNet-18 makes of two images: the shapes of every layer's map, of the pooled vectors and of the logits.
//!
//! `cargo run -p candlewick-encoders --example feature_maps`
#![allow(clippy::print_stdout)]

use candle_core::{Device, Result, Tensor};
use candlewick_encoders::{Architecture, NetworkConfig};
use candlewick_parameters::{Mode, Parameters};
use image::RgbImage;

fn main() -> Result<()> {
    let resnet = Architecture::find("resnet18")?;
    let config = NetworkConfig { classes: Some(10), ..Default::default() };
    // Fresh weights; `Parameters::from_file(resnet.canonical_weights(file)?)` loads published ones.
    let parameters = Parameters::new(7);
    let network = resnet.build(&config, parameters.builder(&Device::Cpu))?;

    let input = |width, height| resnet.preprocessing().apply(&RgbImage::new(width, height), &Device::Cpu);
    let images = Tensor::stack(&[input(640, 480)?, input(300, 400)?], 0)?;
    println!("images   {:?}", images.dims());
    for layer in network.layers() {
        let map = network.layer(&layer.name, &images, &mut Mode::Eval)?;
        println!("{:<8} {:?}, stride {}", layer.name, map.dims(), layer.stride);
    }
    println!("pooled   {:?}", network.pooled(&images, &mut Mode::Eval)?.dims());
    println!("logits   {:?}", network.logits(&images, &mut Mode::Eval)?.dims());
    println!("to fine-tune from layer4 on, freeze {}", resnet.frozen_prefixes(Some("layer4"))?.join(" "));
    Ok(())
}
