//! What an object detector saw in photos: regions with features, computed by others and read from a file.
//!
//! The file is that of Anderson et al. 2018 ("Bottom-up and top-down attention"): a line a photo of six columns between tabs,
//! `image_id`, `image_w`, `image_h`, `num_boxes`, `boxes` and `features`, the last two as base64 of little-endian f32: P × 4
//! corners x₁ y₁ x₂ y₂ in pixels, and P × C features; P may differ from photo to photo. A photo's regions are read and
//! decoded when they are asked for.

use crate::error::{Error, Result, escaped};
use crate::positional::read_exact_at;
use crate::text::utf8;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

/// The regions of many photos.
#[derive(Debug)]
pub struct Regions {
    path: PathBuf,
    file: File,
    /// The photos' lines by their ids.
    lines: HashMap<String, Line>,
    /// C.
    features: usize,
}

/// Where a photo's line is.
#[derive(Clone, Copy, Debug)]
struct Line {
    /// From 1.
    number: usize,
    start: u64,
    length: usize,
}

/// The regions of a photo.
#[derive(Clone, Debug, PartialEq)]
pub struct PhotoRegions {
    /// The features (P, C), region after region.
    pub features: Vec<f32>,
    /// Where each region lies: left, top, right and bottom as shares of the photo's width and height.
    pub boxes: Vec<[f32; 4]>,
}

/// The columns of a line.
struct Columns<'a> {
    id: &'a str,
    size: (f32, f32),
    count: usize,
    boxes: &'a str,
    features: &'a str,
}

impl Regions {
    /// Opens a file and finds its photos.
    ///
    /// # Errors
    /// When it cannot be read, a line has not its columns, two lines are of one photo, or regions have different numbers of
    /// features; the message names file and line.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        let mut reader = BufReader::with_capacity(1 << 20, &file);
        utf8::check(reader.fill_buf().map_err(Error::io(path))?).map_err(|fault| Error::text(path, fault))?;
        let (mut lines, mut features, mut next) = (HashMap::new(), None, 0);
        let mut bytes = Vec::new();
        for number in 1.. {
            bytes.clear();
            let length = reader.read_until(b'\n', &mut bytes).map_err(Error::io(path))?;
            if length == 0 {
                break;
            }
            let line = Line { number, start: next, length };
            next += length as u64;
            if bytes.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let fault = |fault: String| Error::Regions { path: path.to_path_buf(), line: number, fault };
            let columns = columns(&bytes).map_err(fault)?;
            let found = columns.features_each().map_err(fault)?;
            let &mut wanted = features.get_or_insert(found);
            if found != wanted {
                return Err(fault(format!(
                    "regions of {found} features, where those before have {wanted}; num_boxes is wrong, or two files were joined"
                )));
            }
            if lines.insert(columns.id.to_owned(), line).is_some() {
                return Err(fault(format!("photo {} is there twice", escaped(columns.id))));
            }
        }
        let nothing = || Error::Regions { path: path.to_path_buf(), line: 1, fault: "the file has no photos".into() };
        let features = features.ok_or_else(nothing)?;
        Ok(Self { path: path.to_path_buf(), file, lines, features })
    }

    /// C, how many features each region has.
    pub fn features(&self) -> usize {
        self.features
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The id that the file has for a photo: its name, its name without ending, or the number that this is, alone or after
    /// `COCO_val2014_` and its like.
    pub fn id(&self, photo: &Path) -> Option<&str> {
        let (name, stem) = (photo.file_name()?.to_str()?, photo.file_stem()?.to_str()?);
        let last = if stem.starts_with("COCO_") { stem.rsplit('_').next().unwrap_or(stem) } else { stem };
        let number = last.bytes().all(|byte| byte.is_ascii_digit()).then(|| last.trim_start_matches('0'));
        let known = [Some(name), Some(stem), number].into_iter().flatten().find_map(|id| self.lines.get_key_value(id));
        known.map(|(id, _)| id.as_str())
    }

    /// The regions of the photo with this id.
    ///
    /// # Errors
    /// When the file does not have it, or its line does not hold what it says.
    pub fn get(&self, id: &str) -> Result<PhotoRegions> {
        let told = |line: usize, fault: String| Error::Regions { path: self.path.clone(), line, fault };
        let nothing = || told(0, format!("has no regions of photo {}", escaped(id)));
        let Line { number, start, length } = self.lines.get(id).copied().ok_or_else(nothing)?;
        let fault = |fault: String| told(number, fault);
        let changed = || fault("was changed while it was open; begin again".into());
        let mut bytes = vec![0; length];
        read_exact_at(&self.file, &mut bytes, start).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => changed(),
            _ => Error::io(&self.path)(error),
        })?;
        let columns = columns(&bytes).ok().filter(|columns| columns.id == id).ok_or_else(changed)?;
        if columns.features_each() != Ok(self.features) {
            return Err(changed());
        }
        let numbers = |name: &str, text: &str, count: usize| -> Result<Vec<f32>> {
            let bytes = STANDARD.decode(text).map_err(|error| fault(format!("photo {id}: {name}: {error}")))?;
            if bytes.len() != 4 * count {
                let found = bytes.len();
                return Err(fault(format!("photo {id}: {name} has {found} bytes, wanted {}", 4 * count)));
            }
            let numbers: Vec<f32> = bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
            match numbers.iter().find(|number| !number.is_finite()) {
                Some(number) => Err(fault(format!("photo {id}: {name} holds {number}; compute the file anew"))),
                None => Ok(numbers),
            }
        };
        let (p, c) = (columns.count, self.features);
        let (width, height) = columns.size;
        let corners = numbers("boxes", columns.boxes, 4 * p)?;
        let share = |[x1, y1, x2, y2]: [f32; 4]| [x1 / width, y1 / height, x2 / width, y2 / height];
        let boxes = corners.as_chunks().0.iter().map(|&corners| share(corners)).collect();
        Ok(PhotoRegions { features: numbers("features", columns.features, p * c)?, boxes })
    }
}

impl Columns<'_> {
    /// C, or what is wrong with the lengths of the columns.
    fn features_each(&self) -> std::result::Result<usize, String> {
        let (values, corners, count) = (numbers_in(self.features), numbers_in(self.boxes), self.count);
        if count == 0 || values == 0 || !values.is_multiple_of(count) || corners.checked_div(4) != Some(count) {
            return Err(format!(
                "{corners} corners and {values} features do not make {count} regions; the line was cut, or num_boxes is wrong"
            ));
        }
        Ok(values / count)
    }
}

/// How many numbers a text of base64 holds: of n bytes there are 4 ⌈n / 3⌉ letters, of which up to two are padding.
fn numbers_in(text: &str) -> usize {
    text.trim_end_matches('=').len() * 3 / 4 / 4
}

/// The columns of a line, or what is wrong with them.
fn columns(line: &[u8]) -> std::result::Result<Columns<'_>, String> {
    let text = std::str::from_utf8(line).map_err(|_| "is no text".to_owned())?;
    let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\n', '\r']);
    let columns: Vec<&str> = text.split('\t').collect();
    let &[id, width, height, count, boxes, features] = columns.as_slice() else {
        return Err(format!(
            "{} columns, wanted six: image_id, image_w, image_h, num_boxes, boxes, features",
            columns.len()
        ));
    };
    let side = |name: &str, text: &str| match text.parse::<f32>() {
        Ok(side) if side.is_finite() && side > 0.0 => Ok(side),
        _ => Err(format!("{name} is {text}; wanted a number above 0")),
    };
    let size = (side("image_w", width)?, side("image_h", height)?);
    if id.is_empty() {
        return Err("image_id is empty".into());
    }
    let count = count.parse().map_err(|_| format!("num_boxes is {count}; wanted a whole number"))?;
    Ok(Columns { id, size, count, boxes, features })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn code(numbers: &[f32]) -> String {
        STANDARD.encode(numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())
    }

    /// A line of two regions with three features each, which begin at `first`.
    fn line(id: &str, first: f32) -> String {
        let boxes = code(&[0.0, 0.0, 100.0, 25.0, 50.0, 10.0, 200.0, 50.0]);
        let features: Vec<f32> = (0..6).map(|i| first + i as f32).collect();
        format!("{id}\t200\t50\t2\t{boxes}\t{}\n", code(&features))
    }

    fn opened(text: &str) -> Result<Regions> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("regions.tsv");
        std::fs::write(&path, text).unwrap();
        Regions::open(&path)
    }

    #[test]
    fn each_photo_has_its_own_regions_by_any_of_its_names() {
        let regions = opened(&[line("a.jpg", 0.0), line("42", 10.0)].concat()).unwrap();
        assert_eq!(regions.features(), 3);
        let seen = regions.get("a.jpg").unwrap();
        assert_eq!(seen.features, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(seen.boxes, [[0.0, 0.0, 0.5, 0.5], [0.25, 0.2, 1.0, 1.0]]);
        let id = |photo: &str| regions.id(Path::new(photo));
        assert_eq!(id("photos/a.jpg"), Some("a.jpg"));
        assert_eq!(id("COCO_val2014_000000000042.jpg"), Some("42"));
        assert_eq!(id("photos/000042.jpg"), Some("42"));
        // A number at the end of some other name is no id.
        assert_eq!((id("b.jpg"), id("cat42.jpg"), id("dog_42.jpg")), (None, None, None));
        assert_eq!(regions.get("42").unwrap().features[0], 10.0);
    }

    #[test]
    fn photos_may_have_different_numbers_of_regions() {
        let one = format!("b\t10\t10\t1\t{}\t{}\n", code(&[0.0, 0.0, 10.0, 5.0]), code(&[7.0, 8.0, 9.0]));
        let regions = opened(&[line("a", 0.0), one].concat()).unwrap();
        assert_eq!(regions.get("a").unwrap().boxes.len(), 2);
        let seen = regions.get("b").unwrap();
        assert_eq!((seen.boxes, seen.features), (vec![[0.0, 0.0, 1.0, 0.5]], vec![7.0, 8.0, 9.0]));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let good = line("a", 0.0);
        let fault = |text: &str| opened(text).unwrap_err().to_string();
        assert!(fault("").contains("no photos"));
        assert!(fault(&format!("{good}a photo\n")).contains("line 2: 1 columns, wanted six"));
        assert!(fault(&good.replace("\t200\t", "\twide\t")).contains("image_w is wide"));
        assert!(fault(&good.replace("\t2\t", "\t4\t")).contains("do not make 4 regions"));
        assert!(fault(&good.replace("\t2\t", "\t4611686018427387904\t")).contains("do not make"));
        let (_, features) = good.trim_end().rsplit_once('\t').unwrap();
        assert!(fault(&good.replace(features, "")).contains("0 features do not make 2 regions"));
        assert!(fault(&good.replacen('a', "", 1)).contains("image_id is empty"));
        let wide = good.replace("a\t", "b\t").replace(features, &[features, features].concat());
        assert!(
            fault(&[good.clone(), wide].concat()).contains("line 2: regions of 6 features, where those before have 3")
        );
        let endless = code(&[f32::NAN; 6]);
        let regions = opened(&good.replace(features, &endless)).unwrap();
        assert!(regions.get("a").unwrap_err().to_string().contains("features holds NaN"));
        assert!(fault(&[good.clone(), good.clone()].concat()).contains("photo a is there twice"));
        let regions = opened(&good.replace("\t200\t50\t2\t", "\t200\t50\t2\t!")).unwrap();
        assert!(regions.get("a").unwrap_err().to_string().contains("photo a: boxes"));
        assert!(regions.get("b").unwrap_err().to_string().contains("no regions of photo b"));
    }
}
