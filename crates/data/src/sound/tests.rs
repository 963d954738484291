#![allow(clippy::unwrap_used, clippy::print_stderr)]
use super::*;
use crate::split::Split;
use hound::{SampleFormat, WavSpec, WavWriter};
use std::path::{Path, PathBuf};

const PCM: WavSpec = WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: SampleFormat::Int };

fn write(path: &Path, about: WavSpec, samples: &[i32]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer = WavWriter::create(path, about).unwrap();
    samples.iter().for_each(|&sample| writer.write_sample(sample).unwrap());
    writer.finalize().unwrap();
}

/// Two tones of 440 and 1500 Hz.
fn tones(count: usize) -> Sound {
    let tone = |n: usize, hertz: f64| (std::f64::consts::TAU * hertz * n as f64 / 8000.0).sin();
    let samples = (0..count).map(|n| (0.5 * tone(n, 440.0) + 0.25 * tone(n, 1500.0)) as f32).collect();
    Sound { rate: 8000, samples }
}

/// What NumPy's rfft gives by the same formula.
#[test]
fn frames_equal_those_of_another_program() {
    let frames = LogMel::default().frames(&tones(400)).unwrap();
    assert_eq!(frames.len(), 3 * 40);
    let wanted = [
        (0, 0, -8.56225),
        (0, 11, 1.25787),
        (0, 26, -6.85715),
        (1, 12, -3.26476),
        (1, 39, -18.75891),
        (2, 20, -8.30106),
    ];
    for (frame, band, wanted) in wanted {
        let found = frames[40 * frame + band];
        // The quietest bands hang on the rounding of the samples.
        assert!(
            (found - wanted).abs() < if wanted < -10.0 { 0.3 } else { 1e-3 },
            "{frame} {band}: {found} is not {wanted}"
        );
    }
    let few = LogMel { bands: 4, low: 100.0, high: Some(3000.0), ..LogMel::default() };
    let near = |found: &[f32], wanted: [f32; 4]| {
        assert!(
            found.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-4),
            "{found:?} is not {wanted:?}"
        );
    };
    few.frames(&tones(400)).unwrap().chunks(4).for_each(|frame| near(frame, [7.63572, 5.79521, 6.08074, 5.09157]));
    near(&few.frames(&tones(50)).unwrap(), [3.95373, 3.14322, 2.92167, 1.43894]);
    assert_eq!(LogMel::default().frames(&Sound { rate: 8000, samples: vec![] }).unwrap(), [1e-10f32.ln(); 40]);
}

#[test]
fn settings_that_make_no_frames_are_told() {
    let fault = |mel: LogMel| mel.frames(&tones(400)).unwrap_err().to_string();
    let plain = LogMel::default();
    assert!(fault(LogMel { hop: 0.0, ..plain }).starts_with("window is 0.025 s and hop 0 s at 8000 Hz; wanted"));
    assert!(fault(LogMel { high: Some(5000.0), ..plain }).starts_with("40 bands from 20 to 5000 Hz; wanted one band"));
    assert!(fault(LogMel { bands: 1_000_000_000, ..plain }).contains("512 at most"));
    assert!(
        fault(LogMel { bands: 400, ..plain }).starts_with("band 0 of 400 is narrower than a frame"),
        "{}",
        fault(LogMel { bands: 400, ..plain })
    );
}

#[test]
fn wav_of_every_kind_is_read_as_one_channel() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wav");
    write(&path, WavSpec { channels: 2, ..PCM }, &[16384, 0, -32768, -32768]);
    assert_eq!(Sound::read(&path).unwrap(), Sound { rate: 8000, samples: vec![0.25, -1.0] });
    write(&path, WavSpec { bits_per_sample: 8, ..PCM }, &[64, -128]);
    assert_eq!(Sound::read(&path).unwrap().samples, [0.5, -1.0]);
    write(&path, WavSpec { bits_per_sample: 24, ..PCM }, &[1 << 22]);
    assert_eq!(Sound::read(&path).unwrap().samples, [0.5]);
    let float = WavSpec { bits_per_sample: 32, sample_format: SampleFormat::Float, ..PCM };
    let mut writer = WavWriter::create(&path, float).unwrap();
    writer.write_sample(0.75f32).unwrap();
    writer.write_sample(f32::NAN).unwrap();
    writer.finalize().unwrap();
    assert!(Sound::read(&path).unwrap_err().to_string().ends_with("a.wav: sample 1 is no finite number"));
    write(&path, PCM, &[1; 100]);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..150]).unwrap();
    assert!(Sound::read(&path).unwrap_err().to_string().contains("a.wav: is cut short"));
    std::fs::write(&path, "no sound").unwrap();
    assert!(Sound::read(&path).unwrap_err().to_string().contains("a.wav: is no WAV file that can be read"));
    assert!(Sound::read(&folder.path().join("none.wav")).is_err());
}

fn told(folder: &Path, set: &SoundSet, split: Split) -> String {
    let one = |sound: &SoundFile| {
        format!("{}:{}", set.classes[sound.label as usize], sound.path.strip_prefix(folder).unwrap().display())
    };
    set.parts.of(split).iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn names_or_folders_tell_the_classes() {
    let folder = tempfile::tempdir().unwrap();
    let options = LoadOptions { dev_share: 0.0, max_share: 0.5, ..LoadOptions::default() };
    for name in ["0_ann_5", "1_ann_6", "1_ann_4", "1_bob_7"] {
        write(&folder.path().join(format!("recordings/{name}.wav")), PCM, &[0; 50]);
    }
    write(&folder.path().join("recordings/0_bob_9.wav"), WavSpec { sample_rate: 16_000, ..PCM }, &[0; 50]);
    std::fs::write(folder.path().join("recordings/0_bob_8.wav"), "RIFF").unwrap();
    let set = load(folder.path(), &options).unwrap();
    assert_eq!((set.rate, set.classes.join(" ")), (8000, "0 1".to_owned()));
    let wanted = "0:recordings/0_ann_5.wav 1:recordings/1_ann_6.wav 1:recordings/1_bob_7.wav";
    assert_eq!((told(folder.path(), &set, Split::Train).as_str(), set.parts.test.len()), (wanted, 1));
    assert_eq!(set.parts.train[0].read().unwrap().samples.len(), 50);
    let report = set.skipped.report().unwrap();
    assert!(report.contains("recordings/0_bob_9.wav: has 16000 samples a second; wanted 8000"), "{report}");
    assert!(report.starts_with("skipped 2 of 6 sounds: recordings/0_bob_8.wav: is "), "{report}");
    let commands = tempfile::tempdir().unwrap();
    for name in ["yes/a.wav", "yes/b.wav", "no/a.wav", "no/b.WAV", "_background_noise_/x.wav"] {
        write(&commands.path().join(name), PCM, &[0; 50]);
    }
    std::fs::write(commands.path().join("validation_list.txt"), "yes/b.wav\n").unwrap();
    std::fs::write(commands.path().join("testing_list.txt"), "no/b.WAV\n").unwrap();
    let set = load(commands.path(), &options).unwrap();
    let parts = [Split::Train, Split::Dev, Split::Test].map(|split| told(commands.path(), &set, split));
    assert_eq!(parts, ["no:no/a.wav yes:yes/a.wav", "yes:yes/b.wav", "no:no/b.WAV"]);
    assert_eq!(set.notes, ["passed over 1 files that are no sounds of a class: _background_noise_/x.wav"]);
}

#[test]
fn folders_without_sounds_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let fault = || load(folder.path(), &LoadOptions::default()).unwrap_err().to_string();
    assert!(fault().ends_with("has no WAV files, neither of its own nor in a folder for each class"), "{}", fault());
    write(&folder.path().join("one.wav"), PCM, &[0; 50]);
    assert!(fault().contains("one.wav: tells no class by its name; wanted LABEL_SPEAKER_NUMBER.wav"), "{}", fault());
    std::fs::rename(folder.path().join("one.wav"), folder.path().join("a_b_7.wav")).unwrap();
    assert!(fault().ends_with("has one class, a; a classifier wants two"), "{}", fault());
}

#[test]
fn spoken_digits_themselves() {
    let Some(data) = std::env::var_os("CANDLEWICK_DATA").map(|data| PathBuf::from(data).join("spoken_digits")) else {
        return eprintln!("skipped: CANDLEWICK_DATA is not set");
    };
    let set = load(&data, &LoadOptions { dev_share: 0.0, ..LoadOptions::default() }).unwrap();
    assert_eq!((set.classes.len(), set.rate, set.parts.train.len(), set.skipped.count()), (10, 8000, 2700, 0));
    let held = load(&data, &LoadOptions::default()).unwrap().parts;
    let number =
        |sound: &SoundFile| sound.path.file_stem().unwrap().to_string_lossy().rsplit('_').next().unwrap().to_owned();
    let dev: std::collections::BTreeSet<String> = held.dev.iter().map(number).collect();
    assert!(
        (100..600).contains(&held.dev.len()) && held.train.iter().all(|sound| !dev.contains(&number(sound))),
        "{dev:?}"
    );
    let seven = set.parts.train.iter().find(|sound| sound.path.ends_with("3_jackson_7.wav")).unwrap();
    let frames = LogMel::default().frames(&seven.read().unwrap()).unwrap();
    assert_eq!((seven.label, frames.len()), (3, 47 * 40));
    for (frame, band, wanted) in [(0, 0, -9.3027), (10, 5, 1.5626), (20, 20, -4.3691), (46, 39, -11.0339)] {
        assert!((frames[40 * frame + band] - wanted).abs() < 2e-3, "{frame} {band}: {}", frames[40 * frame + band]);
    }
}
