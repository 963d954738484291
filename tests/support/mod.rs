//! What tests of the whole program share: the program started in a folder, and small things for it to work on.
#![allow(dead_code)]

use candlewick::data::captions::Split;
use candlewick::data::scenes::Scene;
use candlewick::encoders::{Architecture, NetworkConfig};
use candlewick::parameters::Parameters;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The program, about to run in `folder`.
pub fn candlewick(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_candlewick"));
    command.current_dir(folder).env_remove("RUST_BACKTRACE");
    command
}

/// Runs the program with these words and gives what came out.
pub fn run(folder: &Path, words: &[&str]) -> Output {
    candlewick(folder).args(words).output().expect("the program starts")
}

/// Runs the program, which must succeed, and gives its standard output.
pub fn succeed(folder: &Path, words: &[&str]) -> String {
    let output = run(folder, words);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "candlewick {words:?} failed\n{out}\n{err}");
    out
}

/// Runs the program, which must fail with this exit code and one line on standard error that has all `parts` in it.
pub fn fail(folder: &Path, words: &[&str], code: i32, parts: &[&str]) {
    let output = run(folder, words);
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "candlewick {words:?}: {err}");
    let said: Vec<&str> = err.lines().filter(|line| line.starts_with("candlewick: ")).collect();
    assert_eq!(said.len(), 1, "candlewick {words:?} must say one line: {err}");
    for part in parts {
        assert!(said[0].contains(part), "{part:?} is not in: {}", said[0]);
    }
    assert!(!err.contains("panicked"), "{err}");
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Arguments of a training on few scenes that ends within seconds.
pub fn small<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let settings = ["data.train=48", "data.dev=6", "training.epochs=2", "batches.size=8", "decoder.hidden_size=32"];
    let mut words = vec!["train", "--quiet", "--out", out];
    words.extend(settings.iter().chain(more).flat_map(|setting| ["--set", setting]));
    words
}

/// Writes a generated scene as PNG and gives its path and caption.
pub fn scene(folder: &Path, index: u64) -> (PathBuf, String) {
    let scene = Scene::generate(3, index, Split::Test);
    let path = folder.join(format!("scene-{index}.png"));
    scene.draw().save(&path).unwrap();
    (path, scene.caption)
}

/// Pictures with captions laid out as Flickr8k: 16 to train on, 4 for dev, 4 for test.
pub fn flickr(here: &Path) {
    let data = here.join("data");
    fs::create_dir_all(data.join("images")).unwrap();
    let mut tokens = String::new();
    for (split, list, count) in [(Split::Train, "train", 16), (Split::Dev, "dev", 4), (Split::Test, "test", 4)] {
        let mut names = String::new();
        for index in 0..count {
            let (name, scene) = (format!("{list}{index}.png"), Scene::generate(9, index, split));
            scene.draw().save(data.join("images").join(&name)).unwrap();
            for k in 0..2 {
                tokens += &format!("{name}#{k}\t{} .\n", scene.caption);
            }
            names += &format!("{name}\n");
        }
        fs::write(data.join(format!("Flickr_8k.{list}Images.txt")), names).unwrap();
    }
    fs::write(data.join("Flickr8k.token.txt"), tokens).unwrap();
}

/// Weights of a small network as a stranger would bring them.
pub fn weights(here: &Path, name: &str, file: &str) {
    let parameters = Parameters::new(5);
    let config = NetworkConfig { classes: Some(10), ..NetworkConfig::default() };
    let architecture = Architecture::find(name).unwrap();
    architecture.build(&config, parameters.builder(&candlewick::candle::Device::Cpu)).unwrap();
    parameters.save(here.join(file)).unwrap();
}

/// All that a training on photos wants: `data`, `encoder.safetensors` and `train.toml`.
pub fn photos(here: &Path) {
    flickr(here);
    weights(here, "convnet", "encoder.safetensors");
    fs::write(here.join("train.toml"), RECIPE).unwrap();
}

pub const RECIPE: &str = r#"
task = "captioning"
name = "photos"
data = { kind = "photos", min_count = 1 }
preprocessing = { do_resize = true, size = { height = 64, width = 64 }, do_center_crop = true, crop_size = { height = 64, width = 64 }, do_rescale = true, do_normalize = true, image_mean = [0.5, 0.5, 0.5], image_std = [0.5, 0.5, 0.5] }
encoder = { network = "convnet" }
decoder = { embedding_size = 16, hidden_size = 16, attention_size = 16 }
batches = { size = 8 }

[training]
epochs = 1
optimizer = { name = "adam", learning_rate = 0.001 }
"#;

/// A WAV file of a tone, 16 bits, one channel.
pub fn tone(path: &Path, rate: u32, hertz: f64, count: usize) {
    let sample = |n: usize| (12_000.0 * (std::f64::consts::TAU * hertz * n as f64 / f64::from(rate)).sin()) as i16;
    let data: Vec<u8> = (0..count).flat_map(|n| sample(n).to_le_bytes()).collect();
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + data.len() as u32).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    bytes.extend(16u32.to_le_bytes());
    bytes.extend([1u16, 1].iter().flat_map(|number| number.to_le_bytes()));
    bytes.extend([rate, 2 * rate].iter().flat_map(|number| number.to_le_bytes()));
    bytes.extend([2u16, 16].iter().flat_map(|number| number.to_le_bytes()));
    bytes.extend(b"data");
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}
