//! What a decoder is given of a picture: the annotations of an encoder's map.
//!
//! `cargo run -p candlewick-vision --example annotations`

#![allow(clippy::print_stdout)]

use candle_core::Device;
use candlewick_encoders::Preprocessing;
use candlewick_parameters::Parameters;
use candlewick_vision::{EncoderConfig, PictureEncoder, View, Views};
use image::RgbImage;

fn main() -> candlewick_vision::Result<()> {
    // A small network without weights; `PictureEncoder::new` takes a file of pretrained ones too.
    let config = EncoderConfig { network: "convnet".into(), coordinates: true, ..EncoderConfig::default() };
    let preprocessing = Preprocessing { crop: Some((64, 64)), ..Preprocessing::imagenet() };
    let encoder = PictureEncoder::new(config, preprocessing, None, &Parameters::new(1), &Device::Cpu)?;

    let picture = RgbImage::from_fn(120, 90, |x, y| image::Rgb([x as u8, y as u8, 128]));
    let views = Views { mirrored: true, ..Views::default() }.all()?;
    let seen: Vec<RgbImage> = views.iter().map(|view: &View| view.of(picture.clone())).collect();
    let annotations = encoder.encode_pictures(&seen)?;
    let (n, p, c) = annotations.tensor().dims3()?;
    let (height, width) = annotations.grid_size();
    println!("{n} views, {p} positions of a {height} × {width} map, {c} features each, the last two its place");
    let first: Vec<f32> = annotations.tensor().get(0)?.get(0)?.to_vec1()?;
    println!("the place of the first position: {:?}", &first[c - 2..]);
    Ok(())
}
