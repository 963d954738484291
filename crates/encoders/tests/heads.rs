//! What follows the map: hidden layers, auxiliary heads, dropout, and how they come out of a file or are left out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod networks_by_name;

use candle_core::{Device, Tensor};
use candlewick_encoders::{Encoder, FractalConfig, NetworkConfig};
use candlewick_parameters::{Mode, Parameters, Rng, SafetensorsFile, write_safetensors};
use candlewick_testing::{Hashed, flat, images};
use networks_by_name::{find, network};
use std::path::Path;

const CPU: Device = Device::Cpu;

fn config(classes: Option<usize>) -> NetworkConfig {
    NetworkConfig { classes, ..Default::default() }
}

fn logits(net: &dyn Encoder, images: &Tensor) -> Vec<f32> {
    flat(&net.logits(images, &mut Mode::Eval).unwrap())
}

fn open(path: &Path) -> SafetensorsFile {
    SafetensorsFile::open(path).unwrap()
}

fn trains(parameters: &Parameters, prefix: &str) -> bool {
    parameters.trainable().iter().any(|(name, _)| name.starts_with(prefix))
}

#[test]
fn hidden_layers_come_with_the_head_from_the_file_or_when_asked_for() {
    let (folder, images) = (tempfile::tempdir().unwrap(), images(70, 70));
    let path = folder.path().join("alexnet");
    let saved = Parameters::new(1);
    let whole = network("alexnet", &config(Some(10)), saved.builder(&CPU)).unwrap();
    saved.save(&path).unwrap();
    assert_eq!(find("alexnet").head_classes(&open(&path)), Some(10));
    assert_eq!(find("alexnet").head_prefix(), "classifier.6");
    let fc7 = |net: &dyn Encoder| flat(&net.pre_logits("classifier.5", &images, &mut Mode::Eval).unwrap());

    let loaded = Parameters::from_file(open(&path));
    let net = network("alexnet", &config(None), loaded.builder(&CPU)).unwrap();
    loaded.verify().unwrap();
    assert_eq!(net.classes(), Some(10));
    assert!(trains(&loaded, "features.") && !trains(&loaded, "classifier."));
    assert_eq!(logits(net.as_ref(), &images), logits(whole.as_ref(), &images));

    let loaded = Parameters::from_file(open(&path).without("classifier.6."));
    let net = network("alexnet", &config(None), loaded.builder(&CPU)).unwrap();
    loaded.verify().unwrap();
    assert_eq!(net.classes(), None);
    assert_eq!(fc7(net.as_ref()), fc7(whole.as_ref()));
    let fault = net.logits(&images, &mut Mode::Eval).unwrap_err().to_string();
    assert!(fault.contains("without a classification head"), "{fault}");

    let fresh = Parameters::new(2);
    let net = network("alexnet", &config(None), fresh.builder(&CPU)).unwrap();
    fresh.assign(&find("alexnet").without_head(open(&path)).unwrap(), "").unwrap();
    assert!(net.pre_logits_layers().is_empty() && !trains(&fresh, "classifier."));
    let fault = net.pre_logits("classifier.5", &images, &mut Mode::Eval).unwrap_err().to_string();
    assert!(fault.contains("classifier.5") && fault.contains("fully_connected"), "{fault}");

    let fresh = Parameters::new(2);
    let asked = NetworkConfig { fully_connected: true, ..config(None) };
    let net = network("alexnet", &asked, fresh.builder(&CPU)).unwrap();
    fresh.assign(&open(&path).without("classifier.6."), "").unwrap();
    assert!(trains(&fresh, "classifier.4.") && !trains(&fresh, "classifier.6."));
    assert_eq!(fc7(net.as_ref()), fc7(whole.as_ref()));
    let fault = net.pre_logits("fc7", &images, &mut Mode::Eval).unwrap_err().to_string();
    assert!(fault.contains("fc7") && fault.contains("classifier.2, classifier.5"), "{fault}");
}

#[test]
fn auxiliary_heads_that_nobody_asked_for_are_kept_and_do_not_train() {
    let (folder, images) = (tempfile::tempdir().unwrap(), images(64, 64));
    let path = folder.path().join("googlenet");
    let saved = Parameters::new(1);
    let whole = network("googlenet", &config(Some(4)), saved.builder(&CPU)).unwrap();
    saved.save(&path).unwrap();
    assert_eq!(find("googlenet").head_prefixes(), ["aux1", "aux2", "fc"]);
    assert_eq!(find("googlenet").logit_prefixes(), ["aux1.fc2", "aux2.fc2", "fc"]);
    assert!(trains(&saved, "aux1.fc1."));

    let without = NetworkConfig { auxiliary: false, ..config(Some(4)) };
    for (config, trained) in [(config(None), false), (without, true)] {
        let loaded = Parameters::from_file(open(&path));
        let net = network("googlenet", &config, loaded.builder(&CPU)).unwrap();
        loaded.verify().unwrap();
        assert_eq!(loaded.names().len(), saved.names().len());
        assert_eq!(trains(&loaded, "fc."), trained);
        assert!(trains(&loaded, "inception5b.") && !trains(&loaded, "aux"));
        assert_eq!(logits(net.as_ref(), &images), logits(whole.as_ref(), &images));
        let classified = net.logits_with_auxiliary(&images, &mut Mode::Train(&mut Rng::derive(1, "train", 0))).unwrap();
        assert!(classified.auxiliary.is_empty());
    }
    let fresh = Parameters::new(2);
    network("googlenet", &config(None), fresh.builder(&CPU)).unwrap();
    fresh.assign(&find("googlenet").without_head(open(&path)).unwrap(), "").unwrap();
}

#[test]
fn the_older_names_of_densenets_load_and_are_saved_as_the_present_ones() {
    let (folder, images) = (tempfile::tempdir().unwrap(), images(32, 32));
    let saved = Parameters::new(1);
    let whole = network("densenet121", &config(Some(4)), saved.builder(&CPU)).unwrap();
    let mut tensors = saved.tensors();
    for (name, _) in tensors.iter_mut().filter(|(name, _)| name.contains("denselayer")) {
        for member in ["norm1", "norm2", "conv1", "conv2"] {
            let (kind, number) = member.split_at(4);
            *name = name.replace(&format!(".{member}."), &format!(".{kind}.{number}."));
        }
    }
    assert!(tensors.iter().any(|(name, _)| name == "features.denseblock4.denselayer16.norm.2.running_var"));
    let (path, again) = (folder.path().join("older"), folder.path().join("again"));
    write_safetensors(&tensors, &path).unwrap();
    let loaded = Parameters::from_file(find("densenet121").canonical_weights(open(&path)).unwrap());
    let net = network("densenet121", &config(Some(4)), loaded.builder(&CPU)).unwrap();
    loaded.verify().unwrap();
    assert_eq!(logits(net.as_ref(), &images), logits(whole.as_ref(), &images));
    loaded.save(&again).unwrap();
    let names = |file: &SafetensorsFile| file.names().map(str::to_owned).collect::<Vec<_>>();
    let mut present = saved.names();
    present.sort();
    assert_eq!(names(&open(&again)), present);
    assert_eq!(names(&find("densenet121").canonical_weights(open(&again)).unwrap()), present);

    // Into a network that is there already, too.
    let fresh = Parameters::new(2);
    network("densenet121", &config(None), fresh.builder(&CPU)).unwrap();
    fresh.assign(&find("densenet121").without_head(open(&path)).unwrap(), "").unwrap();

    let twice = "features.denseblock1.denselayer1.norm1.weight";
    tensors.push((twice.to_owned(), Tensor::new(&[0f32], &CPU).unwrap()));
    write_safetensors(&tensors, &path).unwrap();
    let fault = find("densenet121").canonical_weights(open(&path)).err().unwrap().to_string();
    assert!(fault.contains(twice) && fault.contains("twice"), "{fault}");
}

#[test]
fn dropout_acts_in_training_where_it_is_not_0() {
    let fractal = FractalConfig { drop_path: 0.0, global_drop_path: 0.0, column: None };
    for (name, own) in [
        ("squeezenet1_1", true),
        ("alexnet", true),
        ("googlenet", true),
        ("densenet121", false),
        ("fractalnet20", true),
        ("resnet18", false),
    ] {
        let images = images(if name == "alexnet" { 64 } else { 32 }, 64);
        let weights = Hashed::default();
        let run = |dropout, seed| {
            let config = NetworkConfig { dropout, fractal: fractal.clone(), ..config(Some(3)) };
            let net = network(name, &config, weights.builder()).unwrap();
            flat(&net.logits(&images, &mut Mode::Train(&mut Rng::derive(seed, "train", 0))).unwrap())
        };
        assert_eq!(run(None, 1) != run(None, 2), own, "{name}");
        assert_eq!(run(Some(0.0), 1), run(Some(0.0), 2), "{name}");
        assert_eq!(run(Some(0.4), 1) != run(Some(0.4), 2), name != "resnet18", "{name}");
    }
}

#[test]
fn drop_path_leaves_out_columns_in_training() {
    let (images, mut chosen) = (images(32, 32), std::collections::BTreeSet::new());
    let fractal = FractalConfig { drop_path: 0.0, global_drop_path: 1.0, column: None };
    let only = NetworkConfig { dropout: Some(0.0), fractal, ..config(Some(3)) };
    let weights = Hashed::default();
    let net = network("fractalnet20", &only, weights.builder()).unwrap();
    for seed in 0..12 {
        let mut rng = Rng::derive(seed, "train", 0);
        let loss = net.logits(&images, &mut Mode::Train(&mut rng)).unwrap().sqr().unwrap().sum_all().unwrap();
        let gradients = loss.backward().unwrap();
        let has = |name: &str| gradients.get(weights.variable(name).as_tensor()).is_some();
        let columns: Vec<usize> =
            (1..=3).filter(|column| has(&format!("block1.column{column}.0.conv.weight"))).collect();
        assert_eq!(columns.len(), 1);
        // The same column through the whole network, to its last convolution.
        for (block, column) in (1..=5).flat_map(|block| (1..=3).map(move |column| (block, column))) {
            let last = format!("block{block}.column{column}.{}.conv.weight", (1 << (column - 1)) - 1);
            assert_eq!(has(&last), columns[0] == column, "{last}");
        }
        chosen.insert(columns[0]);
    }
    assert_eq!(chosen.len(), 3);
    for (column, drop_path) in [(Some(0), 0.1), (Some(4), 0.1), (None, 1.5)] {
        let fractal = FractalConfig { drop_path, column, ..Default::default() };
        let config = NetworkConfig { fractal, ..config(None) };
        let Err(fault) = network("fractalnet20", &config, Hashed::default().builder()) else { panic!("built") };
        assert!(fault.to_string().contains("fractalnet20"), "{fault}");
    }
}

#[test]
fn pictures_pass_blocks_by_in_training_alone() {
    let images = images(64, 64);
    for name in ["convnext_tiny", "efficientnet_b0"] {
        let build = |probability| {
            let config = NetworkConfig {
                classes: Some(10),
                dropout: Some(0.0),
                stochastic_depth: Some(probability),
                ..Default::default()
            };
            network(name, &config, Hashed::default().builder())
        };
        let (none, some) = (build(0.0).unwrap(), build(0.5).unwrap());
        assert_eq!(logits(none.as_ref(), &images), logits(some.as_ref(), &images), "{name}");
        let trained = |net: &dyn Encoder| {
            let mut rng = Rng::derive(1, "stochastic depth", 0);
            flat(&net.logits(&images, &mut Mode::Train(&mut rng)).unwrap())
        };
        assert_ne!(trained(none.as_ref()), trained(some.as_ref()), "{name}");
        let fault = build(1.5).err().unwrap().to_string();
        assert!(fault.contains("stochastic_depth is 1.5") && fault.contains(name), "{fault}");
    }
}
