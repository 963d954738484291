//! A picture to its caption, and where the captioner looked for each word.
//!
//! `cargo run -p candlewick-captioning --example caption [MODEL_FOLDER PICTURE]`; without arguments the small model of generated scenes
//! and a scene.

#![allow(clippy::print_stdout)]

use candle_core::Device;
use candlewick_captioning::{Captioner, EmbeddedFiles, GenerationConfig, ModelFiles};
use candlewick_models::SCENES;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (captioner, picture) = match (arguments.next(), arguments.next()) {
        (Some(model), Some(picture)) => (Captioner::from_pretrained(&model, &Device::Cpu)?, image::open(&picture)?),
        _ => (of_scenes()?, image::load_from_memory(SCENES.picture)?),
    };
    let picture = picture.to_rgb8();
    let caption = captioner.caption(&picture, &GenerationConfig::beam(3))?;
    println!("{} (score {:.3})", caption.text, caption.score);
    for word in &caption.words {
        let peak = word.attention.as_ref().map(|map| map.peak());
        let place = peak.map_or(String::new(), |(x, y)| format!(" at {:.0} % × {:.0} %", 100.0 * x, 100.0 * y));
        println!("  {:<10} {:>5.1} %{place}", word.text, 100.0 * word.log_probability.exp());
    }
    Ok(())
}

/// The captioner that the program carries in itself.
fn of_scenes() -> candlewick_captioning::Result<Captioner> {
    let files = EmbeddedFiles {
        config: SCENES.config,
        preprocessing: SCENES.preprocessing,
        tokenizer: SCENES.tokenizer,
        generation: SCENES.generation,
        model: SCENES.model,
    };
    Captioner::from_files(ModelFiles::embedded(files)?, &Device::Cpu)
}
