use super::{fail, succeed};
use std::fs;
use std::path::Path;

/// A WAV file of a tone, 16 bits, one channel.
fn tone(path: &Path, rate: u32, hertz: f64, count: usize) {
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

#[test]
fn a_classifier_of_sounds_is_trained_evaluated_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for number in 0..40 {
        for (class, hertz) in [("low", 300.0), ("high", 1200.0)] {
            let name = format!("data/{class}_ann_{number}.wav");
            tone(&here.join(name), 8000, hertz + 5.0 * f64::from(number), 900 + 10 * number as usize);
        }
    }
    let settings = ["model.hidden_size=8", "data.dev_share=0.2", "batches.size=8", "training.epochs=4"];
    let words = [
        "train",
        "spoken_digits",
        "--data",
        "data",
        "--out",
        "run",
        "--quiet",
        "--set",
        "training.optimizer.learning_rate=0.02",
    ];
    let sets = settings.iter().flat_map(|setting| ["--set", setting]);
    let told = succeed(here, &words.into_iter().chain(sets).collect::<Vec<_>>());
    assert!(told.contains("on 10 sequences of the test split:") && told.contains("accuracy          1.0000"), "{told}");
    // Shorter than a frame, which is filled up.
    tone(&here.join("short.wav"), 8000, 1300.0, 150);
    tone(&here.join("other.wav"), 16_000, 300.0, 900);
    let said = succeed(here, &["classify", "short.wav", "data/low_ann_3.wav", "--model", "run", "--top", "1"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!((lines[0], lines[2]), ("short.wav", "data/low_ann_3.wav"), "{said}");
    assert!(lines[1].ends_with("%  high") && lines[3].ends_with("%  low"), "{said}");
    let object = succeed(here, &["classify", "short.wav", "--model", "run", "--json"]);
    let object: serde_json::Value = serde_json::from_str(&object).unwrap();
    assert_eq!((&object["file"], &object["classes"][0]["label"]), (&"short.wav".into(), &"high".into()), "{object}");
    fail(
        here,
        &["classify", "other.wav", "--model", "run"],
        1,
        &["other.wav: has 16000 samples a second; wanted 8000"],
    );
    fs::write(here.join("cut.wav"), &fs::read(here.join("short.wav")).unwrap()[..100]).unwrap();
    fail(here, &["classify", "cut.wav", "--model", "run"], 1, &["cut.wav: is cut short"]);
    fail(here, &["classify", "--text", "low", "--model", "run"], 2, &["--text", "run classifies no texts"]);
    let scores = succeed(here, &["evaluate", "--model", "run", "--data", "data", "--split", "test", "--json"]);
    let scores: serde_json::Value = serde_json::from_str(&scores).unwrap();
    assert_eq!((scores["accuracy"].as_f64(), scores["sequences"].as_u64()), (Some(1.0), Some(10)), "{scores}");
}
