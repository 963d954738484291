//! From captioned pictures to padded batches, on generated scenes: `cargo run -p candlewick-data --example batches`.
#![allow(clippy::print_stdout)]

use candle_core::Device;
use candlewick_data::captions::Split;
use candlewick_data::scenes::Scene;
use candlewick_data::text::words::{PAD, WordTokenizer};
use candlewick_data::{Result, buckets};

fn main() -> Result<()> {
    let scenes: Vec<Scene> = (0..100).map(|index| Scene::generate(1, index, Split::Train)).collect();
    let tokenizer = WordTokenizer::train(scenes.iter().map(|scene| &scene.caption), 1)?;
    println!("{} scenes, {} words and special tokens", scenes.len(), tokenizer.vocab_size());

    let captions: Vec<Vec<u32>> =
        scenes.iter().map(|scene| tokenizer.encode(&scene.caption)).collect::<Result<Vec<_>>>()?;
    let lengths: Vec<usize> = captions.iter().map(Vec::len).collect();
    for batch in buckets::batches(&lengths, 4, 1, 0).into_iter().take(3) {
        let rows: Vec<&[u32]> = batch.iter().map(|&index| captions[index].as_slice()).collect();
        let ids = buckets::padded(&rows, PAD, &Device::Cpu)?;
        println!("\n(N, T) = {:?}", ids.dims());
        for (row, index) in ids.to_vec2::<u32>()?.into_iter().zip(batch) {
            let picture = scenes[index].draw();
            println!("{row:?} {}×{} {:?}", picture.width(), picture.height(), tokenizer.decode(&row)?);
        }
    }
    Ok(())
}
