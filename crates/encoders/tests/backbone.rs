//! Models of the caller's own as encoders, and networks that the caller makes known.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod networks_by_name;

use candle_core::{DType, Device, Module, Result, Tensor};
use candlewick_encoders::{Architecture, Backbone, Encoder, NetworkConfig, Preprocessing, add_network, networks};
use candlewick_parameters::{Mode, Parameters, Rng, SafetensorsFile, VarBuilder};
use candlewick_testing::{flat, images};
use networks_by_name::{find, network};

const CPU: Device = Device::Cpu;
const CHANNELS: usize = 6;
const PATCH: usize = 4;

fn config(classes: Option<usize>) -> NetworkConfig {
    NetworkConfig { classes, ..Default::default() }
}

/// A model as other crates have them: patches, and a layer norm without gradients.
fn model(vb: VarBuilder) -> Result<impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + use<>> {
    let sizes = candle_nn::Conv2dConfig { stride: PATCH, ..Default::default() };
    let patches = candle_nn::conv2d(3, CHANNELS, PATCH, sizes, vb.pp("patches"))?;
    let norm = candle_nn::layer_norm(CHANNELS, 1e-5, vb.pp("norm"))?;
    Ok(move |images: &Tensor| norm.forward(&patches.forward(images)?.flatten_from(2)?.transpose(1, 2)?.contiguous()?))
}

fn row(name: &'static str) -> Architecture {
    let build = move |config: &NetworkConfig, vb: VarBuilder| {
        Backbone::frozen(name, CHANNELS, PATCH, vb.clone(), |vb| model(vb))?.with_head("classifier", config, vb)
    };
    Architecture::new(name, vec!["patches".into(), "norm".into()], &["classifier"], build)
        .with_preprocessing(Preprocessing::unresized())
        .with_canonical_names(|name| Some(name.strip_prefix("backbone.").unwrap_or(name).to_owned()))
        .without_gradients(&[])
}

#[test]
fn tokens_and_maps_give_the_same_map() {
    let images = images(2 * PATCH, 3 * PATCH);
    let map = Tensor::arange(0f32, 2.0 * 5.0 * 6.0, &CPU).unwrap().reshape((2, 5, 2, 3)).unwrap();
    let given = map.clone();
    let apart = Backbone::new("apart", 5, PATCH, move |_| Ok(given.clone()));
    // Rows from the top left: of each picture (P, C).
    let tokens = map.flatten_from(2).unwrap().transpose(1, 2).unwrap().contiguous().unwrap();
    let tokens = Backbone::new("tokens", 5, PATCH, move |_| Ok(tokens.clone()));
    for backbone in [&apart, &tokens] {
        for encoder in [backbone as &dyn Encoder, backbone.for_inference().unwrap().as_ref()] {
            let found = encoder.map(&images, &mut Mode::Eval).unwrap();
            assert_eq!((found.dims(), flat(&found)), (map.dims(), flat(&map)), "{}", encoder.name());
            assert_eq!((encoder.channels(), encoder.stride(), encoder.classes()), (5, PATCH, None));
            let pooled = encoder.pooled(&images, &mut Mode::Eval).unwrap();
            assert_eq!(flat(&pooled), flat(&map.mean((2, 3)).unwrap()));
        }
    }
    let fault = tokens.logits(&images, &mut Mode::Eval).unwrap_err().to_string();
    assert!(fault.contains("tokens: was built without a classification head"), "{fault}");
}

#[test]
fn what_is_no_map_of_the_patches_is_told() {
    let images = images(2 * PATCH, 3 * PATCH);
    for (shape, parts) in [
        (vec![2, 7, 5], ["[2, 7, 5]", "tokens [2, 6, 5] for 2×3 patches, without class token"]),
        (vec![2, 6, 4], ["[2, 6, 4]", "tokens [2, 6, 5]"]),
        (vec![2, 4, 2, 3], ["[2, 4, 2, 3]", "a map [2, 5, h, w]"]),
        (vec![1, 5, 2, 3], ["[1, 5, 2, 3]", "of images [2, 3, 8, 12]"]),
    ] {
        let odd = Backbone::new("odd", 5, PATCH, move |_| Tensor::zeros(shape.clone(), DType::F32, &CPU));
        let fault = odd.map(&images, &mut Mode::Eval).unwrap_err().to_string();
        assert!(fault.starts_with("odd: gave ") && parts.iter().all(|part| fault.contains(part)), "{fault}");
    }
    let grey = images.narrow(1, 0, 1).unwrap();
    let odd = Backbone::new("odd", 3, PATCH, |images| Ok(images.clone()));
    assert!(odd.map(&grey, &mut Mode::Eval).unwrap_err().to_string().contains("(N, 3, height, width)"));
}

#[test]
fn gradients_flow_as_the_function_lets_them() {
    let images = images(2 * PATCH, PATCH);
    let factor = candle_core::Var::new(&[2f32], &CPU).unwrap();
    let held = factor.clone();
    let scaled = Backbone::new("scaled", 3, 1, move |images| images.broadcast_mul(held.as_tensor()));
    let mut rng = Rng::derive(1, "train", 0);
    let sum = scaled.map(&images, &mut Mode::Train(&mut rng)).unwrap().sum_all().unwrap();
    let gradient = sum.backward().unwrap().get(&factor).unwrap().to_vec1::<f32>().unwrap()[0];
    let wanted = flat(&images).iter().sum::<f32>();
    assert!((gradient - wanted).abs() < 1e-3 * wanted.abs(), "{gradient}, not {wanted}");
    let fast = scaled.for_inference().unwrap().map(&images, &mut Mode::Eval).unwrap();
    assert!(!fast.track_op() && scaled.map(&images, &mut Mode::Eval).unwrap().track_op());
}

#[test]
fn a_network_that_was_added_is_built_saved_loaded_and_trained_up_to_its_body() {
    const NAME: &str = "added_backbone";
    let (images, folder) = (images(8, 12), tempfile::tempdir().unwrap());
    assert!(Architecture::find(NAME).err().unwrap().to_string().contains("no network is called added_backbone"));
    add_network(row(NAME)).unwrap();
    assert_eq!(networks().last(), Some(&NAME));
    assert_eq!((find(NAME).stages().len(), find(NAME).head_prefix()), (3, "classifier"));
    assert_eq!(find(NAME).preprocessing(), &Preprocessing::unresized());
    for taken in [NAME, "resnet18"] {
        let fault = add_network(row(taken)).unwrap_err().to_string();
        assert!(fault.contains(taken) && fault.contains("another name"), "{fault}");
    }
    assert_eq!(networks().iter().filter(|name| **name == NAME).count(), 1);

    let saved = Parameters::new(3);
    let whole = network(NAME, &config(Some(4)), saved.builder(&CPU)).unwrap();
    let path = folder.path().join("backbone");
    let published = |name: String| if name.starts_with("classifier") { name } else { format!("backbone.{name}") };
    let tensors: Vec<_> = saved.tensors().into_iter().map(|(name, tensor)| (published(name), tensor)).collect();
    candlewick_parameters::write_safetensors(&tensors, &path).unwrap();
    let open = || find(NAME).canonical_weights(SafetensorsFile::open(&path).unwrap()).unwrap();
    assert_eq!(find(NAME).head_classes(&open()), Some(4));
    let loaded = Parameters::from_file(open());
    let net = network(NAME, &config(None), loaded.builder(&CPU)).unwrap();
    loaded.verify().unwrap();
    let logits = |net: &dyn Encoder| flat(&net.logits(&images, &mut Mode::Eval).unwrap());
    assert_eq!(logits(net.as_ref()), logits(whole.as_ref()));
    assert_eq!(logits(net.for_inference().unwrap().as_ref()), logits(whole.as_ref()));
    // The function sees values that are assigned later.
    let other = Parameters::new(4);
    let net = network(NAME, &config(Some(4)), other.builder(&CPU)).unwrap();
    assert_ne!(logits(net.as_ref()), logits(whole.as_ref()));
    other.assign(&open(), "").unwrap();
    assert_eq!(logits(net.as_ref()), logits(whole.as_ref()));

    let mut rng = Rng::derive(1, "train", 0);
    let fault = net.logits(&images, &mut Mode::Train(&mut rng)).unwrap_err().to_string();
    assert!(fault.contains(NAME) && fault.contains("cannot be trained"), "{fault}");
    assert!(
        find(NAME).frozen_prefixes(Some("norm")).unwrap_err().to_string().contains("only its head can, classifier")
    );
    let tuned = Parameters::new(5);
    find(NAME).frozen_prefixes(Some("classifier")).unwrap().into_iter().for_each(|prefix| tuned.freeze(prefix));
    let net = network(NAME, &config(Some(4)), tuned.builder(&CPU)).unwrap();
    let loss = net.logits(&images, &mut Mode::Train(&mut rng)).unwrap().sqr().unwrap().sum_all().unwrap();
    let gradients = loss.backward().unwrap();
    let trained = tuned.trainable();
    assert_eq!(trained.len(), 2);
    for (name, variable) in trained {
        assert!(flat(gradients.get(&variable).unwrap()).iter().any(|&value| value != 0.0), "{name}");
    }
}
