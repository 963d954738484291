//! A frozen encoder's weights among a model's own: with its head where that is read, and without where nothing reads it.
#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device};
use candlewick_encoders::{Architecture, NetworkConfig, Preprocessing};
use candlewick_parameters::{Mode, Parameters, SafetensorsFile, write_safetensors};
use candlewick_vision::{EncoderConfig, PictureEncoder};

#[test]
fn the_head_goes_along_where_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alexnet.safetensors");
    let parameters = Parameters::new(3);
    let config = NetworkConfig { classes: Some(10), ..NetworkConfig::default() };
    Architecture::find("alexnet").unwrap().build(&config, parameters.builder(&Device::Cpu)).unwrap();
    parameters.save(&path).unwrap();
    let images = candle_core::Tensor::ones((1, 3, 224, 224), DType::F32, &Device::Cpu).unwrap();
    for (layer, head) in [(None, false), (Some("classifier.5"), true)] {
        let layer = layer.map(str::to_owned);
        let config = EncoderConfig { network: "alexnet".into(), layer, ..EncoderConfig::default() };
        let open = || SafetensorsFile::open(&path).unwrap();
        let own = config.own_weights(open()).unwrap();
        assert_eq!(own.iter().any(|(name, _)| name.starts_with("encoder.classifier.")), head, "{config:?}");
        assert!(own.iter().any(|(name, _)| name == "encoder.features.0.weight"), "{config:?}");

        // Among a model's own, it sees the same bit for bit.
        let model = folder.path().join("model.safetensors");
        write_safetensors(&own, &model).unwrap();
        let seen = |file, parameters: &Parameters| {
            parameters.freeze("");
            let encoder =
                PictureEncoder::new(config.clone(), Preprocessing::imagenet(), file, parameters, &Device::Cpu);
            let encoder = encoder.unwrap().for_inference().unwrap();
            let seen = encoder.annotations(&images, &mut Mode::Eval).unwrap();
            seen.tensor().flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let stored = Parameters::from_safetensors(&model).unwrap();
        assert_eq!(seen(None, &stored), seen(Some(open()), &Parameters::new(0)));
        stored.verify().unwrap();
    }
}
