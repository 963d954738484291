//! The feature cache: what goes in comes out, and a kill, a second process or a full disk harms nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use candle_core::Device;
use candlewick_data::features::{FeatureCache, Key, PhotoHash};
use candlewick_testing::flat;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Command;

const SHAPE: (usize, usize) = (4, 300);

fn key(weights: &str) -> Key {
    Key { weights: weights.into(), preprocessing: "{\"size\":256}".into(), layer: "layer4".into() }
}

fn open(folder: &Path) -> FeatureCache {
    FeatureCache::open(folder, &key("w"), SHAPE).unwrap()
}

fn photo(number: u32) -> PhotoHash {
    PhotoHash::of(&number.to_le_bytes())
}

/// Numbers that f16 holds exactly, different for each photo and place.
fn annotations(number: u32) -> Vec<f32> {
    (0..SHAPE.0 * SHAPE.1).map(|at| ((number as usize * 31 + at * 7) % 2048) as f32 / 64.0 - 8.0).collect()
}

fn file(folder: &Path, extension: &str) -> PathBuf {
    let of = |path: &PathBuf| path.extension().is_some_and(|found| found == extension);
    let mut files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| of(path) && !path.ends_with("photos.index")).unwrap()
}

#[test]
fn what_goes_in_comes_out_in_any_order_and_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let mut cache = open(folder.path());
    assert!(cache.is_empty());
    for number in 0..20 {
        cache.insert(photo(number), &annotations(number)).unwrap();
        assert_eq!(cache.get(&photo(number / 2)).unwrap(), annotations(number / 2));
    }
    cache.insert(photo(3), &annotations(9)).unwrap();
    cache.sync().unwrap();
    drop(cache);
    let cache = open(folder.path());
    assert_eq!((cache.len(), cache.shape()), (20, SHAPE));
    let photos = [photo(7), photo(3), photo(7)];
    let batch = cache.batch(&photos, &Device::Cpu).unwrap();
    assert_eq!(batch.dims(), [3, 4, 300]);
    let wanted = [annotations(7), annotations(3), annotations(7)].concat();
    assert_eq!(flat(&batch), wanted);
    assert!(!cache.contains(&photo(99)));
    assert!(cache.get(&photo(99)).unwrap_err().to_string().ends_with("is not in it"));
    assert!(cache.batch(&[photo(1), photo(99)], &Device::Cpu).is_err());
    assert!(cache.read_into(&photo(1), &mut [0.0; 3]).is_err());
}

#[test]
fn numbers_are_rounded_to_f16_and_must_fit() {
    let folder = tempfile::tempdir().unwrap();
    let mut cache = FeatureCache::open(folder.path(), &key("w"), (1, 3)).unwrap();
    cache.insert(photo(0), &[0.1, -1e-9, 65504.0]).unwrap();
    assert_eq!(cache.get(&photo(0)).unwrap(), [0.099_975_586, -0.0, 65504.0]);
    for bad in [70_000.0, f32::NAN, f32::INFINITY] {
        let message = cache.insert(photo(1), &[0.0, bad, 0.0]).unwrap_err().to_string();
        assert!(message.contains("at 1 does not fit f16"), "{message}");
    }
    assert!(cache.insert(photo(1), &[0.0; 4]).unwrap_err().to_string().contains("has 4 numbers, wanted P·C = 3"));
    assert_eq!(cache.len(), 1);
}

#[test]
fn another_encoder_layer_preprocessing_or_shape_has_files_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = open(folder.path());
    first.insert(photo(0), &annotations(0)).unwrap();
    let others = [
        (key("v"), SHAPE),
        (Key { layer: "layer3".into(), ..key("w") }, SHAPE),
        (Key { preprocessing: "{\"size\":224}".into(), ..key("w") }, SHAPE),
        (key("w"), (SHAPE.1, SHAPE.0)),
    ];
    for (key, shape) in others {
        assert!(!FeatureCache::open(folder.path(), &key, shape).unwrap().contains(&photo(0)));
    }
    // Files that were renamed by hand to those of another key are refused.
    drop(first);
    let (index, renamed) = (file(folder.path(), "index"), folder.path().join("saved"));
    std::fs::rename(&index, &renamed).unwrap();
    drop(open(folder.path()));
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|found| found == "index") {
            std::fs::copy(&renamed, path).unwrap();
        }
    }
    assert!(FeatureCache::open(folder.path(), &key("v"), SHAPE).unwrap_err().to_string().contains("remove it"));
}

#[test]
fn a_torn_tail_of_any_length_never_gives_a_wrong_entry() {
    let folder = tempfile::tempdir().unwrap();
    let mut cache = open(folder.path());
    for number in 0..4 {
        cache.insert(photo(number), &annotations(number)).unwrap();
    }
    drop(cache);
    let (data, index) = (file(folder.path(), "f16"), file(folder.path(), "index"));
    let (all_data, all_index) = (std::fs::read(&data).unwrap(), std::fs::read(&index).unwrap());
    for cut in (0..all_index.len()).step_by(7).chain([all_index.len() - 1]) {
        std::fs::write(&index, &all_index[..cut]).unwrap();
        std::fs::write(&data, &all_data).unwrap();
        check_prefix_and_append(folder.path());
    }
    for cut in (0..all_data.len()).step_by(997) {
        std::fs::write(&index, &all_index).unwrap();
        std::fs::write(&data, &all_data[..cut]).unwrap();
        assert_eq!(open(folder.path()).len(), cut / (2 * SHAPE.0 * SHAPE.1));
        check_prefix_and_append(folder.path());
    }
}

/// The first photos are there and right, and the rest can be inserted again.
fn check_prefix_and_append(folder: &Path) {
    let mut cache = open(folder);
    let kept = cache.len() as u32;
    for number in 0..4 {
        assert_eq!(cache.contains(&photo(number)), number < kept);
        cache.insert(photo(number), &annotations(number)).unwrap();
    }
    drop(cache);
    let cache = open(folder);
    (0..4).for_each(|number| assert_eq!(cache.get(&photo(number)).unwrap(), annotations(number)));
}

#[test]
fn damage_on_disk_is_an_error_and_not_a_wrong_number() {
    let folder = tempfile::tempdir().unwrap();
    let mut cache = open(folder.path());
    (0..3).for_each(|number| cache.insert(photo(number), &annotations(number)).unwrap());
    drop(cache);
    let data = file(folder.path(), "f16");
    let mut bytes = std::fs::read(&data).unwrap();
    bytes[2 * SHAPE.0 * SHAPE.1 + 10] ^= 1;
    std::fs::write(&data, bytes).unwrap();
    let cache = open(folder.path());
    assert!(cache.get(&photo(1)).unwrap_err().to_string().contains("damaged on disk; remove the file"));
    assert_eq!(cache.get(&photo(2)).unwrap(), annotations(2));
}

#[test]
fn one_writer_at_a_time_and_readers_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    assert!(FeatureCache::open_read_only(folder.path(), &key("w"), SHAPE).is_err());
    let mut cache = open(folder.path());
    let message = FeatureCache::open(folder.path(), &key("w"), SHAPE).unwrap_err().to_string();
    assert!(message.contains("is in use by") && message.contains("another folder"), "{message}");
    cache.insert(photo(0), &annotations(0)).unwrap();
    cache.sync().unwrap();
    cache.insert(photo(1), &annotations(1)).unwrap();
    let mut reader = FeatureCache::open_read_only(folder.path(), &key("w"), SHAPE).unwrap();
    assert_eq!(reader.get(&photo(0)).unwrap(), annotations(0));
    assert!(!reader.contains(&photo(1)), "what is not synced is not promised");
    assert!(reader.insert(photo(2), &annotations(2)).unwrap_err().to_string().contains("reading only"));
    drop(cache);
    assert_eq!(open(folder.path()).len(), 2);
}

/// Not a test of its own: the process that the next two tests start, limit and kill.
#[test]
fn child() {
    let Some(folder) = std::env::var_os("CANDLEWICK_TEST_CACHE") else { return };
    let mut cache = open(Path::new(&folder));
    for number in cache.len() as u32..100_000 {
        if let Err(error) = cache
            .insert(photo(number), &annotations(number))
            .and_then(|()| if number % 3 == 2 { cache.sync() } else { Ok(()) })
        {
            println!("FULL {error}");
            // What was there is still there, and the cache can still be read.
            (0..cache.len() as u32)
                .for_each(|number| assert_eq!(cache.get(&photo(number)).unwrap(), annotations(number)));
            assert!(cache.len() as u32 <= number && cache.len() as u32 + 3 >= number);
            return;
        }
    }
}

#[cfg(unix)]
fn start(folder: &Path, shell: &str) -> std::process::Child {
    let program = std::env::current_exe().unwrap();
    let command = format!("{shell} exec '{}' --exact child --nocapture", program.display());
    let mut child = Command::new("sh");
    child.args(["-c", &command]).env("CANDLEWICK_TEST_CACHE", folder).stdout(std::process::Stdio::piped());
    child.stderr(std::process::Stdio::null()).spawn().unwrap()
}

#[cfg(unix)]
#[test]
fn a_kill_at_any_moment_leaves_a_good_cache() {
    let folder = tempfile::tempdir().unwrap();
    let mut before = 0;
    for round in 0..6u64 {
        let mut child = start(folder.path(), "");
        std::thread::sleep(std::time::Duration::from_millis(60 + 17 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let cache = open(folder.path());
        assert!(cache.len() >= before, "{} after {before}", cache.len());
        before = cache.len();
        (0..before as u32).for_each(|number| assert_eq!(cache.get(&photo(number)).unwrap(), annotations(number)));
    }
    assert!(before > 0, "the child never got to write");
}

#[cfg(unix)]
#[test]
fn a_full_disk_gives_one_line_and_leaves_the_cache_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    // A limit on the size of files stands for the full disk; its signal (25 is SIGXFSZ here) is ignored.
    let child = start(folder.path(), "trap '' 25; ulimit -f 100;");
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    let line = said.lines().find(|line| line.contains("FULL")).expect("the limit was never met");
    assert!(line.contains("cannot write (") && line.contains("make room on the disk"), "{line}");
    let cache = open(folder.path());
    assert!(cache.len() >= 9, "{}", cache.len());
    (0..cache.len() as u32).for_each(|number| assert_eq!(cache.get(&photo(number)).unwrap(), annotations(number)));
    assert!(OpenOptions::new().append(true).open(file(folder.path(), "f16")).is_ok());
}

#[test]
fn readers_go_on_where_another_finds_the_index_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let mut cache = open(folder.path());
    (0..5).for_each(|number| cache.insert(photo(number), &annotations(number)).unwrap());
    drop(cache);
    let reader = FeatureCache::open_read_only(folder.path(), &key("w"), SHAPE).unwrap();
    let index = file(folder.path(), "index");
    let mut text = std::fs::read(&index).unwrap();
    let third = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(2).unwrap().0;
    text[third + 20] ^= 1;
    std::fs::write(&index, &text).unwrap();
    let mut other = open(folder.path());
    assert_eq!(other.len(), 2);
    (2..5).rev().for_each(|number| other.insert(photo(number), &annotations(number)).unwrap());
    other.sync().unwrap();
    // The reader has the old file, whose rows are as they were.
    (0..5).for_each(|number| {
        assert_eq!(reader.get(&photo(number)).unwrap(), annotations(number));
        assert_eq!(other.get(&photo(number)).unwrap(), annotations(number));
    });
    drop(other);
    assert_eq!(open(folder.path()).len(), 5);
    // An index that lost its header is begun anew in the same way.
    text[3] ^= 1;
    std::fs::write(&index, &text).unwrap();
    let reader = FeatureCache::open_read_only(folder.path(), &key("w"), SHAPE).unwrap();
    assert!(reader.is_empty() && open(folder.path()).is_empty());
}

#[test]
fn a_file_that_somebody_cuts_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut cache = open(folder.path());
    (0..3).for_each(|number| cache.insert(photo(number), &annotations(number)).unwrap());
    cache.sync().unwrap();
    let reader = FeatureCache::open_read_only(folder.path(), &key("w"), SHAPE).unwrap();
    assert_eq!(reader.get(&photo(2)).unwrap(), annotations(2));
    let data = OpenOptions::new().write(true).open(file(folder.path(), "f16")).unwrap();
    data.set_len(2 * (SHAPE.0 * SHAPE.1) as u64 + 10).unwrap();
    for cache in [&reader, &cache] {
        assert_eq!(cache.get(&photo(0)).unwrap(), annotations(0));
        let message = cache.get(&photo(2)).unwrap_err().to_string();
        assert!(message.contains("was cut short by somebody; remove it") && !message.contains('\n'), "{message}");
    }
}

#[test]
fn a_second_writer_may_wait() {
    let folder = tempfile::tempdir().unwrap();
    let mut cache = open(folder.path());
    let path = folder.path().to_path_buf();
    let (told, heard) = std::sync::mpsc::channel();
    let second = std::thread::spawn(move || {
        let mut waiting = |line: String| told.send(line).unwrap();
        FeatureCache::open_when_free(&path, &key("w"), SHAPE, Some(&mut waiting)).unwrap().len()
    });
    let line = heard.recv().unwrap();
    assert!(
        line.contains(&format!("is in use by process {}; waiting until it has ended", std::process::id())),
        "{line}"
    );
    cache.insert(photo(0), &annotations(0)).unwrap();
    drop(cache);
    assert_eq!(second.join().unwrap(), 1);
}
