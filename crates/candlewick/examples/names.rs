//! What can be built by its name: image networks with their size and their work, and layers over sequences.
//!
//! `cargo run -p candlewick --example names`

#![allow(clippy::print_stdout)]

use candlewick::candle::{Device, Result};
use candlewick::encoders::{Architecture, NetworkConfig, networks};
use candlewick::parameters::Parameters;
use candlewick::recurrent::{Settings, sequence_layer, sequence_layers};

fn main() -> Result<()> {
    println!("{:<24}{:>12}", "image network", "parameters");
    // Each could be built; the small ones are quickly so.
    for name in networks().into_iter().filter(|name| ["convnet", "squeezenet1_1"].contains(name)) {
        let parameters = Parameters::new(1);
        let config = NetworkConfig { classes: Some(10), ..NetworkConfig::default() };
        Architecture::find(name)?.build(&config, parameters.builder(&Device::Cpu))?;
        println!("{name:<24}{:>12}", parameters.count());
    }
    println!("of {}\n\n{:<24}{:>12}", networks().len(), "layer, D and H 64", "parameters");
    for name in sequence_layers() {
        let parameters = Parameters::new(1);
        sequence_layer(name, 64, 64, &Settings::default(), parameters.builder(&Device::Cpu))?;
        println!("{name:<24}{:>12}", parameters.count());
    }
    Ok(())
}
