//! A vision transformer of candle-transformers as the encoder of a captioner.
#![cfg(feature = "transformers")]
#![allow(clippy::unwrap_used)]

use candle_core::{Device, Tensor};
use candlewick_captioning::{Captioner, CaptionerInit};
use candlewick_data::text::words::WordTokenizer;
use candlewick_encoders::{Architecture, NetworkConfig, file_hash};
use candlewick_parameters::{Mode, Parameters, Rng, SafetensorsFile};
use candlewick_vision::{EncoderConfig, WeightsFile};

const NAME: &str = "vit_tiny_patch16_224";

#[test]
fn patch_tokens_are_annotations_and_the_encoder_stays_frozen() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vit.safetensors");
    let saved = Parameters::new(1);
    let config = NetworkConfig { classes: Some(5), ..Default::default() };
    let architecture = Architecture::find(NAME).unwrap();
    let vit = architecture.build(&config, saved.builder(&Device::Cpu)).unwrap();
    saved.save(&file).unwrap();

    let weights = WeightsFile { sha256: file_hash(&file).unwrap(), file: file.clone() };
    let encoder = EncoderConfig { network: NAME.into(), weights: Some(weights), ..Default::default() };
    let settings = CaptionerInit { encoder, preprocessing: architecture.preprocessing().clone(), ..Default::default() };
    let tokenizer = || WordTokenizer::train(["a dog runs", "a dog sits"], 1).unwrap();
    let open = || Some(SafetensorsFile::open(&file).unwrap());
    let captioner = Captioner::init(settings.clone(), tokenizer(), open(), &Device::Cpu).unwrap();
    assert_eq!(captioner.config().annotation_size, 192);

    let images = Tensor::rand(-1f32, 1f32, (2, 3, 64, 64), &Device::Cpu).unwrap();
    let mut rng = Rng::derive(1, "train", 0);
    let seen = captioner.encoder().annotations(&images, &mut Mode::Train(&mut rng)).unwrap();
    assert_eq!((seen.tensor().dims(), seen.grid_size()), ([2, 16, 192].as_slice(), (4, 4)));
    let map = vit.map(&images, &mut Mode::Eval).unwrap().flatten_from(2).unwrap().transpose(1, 2).unwrap();
    let difference = (map - seen.tensor()).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(difference < 1e-5, "{difference}");

    let encoder = EncoderConfig { weights: None, ..settings.encoder.clone() };
    let tuned = CaptionerInit { encoder, fine_tune: Some("vit.encoder.layer.11".into()), ..settings };
    let fault = Captioner::init(tuned, tokenizer(), open(), &Device::Cpu).err().unwrap().to_string();
    assert!(fault.contains("vit.encoder.layer.11 cannot be trained"), "{fault}");
}
