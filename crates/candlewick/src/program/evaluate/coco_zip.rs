//! What COCO's caption server takes: a zip of `captions_DATASET_NAME_results.json`, a file for each of COCO's sets (Chen et al. 2015).

use super::super::{Failure, whole_file};
use candlewick::data::shown;
use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// Captions of COCO's pictures, to be handed in under a name.
pub struct Submission {
    name: String,
    pictures: Vec<CocoName>,
}

/// What COCO calls a picture.
struct CocoName {
    /// Such as `val2014`.
    dataset: String,
    id: u64,
}

/// An entry of a results file.
#[derive(serde::Serialize)]
struct Entry<'a> {
    image_id: u64,
    caption: &'a str,
}

/// Refuses a name that would be none of a part of a file's name.
///
/// # Errors
/// A wrong call.
pub fn check_name(name: &str) -> Result<(), Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match !name.is_empty() && !name.starts_with('.') && name.chars().all(plain) {
        true => Ok(()),
        false => Err(Failure::usage(format!(
            "--coco-zip {}: wants a name of letters, digits, hyphens, points and low lines",
            candlewick::data::escaped(name)
        ))),
    }
}

impl Submission {
    /// What COCO calls the pictures in these files.
    ///
    /// # Errors
    /// Where some have no name of COCO's, with the first of them.
    pub fn new(name: &str, paths: &[PathBuf]) -> Result<Self, Failure> {
        check_name(name)?;
        let (mut pictures, mut others) = (Vec::with_capacity(paths.len()), Vec::new());
        for path in paths {
            match CocoName::of(path) {
                Some(found) => pictures.push(found),
                None => others.push(shown(path.file_name().map_or(path, Path::new))),
            }
        }
        if others.is_empty() {
            return Ok(Self { name: name.to_owned(), pictures });
        }
        let first: Vec<&str> = others.iter().take(5).map(String::as_str).collect();
        let more = if others.len() > first.len() { ", …" } else { "" };
        Err(Failure::Work(format!(
            "--coco-zip: {} pictures have no COCO id in their names ({}{more}); COCO's are called COCO_val2014_000000391895.jpg or val2017/000000391895.jpg",
            others.len(),
            first.join(", ")
        )))
    }

    /// Writes the zip into a folder; other sets' files that a zip of this name there holds stay in it.
    ///
    /// # Errors
    /// When it cannot be written, or what lies there is no zip.
    pub fn write(&self, folder: &Path, captions: &[&str]) -> Result<PathBuf, Failure> {
        let path = folder.join(format!("{}.zip", self.name));
        let of_path = |error: std::io::Error| Failure::from(error).of(&path);
        let mut files: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
        for (CocoName { dataset, id }, caption) in self.pictures.iter().zip(captions) {
            let file = format!("captions_{dataset}_{}_results.json", self.name);
            files.entry(file).or_default().push(Entry { image_id: *id, caption });
        }
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        if path.is_file() {
            let no_zip = |error| Failure::Work(format!("{}: is no zip to add to ({error}); remove it", shown(&path)));
            let mut there = ZipArchive::new(Cursor::new(std::fs::read(&path).map_err(of_path)?)).map_err(no_zip)?;
            for index in 0..there.len() {
                let file = there.by_index_raw(index).map_err(no_zip)?;
                if !files.contains_key(&*file.name().map_err(no_zip)?) {
                    zip.raw_copy_file(file).map_err(no_zip)?;
                }
            }
        }
        for (name, entries) in files {
            zip.start_file(name, SimpleFileOptions::default().compression_method(CompressionMethod::Stored))?;
            zip.write_all(&serde_json::to_vec(&entries)?)?;
        }
        let bytes = zip.finish()?.into_inner();
        whole_file::write(&path, &bytes)?;
        Ok(path)
    }
}

impl CocoName {
    /// `COCO_val2014_000000391895.jpg`, or `000000391895.jpg` in a folder that is called `val2017`.
    fn of(path: &Path) -> Option<Self> {
        let stem = path.file_stem()?.to_str()?;
        let (dataset, digits) = match stem.strip_prefix("COCO_") {
            Some(rest) => rest.split_once('_')?,
            None => (path.parent()?.file_name()?.to_str()?, stem),
        };
        let known = ["train", "val", "test"].iter().find_map(|split| dataset.strip_prefix(split))?;
        let year = known.len() == 4 && known.bytes().all(|byte| byte.is_ascii_digit());
        let id = digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_digit());
        (year && id).then_some(())?;
        Some(Self { dataset: dataset.to_owned(), id: digits.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Read as _;

    fn files(path: &Path) -> Vec<(String, String)> {
        let mut zip = ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
        let count = zip.len();
        let mut file = |index| {
            let mut file = zip.by_index(index).unwrap();
            let (name, mut text) = (file.name().unwrap().into_owned(), String::new());
            file.read_to_string(&mut text).unwrap();
            (name, text)
        };
        let mut all: Vec<_> = (0..count).map(&mut file).collect();
        all.sort();
        all
    }

    #[test]
    fn each_set_has_a_file_and_a_second_run_adds_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let submit = |paths: &[&str], captions: &[&str]| {
            let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
            Submission::new("my-net_2.1", &paths).ok().unwrap().write(folder.path(), captions).ok().unwrap()
        };
        let both =
            ["a/COCO_val2014_000000391895.jpg", "coco/test2017/000000000042.png", "COCO_val2014_000000000007.jpg"];
        let zip = submit(&both, &["a \"dog\"", "a cat", "ein Häuschen"]);
        assert_eq!(zip, folder.path().join("my-net_2.1.zip"));
        let val = r#"[{"image_id":391895,"caption":"a \"dog\""},{"image_id":7,"caption":"ein Häuschen"}]"#;
        let named = |set: &str| format!("captions_{set}_my-net_2.1_results.json");
        let test = |caption: &str| format!(r#"[{{"image_id":42,"caption":"{caption}"}}]"#);
        assert_eq!(files(&zip), [(named("test2017"), test("a cat")), (named("val2014"), val.to_owned())]);
        submit(&["test2017/000000000042.png"], &["a tiger"]);
        assert_eq!(files(&zip), [(named("test2017"), test("a tiger")), (named("val2014"), val.to_owned())]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_has_no_name_of_cocos_is_refused() {
        let fault = |name: &str, paths: &[&str]| {
            let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
            match Submission::new(name, &paths).err().unwrap() {
                Failure::Usage(fault) | Failure::Work(fault) => fault,
                _ => String::new(),
            }
        };
        let paths = ["val2014/COCO_val2014_000000391895.jpg", "x/1000268201_693b08cb0e.jpg", "images/000000391895.jpg"];
        let wanted = "--coco-zip: 2 pictures have no COCO id in their names (1000268201_693b08cb0e.jpg, 000000391895.jpg); COCO's";
        assert!(fault("net", &paths).starts_with(wanted), "{}", fault("net", &paths));
        for name in ["VizWiz_val_00000000.jpg", "COCO_2014_000000391895.jpg", "COCO_val2014_391895.jpg"] {
            assert!(fault("net", &[name]).contains(name));
        }
        for name in ["", "a/b", "..", "a b", "ä"] {
            assert!(fault(name, &[]).contains("wants a name of letters"), "{name}");
        }
    }
}
