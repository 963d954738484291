use candlewick::candle::{Device, Tensor};
use candlewick::captioning::{Captioner, CaptionerInit, GenerationConfig};
use candlewick::data::text::words::WordTokenizer;
use candlewick::encoders::{self, Architecture, Backbone, NetworkConfig, Preprocessing, add_network};
use candlewick::parameters::{Mode, Parameters, Rng, SafetensorsFile};
use candlewick::vision::{EncoderConfig, WeightsFile};

const NAME: &str = "means_of_patches";
const PATCH: usize = 16;

/// The mean colours of patches times a matrix: the smallest backbone that there is.
fn row() -> Architecture {
    Architecture::new(NAME, vec!["colours".into()], &[], |_: &NetworkConfig, vb| {
        Backbone::frozen(NAME, 5, PATCH, vb, |vb| {
            let matrix = vb.pp("colours").get((3, 5), "weight")?;
            Ok(move |images: &Tensor| {
                let tokens = images.avg_pool2d(PATCH)?.flatten_from(2)?.transpose(1, 2)?.contiguous()?;
                tokens.broadcast_matmul(&matrix)
            })
        })
    })
    .with_preprocessing(Preprocessing::unresized())
    .without_gradients(&[])
}

#[test]
fn a_captioner_sees_through_a_backbone_of_the_callers_own() {
    let folder = tempfile::tempdir().unwrap();
    add_network(row()).unwrap();
    let file = folder.path().join("backbone.safetensors");
    let weight = Tensor::rand(-1f32, 1f32, (3, 5), &Device::Cpu).unwrap();
    candlewick::parameters::write_safetensors(&[("colours.weight".into(), weight)], &file).unwrap();

    let weights = WeightsFile { sha256: encoders::file_hash(&file).unwrap(), file: file.clone() };
    let encoder = EncoderConfig { network: NAME.into(), weights: Some(weights), ..EncoderConfig::default() };
    let architecture = Architecture::find(NAME).unwrap();
    let preprocessing = architecture.preprocessing().clone();
    let settings = CaptionerInit { encoder, preprocessing, ..CaptionerInit::default() };
    let tokenizer = WordTokenizer::train(["a red square", "a blue circle"], 1).unwrap();
    let open = || SafetensorsFile::open(&file).unwrap();
    let captioner = Captioner::init(settings, tokenizer, Some(open()), &Device::Cpu).unwrap();
    assert_eq!(captioner.config().annotation_size, 5);

    let images = Tensor::rand(-1f32, 1f32, (2, 3, 4 * PATCH, 4 * PATCH), &Device::Cpu).unwrap();
    let seen = captioner.encoder().annotations(&images, &mut Mode::Train(&mut Rng::derive(1, "train", 0))).unwrap();
    assert_eq!((seen.tensor().dims(), seen.grid_size()), ([2, 16, 5].as_slice(), (4, 4)));
    let own = Parameters::from_file(open());
    let backbone = architecture.build(&NetworkConfig::default(), own.builder(&Device::Cpu)).unwrap();
    own.verify().unwrap();
    let map = backbone.map(&images, &mut Mode::Eval).unwrap().flatten_from(2).unwrap().transpose(1, 2).unwrap();
    let difference = (map - seen.tensor()).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    assert_eq!(difference, 0.0);

    let picture = image::RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8, y as u8, 9]));
    let generation = GenerationConfig { max_new_tokens: 3, ..GenerationConfig::default() };
    let caption = captioner.caption(&picture, &generation).unwrap();
    assert!(caption.words.iter().all(|word| word.attention.as_ref().is_some_and(|map| map.weights.len() == 16)));
}
