//! A decoder of one's own in a captioner: trained as a recipe says, saved, opened again, and asked.
//!
//! With v = mean_p a_p and the words y: h_t = tanh(W [E y_{t−1}; v] + U h_{t−1}), logits_t = W_o h_t.
//!
//! `cargo run -p candlewick-captioning --example own_decoder`

#![allow(clippy::print_stdout)]

use candle_core::{Device, Module, Result, Tensor};
use candlewick_captioning::{
    BuildDecoder, Captioner, CaptioningRecipe, GenerationConfig, Source, SourceDecoder, add_decoder, prepare,
};
use candlewick_data::captions::Split;
use candlewick_data::scenes::Scene;
use candlewick_generation::{Decoder, Step};
use candlewick_parameters::{Mode, VarBuilder};
use candlewick_recurrent::{Embedding, Linear};
use candlewick_training::{Silent, fit};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What a recipe says in `[decoder]`, beside `kind = "plain"`.
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PlainConfig {
    hidden_size: usize,
}

impl Default for PlainConfig {
    fn default() -> Self {
        Self { hidden_size: 64 }
    }
}

struct Plain {
    embedding: Embedding,
    input: Linear,
    recurrent: Linear,
    output: Linear,
    vocab_size: usize,
    hidden_size: usize,
    device: Device,
}

impl BuildDecoder for Plain {
    type Config = PlainConfig;

    fn new(annotation_size: usize, vocab_size: usize, config: &PlainConfig, vb: VarBuilder) -> Result<Self> {
        let h = config.hidden_size;
        Ok(Self {
            embedding: Embedding::new(vocab_size, h, vb.pp("embedding"))?,
            input: Linear::new(h + annotation_size, h, vb.pp("input"))?,
            recurrent: Linear::without_bias(h, h, vb.pp("recurrent"))?,
            output: Linear::new(h, vocab_size, vb.pp("output"))?,
            vocab_size,
            hidden_size: h,
            device: vb.device().clone(),
        })
    }
}

impl Decoder for Plain {
    /// v (N, C).
    type Memory = Tensor;
    /// h (N, H).
    type State = Tensor;

    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn start(&self, v: &Tensor, _: &mut Mode) -> Result<Tensor> {
        Tensor::zeros((v.dim(0)?, self.hidden_size), v.dtype(), v.device())
    }

    fn step(&self, words: &Tensor, h: &Tensor, v: &Tensor, _: &mut Mode) -> Result<Step<Tensor>> {
        let x = Tensor::cat(&[&self.embedding.forward(words)?, v], 1)?;
        let h = (self.input.forward(&x)? + self.recurrent.forward(h)?)?.tanh()?;
        Ok(Step { logits: self.output.forward(&h)?, alpha: None, state: h })
    }

    fn select_memory(&self, v: &Tensor, rows: &Tensor) -> Result<Tensor> {
        v.index_select(rows, 0)
    }
}

impl SourceDecoder for Plain {
    fn memory(&self, source: &Source) -> Result<Tensor> {
        Ok(source.vector().clone())
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    add_decoder::<Plain>("plain")?;
    let recipe: CaptioningRecipe = serde_json::from_value(json!({
        "task": "captioning",
        "name": "own",
        "data": { "kind": "scenes", "train": 300, "dev": 20 },
        "encoder": { "network": "convnet", "config": { "blocks": [
            { "channels": 16, "kernel_size": 8, "stride": 8 }, { "channels": 32, "kernel_size": 3, "stride": 2 },
        ] } },
        "decoder": { "kind": "plain", "hidden_size": 48 },
        "generation": { "max_new_tokens": 20 },
        "batches": { "size": 20 },
        "training": { "epochs": 6, "optimizer": { "name": "adam", "learning_rate": 0.01 } },
    }))?;
    let folder = std::env::temp_dir().join(format!("candlewick-own-decoder-{}", std::process::id()));
    let mut task = prepare(&recipe, &folder, &Device::Cpu, &mut |_| ())?;
    let report = fit(&mut task, &recipe.training, &folder, &mut Silent)?;
    println!("trained for {} steps", report.steps);

    let captioner = Captioner::from_pretrained(&folder, &Device::Cpu)?;
    println!("opened again: {}", serde_json::to_string(&captioner.config().decoder)?);
    for index in 0..3 {
        let scene = Scene::generate(5, index, Split::Dev);
        let told = captioner.caption(&scene.draw(), &GenerationConfig::beam(3))?;
        println!("{} (it shows {})", told.text, scene.caption);
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
