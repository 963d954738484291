//! A picture to its caption, and where the captioner looked for each word.
//!
//! `cargo run -p candlewick-captioning --example caption [MODEL_FOLDER PICTURE]`; without arguments the small model of generated scenes
//! that lies in `models/scenes`.

#![allow(clippy::print_stdout)]

use candle_core::Device;
use candlewick_captioning::{Captioner, GenerationConfig};
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scenes = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/scenes"));
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (model, picture) = match (arguments.next(), arguments.next()) {
        (Some(model), Some(picture)) => (model, picture),
        _ => (scenes.clone(), scenes.join("example.png")),
    };
    let captioner = Captioner::from_pretrained(&model, &Device::Cpu)?;
    let picture = image::open(&picture)?.to_rgb8();
    let caption = captioner.caption(&picture, &GenerationConfig::beam(3))?;
    println!("{} (score {:.3})", caption.text, caption.score);
    for word in &caption.words {
        let peak = word.attention.as_ref().map(|map| map.peak());
        let place = peak.map_or(String::new(), |(x, y)| format!(" at {:.0} % × {:.0} %", 100.0 * x, 100.0 * y));
        println!("  {:<10} {:>5.1} %{place}", word.text, 100.0 * word.log_probability.exp());
    }
    Ok(())
}
