//! A classifier learns something small to the end, resumes, and opens again.
#![allow(clippy::unwrap_used, clippy::panic)]

use candle_core::Device;
use candlewick_encoders::{Architecture, ConvBlock, NetworkConfig, Preprocessing, Resize};
use candlewick_parameters::{Mode, Parameters, Rng, SafetensorsFile, write_safetensors};
use candlewick_tasks::classification::{
    ClassificationRecipe, ClassificationTask, Classifier, DataConfig, NetworkRecipe, prepare,
};
use candlewick_testing::flat;
use candlewick_training::{FitConfig, OptimizerConfig, Report, Shard, Silent, StopReason, Task, fit};
use image::{Rgb, RgbImage};
use std::path::{Path, PathBuf};

/// Pictures with a bar across or down, somewhere, in some colour.
fn bars(folder: &Path) {
    for index in 0..60u32 {
        for class in ["across", "down"] {
            let at = 1 + index % 10;
            let colour = Rgb([100 + (index * 37 % 155) as u8, (index * 91 % 255) as u8, 180]);
            let picture = RgbImage::from_fn(12, 12, |x, y| {
                let along = if class == "across" { y } else { x };
                if along == at { colour } else { Rgb([20, 20, 20]) }
            });
            let place = folder.join(class);
            std::fs::create_dir_all(&place).unwrap();
            picture.save(place.join(format!("{index}.png"))).unwrap();
        }
    }
}

/// Pictures that are large enough for GoogLeNet.
fn small() -> Preprocessing {
    Preprocessing { size: Some(Resize::Exact(32, 32)), ..Preprocessing::unresized() }
}

fn recipe(data: &Path, epochs: usize) -> ClassificationRecipe {
    let block = |channels| ConvBlock { channels, kernel_size: 3, stride: 2 };
    let config = NetworkConfig { blocks: vec![block(8), block(16)], ..NetworkConfig::default() };
    ClassificationRecipe {
        task: "classification".into(),
        name: "bars".into(),
        data: DataConfig { path: Some(data.into()), dev_share: 0.3, ..DataConfig::default() },
        network: NetworkRecipe { name: "convnet".into(), config, pretrained: None, fine_tune: None },
        preprocessing: Some(Preprocessing::unresized()),
        augmentation: Default::default(),
        label_smoothing: 0.0,
        batches: candlewick_tasks::classification::BatchConfig { size: 8, workers: 1 },
        training: FitConfig { epochs, seed: 3, optimizer: OptimizerConfig::adam(0.01), ..FitConfig::default() },
    }
}

fn train(recipe: &ClassificationRecipe, out: &Path) -> (ClassificationTask, Report) {
    let mut task = prepare(recipe, &Device::Cpu, &mut |_| ()).unwrap();
    let report = fit(&mut task, &recipe.training, out, &mut Silent).unwrap();
    (task, report)
}

fn weights(folder: &Path) -> Vec<(String, Vec<f32>)> {
    let file = SafetensorsFile::open(folder.join("model.safetensors")).unwrap();
    let values = |name: &str| flat(&file.tensor(name, &Device::Cpu).unwrap());
    file.names().map(|name| (name.to_owned(), values(name))).collect()
}

#[test]
fn it_learns_resumes_and_opens_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("bars");
    bars(&data);
    let (whole, resumed) = (folder.path().join("whole"), folder.path().join("resumed"));
    let recipe = recipe(&data, 8);
    let (_, report) = train(&recipe, &whole);
    assert_eq!(report.best_scores.unwrap().get("accuracy"), Some(1.0));

    // Stopped at once and gone on with, it ends the same.
    let mut stopped = recipe.clone();
    stopped.training.max_seconds = Some(1e-6);
    assert_eq!(train(&stopped, &resumed).1.reason, StopReason::MaxSeconds);
    let (_, again) = train(&recipe, &resumed);
    assert_eq!(weights(&report.last), weights(&again.last));

    let classifier = Classifier::from_pretrained(&whole, &Device::Cpu).unwrap();
    let picture = image::open(data.join("down/7.png")).unwrap().to_rgb8();
    let guesses = classifier.classify(&[picture], 2).unwrap().remove(0);
    assert_eq!((guesses[0].label.as_str(), guesses.len()), ("down", 2));
    assert!(guesses[0].probability > 0.5 && (guesses[0].probability + guesses[1].probability - 1.0).abs() < 1e-6);
}

#[test]
fn pretrained_weights_are_taken_up_to_a_head_for_other_classes() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("bars");
    bars(&data);
    let mut recipe = recipe(&data, 1);
    let ten = NetworkConfig { classes: Some(10), ..recipe.network.config.clone() };
    let file = folder.path().join("ten.safetensors");
    let pretrained = Parameters::new(9);
    Architecture::find("convnet").unwrap().build(&ten, pretrained.builder(&Device::Cpu)).unwrap();
    pretrained.save(&file).unwrap();
    recipe.network.pretrained = Some(file.clone());
    recipe.network.fine_tune = Some("fc".into());
    let (_, report) = train(&recipe, &folder.path().join("run"));
    let (before, after) = (SafetensorsFile::open(&file).unwrap(), weights(&report.last));
    let kept = after.iter().find(|(name, _)| name == "blocks.0.conv.weight").unwrap();
    let wanted = flat(&before.tensor(&kept.0, &Device::Cpu).unwrap());
    assert_eq!(kept.1, wanted);
    assert_eq!(after.iter().find(|(name, _)| name == "fc.bias").unwrap().1.len(), 2);

    recipe.network.pretrained = None;
    let message = prepare(&recipe, &Device::Cpu, &mut |_| ()).err().unwrap().to_string();
    assert!(message.contains("name them with --encoder-weights"), "{message}");
}

#[test]
fn auxiliary_heads_are_left_out_of_pretrained_weights_for_other_classes() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("bars");
    bars(&data);
    let file = folder.path().join("three.safetensors");
    let (pretrained, three) = (Parameters::new(9), NetworkConfig { classes: Some(3), ..NetworkConfig::default() });
    Architecture::find("googlenet").unwrap().build(&three, pretrained.builder(&Device::Cpu)).unwrap();
    pretrained.save(&file).unwrap();
    let before = SafetensorsFile::open(&file).unwrap();
    let mut recipe = recipe(&data, 1);
    recipe.network.name = "googlenet".into();
    recipe.preprocessing = Some(small());
    recipe.network.pretrained = Some(file);
    for auxiliary in [true, false] {
        recipe.network.config = NetworkConfig { auxiliary, ..NetworkConfig::default() };
        let task = prepare(&recipe, &Device::Cpu, &mut |_| ()).unwrap();
        let parameters: std::collections::BTreeMap<_, _> = task.parameters().tensors().into_iter().collect();
        for part in ["fc", "aux1.fc2", "aux2.fc2"] {
            let bias = parameters.get(&format!("{part}.bias")).map(|bias| bias.elem_count());
            assert_eq!(bias, (auxiliary || part == "fc").then_some(2), "{part}");
        }
        let kept = if auxiliary { "aux2.fc1.bias" } else { "inception5b.branch1.bn.bias" };
        let found = parameters[kept].to_vec1::<f32>().unwrap();
        assert_eq!(found, before.tensor(kept, &Device::Cpu).unwrap().to_vec1::<f32>().unwrap());
        let batch = task.batches(0, 0, Shard::WHOLE).unwrap().next().unwrap().unwrap();
        let mut rng = Rng::derive(1, "train", 0);
        assert!(task.loss(&batch, &mut Mode::Train(&mut rng)).unwrap().value.to_scalar::<f32>().unwrap().is_finite());
    }
}

/// A GoogLeNet for so many classes with all that a file may hold, and the same file without auxiliary heads.
fn googlenets(folder: &Path, classes: usize) -> [PathBuf; 2] {
    let config = NetworkConfig { classes: Some(classes), ..NetworkConfig::default() };
    let (files, parameters) = (["with", "without"].map(|name| folder.join(name)), Parameters::new(9));
    Architecture::find("googlenet").unwrap().build(&config, parameters.builder(&Device::Cpu)).unwrap();
    parameters.save(&files[0]).unwrap();
    let mut tensors = parameters.tensors();
    tensors.retain(|(name, _)| !name.starts_with("aux"));
    write_safetensors(&tensors, &files[1]).unwrap();
    files
}

#[test]
fn a_classifier_takes_published_weights_with_auxiliary_heads_and_without() {
    let folder = tempfile::tempdir().unwrap();
    let picture = RgbImage::from_fn(48, 40, |x, y| Rgb([x as u8 * 5, y as u8 * 6, 77]));
    let [with, without] = googlenets(folder.path(), 3).map(|path| {
        let file = SafetensorsFile::open(path).unwrap();
        let classifier = Classifier::from_weights("googlenet", file, None, small(), &Device::Cpu).unwrap();
        let found = classifier.classify(std::slice::from_ref(&picture), 3).unwrap().remove(0);
        // What was opened can be saved and opened again.
        let again = folder.path().join("again");
        std::fs::create_dir_all(&again).unwrap();
        classifier.save(&again).unwrap();
        let again = Classifier::from_pretrained(&again, &Device::Cpu).unwrap();
        assert_eq!(again.classify(std::slice::from_ref(&picture), 3).unwrap().remove(0), found);
        found
    });
    assert_eq!(with, without);
    // Other numbers of classes than ImageNet's have no names that could be known.
    assert!(with.iter().all(|guess| guess.label == guess.class.to_string()));
}

#[test]
fn auxiliary_heads_that_the_pretrained_file_lacks_begin_fresh() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("bars");
    bars(&data);
    let mut recipe = recipe(&data, 1);
    recipe.network.name = "googlenet".into();
    recipe.network.config = NetworkConfig::default();
    recipe.preprocessing = Some(small());
    // For other classes and for as many.
    for classes in [3, 2] {
        let [_, without] = googlenets(folder.path(), classes);
        let wanted = SafetensorsFile::open(&without).unwrap();
        recipe.network.pretrained = Some(without);
        let task = prepare(&recipe, &Device::Cpu, &mut |_| ()).unwrap();
        let parameters: std::collections::BTreeMap<_, _> = task.parameters().tensors().into_iter().collect();
        let same = |name: &str| flat(&parameters[name]) == flat(&wanted.tensor(name, &Device::Cpu).unwrap());
        assert!(same("inception5b.branch1.conv.weight") && parameters.contains_key("aux1.fc1.weight"));
        assert_eq!(parameters["fc.bias"].elem_count(), 2);
        assert!(classes != 2 || same("fc.weight"));
    }
}

#[test]
fn pictures_are_made_as_the_network_wants_them_unless_the_recipe_says_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let mut recipe = recipe(folder.path(), 1);
    assert_eq!(recipe.preprocessing().unwrap(), Preprocessing::unresized());
    recipe.preprocessing = None;
    for name in ["googlenet", "efficientnet_b3"] {
        recipe.network.name = name.into();
        assert_eq!(recipe.preprocessing().unwrap(), *Architecture::find(name).unwrap().preprocessing());
    }
    recipe.network.name = "googlenet".into();
    assert_eq!(recipe.preprocessing().unwrap().mean, [0.5; 3]);
    recipe.network.config.transform_input = true;
    assert_eq!(recipe.preprocessing().unwrap(), Preprocessing::imagenet());
    recipe.network = NetworkRecipe { name: "resnet7".into(), config: Default::default(), ..recipe.network };
    assert!(recipe.preprocessing().unwrap_err().to_string().contains("no network is called resnet7"));
}

#[test]
fn broken_pictures_are_skipped_until_they_are_too_many() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("bars");
    bars(&data);
    std::fs::write(data.join("down/broken.png"), "no picture").unwrap();
    let mut recipe = recipe(&data, 1);
    let mut task = prepare(&recipe, &Device::Cpu, &mut |_| ()).unwrap();
    let set = task.set().clone();
    let all = set.train.len() + set.dev.len();
    assert_eq!(all, 121);
    let line = task.skipped().unwrap();
    assert!(
        line.starts_with("skipped 1 of 121 pictures: ") && line.contains("down/broken.png: is not a pict"),
        "{line}"
    );
    assert_eq!(task.skipped(), None);
    // Epochs, validation and scores go over the others.
    let pictures = |task: &ClassificationTask| task.config()["pictures"].as_u64().unwrap() as usize;
    let broken = data.join("down/broken.png");
    let of_train = (0..set.train.len()).filter(|&row| set.train.path(row) == Some(&broken)).count();
    assert_eq!(pictures(&task), set.train.len() - of_train);
    for epoch in 0..2 {
        assert!(task.batches(epoch, 0, Shard::WHOLE).unwrap().all(|batch| batch.is_ok()));
    }
    task.validate(0).unwrap();
    task.scores(&set.train, &mut |_, _| ()).unwrap();
    task.scores(&set.dev, &mut |_, _| ()).unwrap();

    recipe.data.max_share = 0.0;
    let fault = prepare(&recipe, &Device::Cpu, &mut |_| ()).err().unwrap().to_string();
    assert!(fault.contains("1 of 121 pictures are broken") && fault.contains("broken.png"), "{fault}");
    // A strip that resizing would make enormous cannot be an input either.
    recipe.data.max_share = 0.01;
    recipe.preprocessing = Some(Preprocessing::imagenet());
    RgbImage::new(60_000, 1).save(data.join("across/strip.png")).unwrap();
    let fault = prepare(&recipe, &Device::Cpu, &mut |_| ()).err().unwrap().to_string();
    assert!(fault.contains("2 of 122 pictures are broken") && fault.contains("strip.png"), "{fault}");
}

#[test]
fn pictures_of_two_sizes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("bars");
    bars(&data);
    RgbImage::new(16, 12).save(data.join("down/7.png")).unwrap();
    let message = prepare(&recipe(&data, 1), &Device::Cpu, &mut |_| ()).err().unwrap().to_string();
    assert!(
        message.contains("down/7.png: is 16×12 pixels as the network would see it")
            && message.contains("12×12; set pre"),
        "{message}"
    );
    let recipe = ClassificationRecipe { preprocessing: Some(small()), ..recipe(&data, 1) };
    assert!(prepare(&recipe, &Device::Cpu, &mut |_| ()).is_ok());
    // What was passed over is told with the set.
    std::fs::write(data.join("down/notes.txt"), "text").unwrap();
    let task = prepare(&recipe, &Device::Cpu, &mut |_| ()).unwrap();
    let set = task.set();
    assert_eq!(set.notes, ["passed over 1 files and folders that are no pictures of a class: down/notes.txt"]);
}
