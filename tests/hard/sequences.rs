use crate::bounded;
use crate::files::{TRIED, damaged, odd, with};
use crate::support::{succeed, tone};
use image::codecs::gif::GifEncoder;
use image::{Frame, Rgba, RgbaImage};
use std::fs;
use std::path::{Path, PathBuf};

/// The folder of a run's last model, as somebody would have it who changes things by hand.
fn model(run: &Path) -> PathBuf {
    let about: serde_json::Value = serde_json::from_slice(&fs::read(run.join("run.json")).unwrap()).unwrap();
    let model = run.join(about["last"].as_str().unwrap());
    fs::remove_file(model.join("SHA256SUMS")).unwrap();
    model
}

/// Classifies a file, whole with damaged settings of the model and damaged with the whole model.
fn damage(here: &Path, model: &Path, file: &str) {
    let classify = ["classify", file, "--model", model.to_str().unwrap()];
    let whole = fs::read(here.join(file)).unwrap();
    for index in 0..TRIED {
        with(&here.join(file), &damaged(&whole, file, index), || {
            let ended = bounded(here, &classify, &format!("{file} {index}"));
            assert!(ended.code == 0 || ended.line().contains(file), "{file} {index}: {}", ended.err);
        });
    }
    for name in ["config.json", "preprocessor_config.json"] {
        let text = fs::read_to_string(model.join(name)).unwrap();
        for index in 0..TRIED {
            with(&model.join(name), odd(&text, name, index).as_bytes(), || {
                let ended = bounded(here, &classify, &format!("{name} {index}"));
                assert!(ended.code == 0 || !ended.line().is_empty());
            });
        }
    }
}

#[test]
fn damaged_sounds_and_models_of_them_are_named_or_still_read() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for number in 0..14 {
        for (class, hertz) in [("low", 300.0), ("high", 1200.0)] {
            tone(&here.join(format!("data/{class}_ann_{number}.wav")), 8000, hertz, 900 + 10 * number as usize);
        }
    }
    let sets = ["model.hidden_size=4", "training.epochs=1", "data.dev_share=0.3"].iter().flat_map(|set| ["--set", set]);
    let words = ["train", "spoken_digits", "--data", "data", "--out", "run", "--quiet"];
    succeed(here, &words.into_iter().chain(sets).collect::<Vec<_>>());
    fs::copy(here.join("data/low_ann_3.wav"), here.join("a.wav")).unwrap();
    damage(here, &model(&here.join("run")), "a.wav");
}

#[test]
fn damaged_clips_and_models_of_them_are_named_or_still_read() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let settings = [
        "data.frames.train=8",
        "data.frames.dev=2",
        "data.frames.test=2",
        "data.frames.steps=4",
        "encoder.config.blocks=[{channels=4,kernel_size=4,stride=4}]",
        "model.hidden_size=4",
        "training.epochs=1",
    ];
    let sets = settings.iter().flat_map(|set| ["--set", set]);
    succeed(here, &["train", "moving", "--out", "run", "--quiet"].into_iter().chain(sets).collect::<Vec<_>>());
    let mut encoder = GifEncoder::new(fs::File::create(here.join("a.gif")).unwrap());
    for at in 0..4 {
        let picture = RgbaImage::from_fn(20, 16, |x, y| Rgba([(20 * at + 9 * x) as u8, (11 * y) as u8, 90, 255]));
        encoder.encode_frame(Frame::new(picture)).unwrap();
    }
    drop(encoder);
    damage(here, &model(&here.join("run")), "a.gif");
}
