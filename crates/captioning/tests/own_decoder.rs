//! A decoder that the crate does not know: by its kind a captioner has it as it has ours.
#![allow(clippy::unwrap_used)]

use candle_core::{Device, Module as _, Result, Tensor};
use candlewick_captioning::{
    BuildDecoder, Captioner, CaptionerInit, DecoderConfig, GenerationConfig, Source, SourceDecoder, add_decoder,
};
use candlewick_data::text::words::WordTokenizer;
use candlewick_encoders::Preprocessing;
use candlewick_generation::{Decoder, Step};
use candlewick_parameters::{Mode, VarBuilder};
use candlewick_recurrent::Linear;
use candlewick_vision::EncoderConfig;
use image::RgbImage;
use serde::{Deserialize, Serialize};

/// logits_t = scale · W v, whatever was said before.
struct Bag {
    output: Linear,
    scale: f64,
    vocab_size: usize,
    device: Device,
}

#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct BagConfig {
    scale: f64,
}

impl Default for BagConfig {
    fn default() -> Self {
        Self { scale: 1.0 }
    }
}

impl BuildDecoder for Bag {
    type Config = BagConfig;

    fn new(annotation_size: usize, vocab_size: usize, config: &BagConfig, vb: VarBuilder) -> Result<Self> {
        let output = Linear::new(annotation_size, vocab_size, vb.pp("output"))?;
        Ok(Self { output, scale: config.scale, vocab_size, device: vb.device().clone() })
    }
}

impl Decoder for Bag {
    type Memory = Tensor;
    type State = ();

    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn start(&self, _: &Tensor, _: &mut Mode) -> Result<()> {
        Ok(())
    }

    fn step(&self, _: &Tensor, _: &(), v: &Tensor, _: &mut Mode) -> Result<Step<()>> {
        Ok(Step { logits: (self.output.forward(v)? * self.scale)?, alpha: None, state: () })
    }

    fn select_memory(&self, v: &Tensor, rows: &Tensor) -> Result<Tensor> {
        v.index_select(rows, 0)
    }
}

impl SourceDecoder for Bag {
    fn memory(&self, source: &Source) -> Result<Tensor> {
        Ok(source.vector().clone())
    }
}

#[test]
fn a_captioner_has_a_decoder_of_ones_own_and_opens_it_again() {
    let read = |text: &str| serde_json::from_str::<DecoderConfig>(text);
    let told = |text: &str| read(text).unwrap_err().to_string();
    assert!(told(r#"{"kind": "bag"}"#).contains("no decoder has kind \"bag\"; there are show_attend_tell"));
    assert!(DecoderConfig::added("bag", &BagConfig::default()).is_err());
    add_decoder::<Bag>("bag").unwrap();
    for taken in ["bag", "top_down"] {
        let fault = add_decoder::<Bag>(taken).unwrap_err().to_string();
        assert!(fault.contains("there is a decoder of this kind already"), "{fault}");
    }
    assert!(told(r#"{"kind": "bog"}"#).contains("did you mean bag?"));
    assert!(told(r#"{"kind": "bag", "scales": 2.0}"#).contains("unknown field `scales`"));
    assert!(told(r#"{"kind": 7}"#).contains("kind is 7; wanted a name"));
    let decoder = DecoderConfig::added("bag", &BagConfig { scale: 4.0 }).unwrap();
    assert_eq!(read(r#"{"kind": "bag", "scale": 4.0}"#).unwrap(), decoder);
    assert_eq!(read(&serde_json::to_string(&decoder).unwrap()).unwrap(), decoder);
    assert_eq!(read(r#"{"kind": "bag"}"#).unwrap(), DecoderConfig::added("bag", &BagConfig::default()).unwrap());

    let settings = CaptionerInit {
        encoder: EncoderConfig { network: "convnet".into(), ..EncoderConfig::default() },
        decoder,
        preprocessing: Preprocessing { crop: Some((32, 32)), ..Preprocessing::imagenet() },
        seed: 3,
        ..CaptionerInit::default()
    };
    let tokenizer = WordTokenizer::with_words(&["a", "dog", "runs"]).unwrap();
    let captioner = Captioner::init(settings, tokenizer, None, &Device::Cpu).unwrap();
    let folder = tempfile::tempdir().unwrap();
    captioner.save(folder.path()).unwrap();
    let opened = Captioner::from_pretrained(folder.path(), &Device::Cpu).unwrap();
    let picture = RgbImage::from_fn(40, 50, |x, y| image::Rgb([4 * x as u8, 5 * y as u8, 9]));
    let generation = GenerationConfig { max_new_tokens: 3, ..GenerationConfig::beam(2) };
    let [first, second] = [&captioner, &opened].map(|captioner| captioner.caption(&picture, &generation).unwrap());
    assert!(first.text == second.text && !first.words.is_empty(), "{} {}", first.text, second.text);
    assert!((first.score - second.score).abs() < 1e-3, "{} {}", first.score, second.score);
}
