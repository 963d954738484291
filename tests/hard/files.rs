use crate::support::{photos, scene, small, succeed};
use crate::{bounded, support};
use candlewick::parameters::Rng;
use std::fs;
use std::path::{Path, PathBuf};

/// How many files of each format are tried.
pub const TRIED: u64 = 50;

/// The bytes with something changed: a bit, a byte, a run of zeros or of noise, a part cut off or written twice.
pub fn damaged(whole: &[u8], format: &str, index: u64) -> Vec<u8> {
    let mut rng = Rng::derive(23, format, index);
    let mut bytes = whole.to_vec();
    let at = rng.below(bytes.len().max(1));
    let part = at..(at + 1 + rng.below(64)).min(bytes.len());
    match index % 7 {
        0 => bytes[at] ^= 1 << rng.below(8),
        1 => bytes[at] = rng.below(256) as u8,
        2 => bytes[part].fill(0),
        3 => bytes[part].iter_mut().for_each(|byte| *byte = rng.below(256) as u8),
        4 => bytes.truncate(at),
        5 => drop(bytes.drain(part)),
        _ => drop(bytes.splice(at..at, whole[part].to_vec())),
    }
    bytes
}

/// A text with one of its values replaced by an odd one.
pub fn odd(text: &str, format: &str, index: u64) -> String {
    const VALUES: [&str; 10] =
        ["null", "-1", "0", "1e999", "18446744073709551616", "\"\"", "[]", "{}", "true", "1000000000"];
    let mut rng = Rng::derive(24, format, index);
    let values: Vec<usize> = text.match_indices(": ").map(|(at, _)| at + 2).collect();
    let at = values[rng.below(values.len())];
    let end = text[at..].find([',', '\n', '}']).map_or(text.len(), |length| at + length);
    format!("{}{}{}", &text[..at], VALUES[rng.below(VALUES.len())], &text[end..])
}

/// A file that stands in for `path` while a case runs.
pub fn with(path: &Path, bytes: &[u8], case: impl FnOnce()) {
    let whole = fs::read(path).unwrap();
    fs::write(path, bytes).unwrap();
    case();
    fs::write(path, whole).unwrap();
}

#[test]
fn damaged_pictures_are_named_and_the_others_captioned() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let picture = image::open(scene(here, 1).0).unwrap().to_rgb8();
    for format in ["png", "jpg", "bmp", "gif", "webp"] {
        let whole = here.join(format!("whole.{format}"));
        picture.save(&whole).unwrap_or_else(|error| panic!("{format}: {error}"));
        let whole = fs::read(whole).unwrap();
        let names: Vec<String> = (0..TRIED).map(|index| format!("{index}.{format}")).collect();
        for (index, name) in names.iter().enumerate() {
            fs::write(here.join(name), damaged(&whole, format, index as u64)).unwrap();
        }
        let mut words = vec!["caption"];
        words.extend(names.iter().map(String::as_str));
        let ended = bounded(here, &words, format);
        let captioned = ended.out.lines().count();
        let faults: Vec<&str> = ended.err.lines().filter(|line| line.starts_with("candlewick: ")).collect();
        assert_eq!(captioned + faults.len(), names.len(), "{format}: {}", ended.err);
        assert!(faults.iter().all(|line| line.contains(&format!(".{format}: "))), "{format}: {faults:?}");
    }
}

#[test]
fn damaged_models_are_named_or_still_read() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    scene(here, 1);
    succeed(here, &small("out", &["data.train=8", "training.epochs=1"]));
    let about: serde_json::Value = serde_json::from_slice(&fs::read(here.join("out/run.json")).unwrap()).unwrap();
    let model = here.join("out").join(about["last"].as_str().unwrap());
    // As somebody would have it who changes things by hand.
    fs::remove_file(model.join("SHA256SUMS")).unwrap();
    let caption = ["caption", "scene-1.png", "--model", model.to_str().unwrap()];
    let try_one = |file: &str, bytes: &[u8], index: u64| {
        with(&model.join(file), bytes, || {
            let ended = bounded(here, &caption, &format!("{file} {index}"));
            assert!(ended.code == 0 || !ended.line().is_empty());
        });
    };
    for file in ["config.json", "preprocessor_config.json", "generation_config.json", "tokenizer.json"] {
        let text = fs::read_to_string(model.join(file)).unwrap();
        for index in 0..TRIED / 2 {
            try_one(file, &damaged(text.as_bytes(), file, index), index);
            try_one(file, odd(&text, file, index).as_bytes(), index);
        }
    }
    let whole = fs::read(model.join("model.safetensors")).unwrap();
    for index in 0..TRIED {
        // The header's end is where most can be wrong.
        let (header, rest) = whole.split_at(2_000.min(whole.len() / 2));
        let bytes = [&damaged(header, "safetensors", index)[..], rest].concat();
        try_one("model.safetensors", &bytes, index);
    }
}

#[test]
fn flipped_bits_of_a_checkpoint_are_told_by_whoever_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    scene(here, 1);
    let words = small("out", &["data.train=8", "training.epochs=1"]);
    succeed(here, &words);
    let about: serde_json::Value = serde_json::from_slice(&fs::read(here.join("out/run.json")).unwrap()).unwrap();
    let last = here.join("out").join(about["last"].as_str().unwrap());
    for (index, file) in
        ["model.safetensors", "optimizer.safetensors", "trainer.json"].iter().cycle().take(12).enumerate()
    {
        let mut bytes = fs::read(last.join(file)).unwrap();
        let at = Rng::derive(5, file, index as u64).below(bytes.len());
        bytes[at] ^= 1 << (index % 8);
        with(&last.join(file), &bytes, || {
            let ended = bounded(here, &words, file);
            assert!(ended.line().contains(file) && ended.line().contains("damaged"), "{}", ended.err);
            if *file == "model.safetensors" {
                let ended = bounded(here, &["caption", "scene-1.png", "--model", "out"], file);
                assert!(ended.line().contains(file), "{}", ended.err);
            }
        });
    }
    succeed(here, &words);
}

#[test]
fn damaged_checkpoints_of_pytorch_are_named_or_still_read() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../parameters/tests/fixtures");
    for name in ["linear.pth", "legacy.pth"] {
        let whole = fs::read(fixtures.join(name)).unwrap();
        for index in 0..TRIED {
            fs::write(here.join("damaged.pth"), damaged(&whole, name, index)).unwrap();
            let ended = bounded(here, &["convert", "damaged.pth", "out.safetensors"], &format!("{name} {index}"));
            assert!(ended.code == 0 || ended.line().contains("damaged.pth: "), "{name} {index}: {}", ended.err);
        }
    }
}

#[test]
fn damaged_data_and_recipes_are_named_or_still_read() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    photos(here);
    let train =
        "train train.toml --data data --encoder-weights encoder.safetensors --quiet --set training.max_seconds=0.001";
    for file in ["train.toml", "data/Flickr8k.token.txt", "data/Flickr_8k.devImages.txt", "data/images/train1.png"] {
        let whole = fs::read(here.join(file)).unwrap();
        for index in 0..TRIED / 2 {
            with(&here.join(file), &damaged(&whole, file, index), || {
                let out = format!("out-{}", index);
                let mut words: Vec<&str> = train.split(' ').collect();
                words.extend(["--out", &out, "--set", "data.max_share=0.2"]);
                let ended = bounded(here, &words, &format!("{file} {index}"));
                assert!(ended.code == 0 || !ended.line().is_empty());
                let _ = fs::remove_dir_all(here.join(&out));
            });
        }
    }
}

#[test]
#[cfg(unix)]
fn pipes_and_folders_are_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let (photo, _) = support::scene(here, 1);
    // Of a pipe that nobody writes into.
    assert!(std::process::Command::new("mkfifo").arg(here.join("pipe")).status().unwrap().success());
    for words in [
        vec!["caption", "--list", "."],
        vec!["caption", "--list", "pipe"],
        vec!["convert", ".", "out.safetensors"],
        vec!["classify", photo.to_str().unwrap(), "--model", "resnet18", "--weights", "."],
        vec!["train", "."],
        vec!["train", "pipe"],
        vec!["caption", "pipe"],
        vec!["convert", "pipe", "out.safetensors"],
        vec!["evaluate", "--model", "pipe", "--data", "."],
        vec!["evaluate", "--model", ".", "--data", "."],
    ] {
        let ended = bounded(here, &words, &format!("{words:?}"));
        assert!(ended.code > 0 && !ended.line().is_empty());
    }
}
