//! Captions a picture from another crate, through the public API only.

use candlewick::candle::Device;
use candlewick::captioning::{Captioner, GenerationConfig};
use candlewick::data::{captions::Split, scenes::Scene};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("name a model folder")?;
    let captioner = Captioner::from_pretrained(folder, &Device::Cpu)?;
    let scenes: Vec<Scene> = (0..4).map(|index| Scene::generate(8, index, Split::Test)).collect();
    let pictures: Vec<_> = scenes.iter().map(Scene::draw).collect();
    let caption = captioner.caption(&pictures[0], &GenerationConfig::beam(5))?;
    println!("{} ({:.3})", caption.text, caption.score);
    for word in &caption.words {
        println!("{:>10} {:?}", word.text, word.attention.as_ref().map(|map| map.peak()));
    }
    for caption in captioner.captions(&pictures, &GenerationConfig::beam(3))? {
        println!("{}", caption.text);
    }
    Ok(())
}
