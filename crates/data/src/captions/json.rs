//! The JSON formats: Karpathy's, COCO's, VizWiz's, which is COCO's with captions that are not to be used, and the simple list.

use super::gathered::Gathered;
use super::paths::name_of;
use super::photo_folders::PhotoFolders;
use super::set::{CaptionedImage, ImageId, LoadOptions};
use crate::error::{Error, Result};
use crate::split::Split;
use crate::text::utf8;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Karpathy's and COCO's documents share their frame; the fields of their images tell them apart.
#[derive(Deserialize)]
struct Document {
    images: Option<Vec<Image>>,
    annotations: Option<Vec<Annotation>>,
}

#[derive(Deserialize)]
struct Image {
    id: Option<Value>,
    file_name: Option<String>,
    cocoid: Option<Value>,
    filename: Option<String>,
    filepath: Option<String>,
    split: Option<String>,
    sentences: Option<Vec<Sentence>>,
}

#[derive(Deserialize)]
struct Sentence {
    raw: Option<String>,
    tokens: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: Option<Value>,
    caption: Option<String>,
    /// VizWiz: the caption says that nothing could be seen, or is spam (Gurari et al. 2020).
    #[serde(default)]
    is_rejected: bool,
    /// VizWiz: the caption is the form's own sentence for pictures of too low a quality.
    #[serde(default)]
    is_precanned: bool,
}

#[derive(Deserialize)]
struct Entry {
    file_path: String,
    captions: Vec<String>,
    split: Option<String>,
}

/// Reads the JSON file `file`, whichever of them it is.
///
/// A file of pictures without captions is a fault, but where it is one of `several` (a test part is published so).
pub(super) fn read(
    file: &Path,
    text: &[u8],
    several: bool,
    options: &LoadOptions,
    gathered: &mut Gathered,
) -> Result<()> {
    let mut reader = Reader { file, options, folders: PhotoFolders::new(file, options), gathered };
    if text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        return reader.list(parse(file, text)?);
    }
    let document: Document = parse(file, text)?;
    let Some(images) = document.images else {
        return Err(Error::captions(file, "has no \"images\": it is neither Karpathy's nor COCO's format"));
    };
    match document.annotations {
        Some(annotations) => reader.coco(images, annotations),
        None if images.iter().all(|image| image.sentences.is_none()) && !options.need_captions => reader.untold(images),
        None if images.iter().all(|image| image.sentences.is_none()) && several => {
            let note = format!("left out {} pictures of {}, which has no captions", images.len(), name_of(file));
            reader.gathered.notes.push(note);
            Ok(())
        }
        None if images.iter().all(|image| image.sentences.is_none()) => {
            Err(Error::captions(file, "has images but no captions (\"annotations\" or \"sentences\")"))
        }
        None => reader.karpathy(images),
    }
}

fn parse<T: DeserializeOwned>(file: &Path, text: &[u8]) -> Result<T> {
    let text = std::str::from_utf8(text).map_err(|_| utf8::not_utf8(file, text))?;
    serde_json::from_str(text).map_err(|error| {
        let what = error.to_string();
        let what = what.split(" at line ").next().unwrap_or_default();
        Error::captions(file, format!("wrong JSON in line {}, column {}: {what}", error.line(), error.column()))
    })
}

/// The captions that a set has and says are not to be used.
#[derive(Default)]
struct Unused {
    rejected: usize,
    precanned: usize,
    of: HashSet<ImageId>,
    /// The pictures that have no other captions.
    without_others: usize,
}

impl Unused {
    fn add(&mut self, id: ImageId, rejected: bool) {
        *if rejected { &mut self.rejected } else { &mut self.precanned } += 1;
        self.of.insert(id);
    }

    fn note(&self, file: &str) -> Option<String> {
        let Self { rejected, precanned, without_others, .. } = self;
        let count = rejected + precanned;
        let and = format!(", and with them {without_others} pictures that have no others");
        let and = if *without_others > 0 { and.as_str() } else { "" };
        (count > 0)
            .then(|| format!("left out {count} captions of {file}: {rejected} rejected, {precanned} precanned{and}"))
    }
}

/// Reads the entries of one file.
struct Reader<'a> {
    file: &'a Path,
    options: &'a LoadOptions,
    folders: PhotoFolders,
    gathered: &'a mut Gathered,
}

impl Reader<'_> {
    fn karpathy(&mut self, images: Vec<Image>) -> Result<()> {
        for (index, image) in images.into_iter().enumerate() {
            let name = image.filename.ok_or_else(|| self.lacks("images", index, "filename"))?;
            let split = self
                .split_of("images", index, image.split.as_deref())?
                .or(self.options.split)
                .ok_or_else(|| self.lacks("images", index, "split"))?;
            let within = image.filepath.map(|folder| format!("{folder}/{name}"));
            let names: Vec<&str> = within.as_deref().into_iter().chain([name.as_str()]).collect();
            let path = self.folders.find(&names, self.gathered);
            let captions = image.sentences.unwrap_or_default().into_iter().map(|sentence| {
                sentence.raw.or_else(|| sentence.tokens.map(|tokens| tokens.join(" "))).unwrap_or_default()
            });
            let id = match &image.cocoid {
                Some(id) => self.image_id("images", index, id)?,
                None => ImageId::Text(name),
            };
            self.gathered.add(id, path, split, captions.collect());
        }
        Ok(())
    }

    fn coco(&mut self, images: Vec<Image>, annotations: Vec<Annotation>) -> Result<()> {
        let split = self.coco_split()?;
        let mut captions: HashMap<ImageId, Vec<String>> = HashMap::new();
        let mut unused = Unused::default();
        for (index, annotation) in annotations.into_iter().enumerate() {
            let id = annotation.image_id.ok_or_else(|| self.lacks("annotations", index, "image_id"))?;
            let id = self.image_id("annotations", index, &id)?;
            if annotation.is_rejected || annotation.is_precanned {
                unused.add(id, annotation.is_rejected);
                continue;
            }
            let caption = annotation.caption.ok_or_else(|| self.lacks("annotations", index, "caption"))?;
            captions.entry(id).or_default().push(caption);
        }
        let mut seen = HashSet::new();
        for (index, image) in images.into_iter().enumerate() {
            let id = image.id.ok_or_else(|| self.lacks("images", index, "id"))?;
            let id = self.image_id("images", index, &id)?;
            if !seen.insert(id.clone()) {
                let fault = format!("images[{index}] has the id {} of another image; each may come once", id.as_json());
                return Err(Error::captions(self.file, fault));
            }
            let name = image.file_name.ok_or_else(|| self.lacks("images", index, "file_name"))?;
            let captions = captions.remove(&id).unwrap_or_default();
            if captions.is_empty() && unused.of.contains(&id) {
                unused.without_others += 1;
                continue;
            }
            let path = self.folders.find(&[&name], self.gathered);
            self.gathered.add(id, path, split, captions);
        }
        self.gathered.notes.extend(unused.note(name_of(self.file)));
        // The least of them, so that the message does not depend on the map's order.
        match captions.keys().min() {
            None => Ok(()),
            Some(id) => {
                let fault = format!("has captions of image {}, which is not among its images", id.as_json());
                Err(Error::captions(self.file, fault))
            }
        }
    }

    /// Pictures that nobody has told of.
    fn untold(&mut self, images: Vec<Image>) -> Result<()> {
        let split = self.coco_split()?;
        for (index, image) in images.into_iter().enumerate() {
            let id = image.id.ok_or_else(|| self.lacks("images", index, "id"))?;
            let id = self.image_id("images", index, &id)?;
            let name = image.file_name.ok_or_else(|| self.lacks("images", index, "file_name"))?;
            let path = self.folders.find(&[&name], self.gathered);
            self.gathered.images.push(CaptionedImage { id, path, split, captions: Vec::new() });
        }
        Ok(())
    }

    /// The one split of a COCO file, which its name tells where the caller does not.
    fn coco_split(&self) -> Result<Split> {
        let name = name_of(self.file);
        let told = [("train", Split::Train), ("val", Split::Dev), ("test", Split::Test)];
        let told = told.iter().find(|(part, _)| name.contains(part)).map(|&(_, split)| split);
        self.options.split.or(told).ok_or_else(|| {
            Error::captions(self.file, "its name has neither train, val nor test in it; say which split it is")
        })
    }

    fn list(&mut self, entries: Vec<Entry>) -> Result<()> {
        for (index, entry) in entries.into_iter().enumerate() {
            let split = self.split_of("entries", index, entry.split.as_deref())?;
            let split = split.unwrap_or_else(|| self.options.split_of(&entry.file_path));
            let path = self.folders.find(&[&entry.file_path], self.gathered);
            self.gathered.add(ImageId::Text(entry.file_path), path, split, entry.captions);
        }
        Ok(())
    }

    fn split_of(&self, list: &str, index: usize, name: Option<&str>) -> Result<Option<Split>> {
        let Some(name) = name else { return Ok(None) };
        Split::parse(name).map(Some).ok_or_else(|| {
            let wanted = "wanted train, restval, val, dev or test";
            Error::captions(self.file, format!("{list}[{index}] has the split {name:?}; {wanted}"))
        })
    }

    /// The id as the data has it: a text of digits is not the number.
    fn image_id(&self, list: &str, index: usize, id: &Value) -> Result<ImageId> {
        let whole = |number: f64| (number.fract() == 0.0 && number.abs() < 2f64.powi(53)).then_some(number as i64);
        let found = match id {
            Value::String(text) => Some(ImageId::Text(text.clone())),
            Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)).map(ImageId::Number),
            _ => None,
        };
        found.ok_or_else(|| {
            Error::captions(self.file, format!("{list}[{index}] has the id {id}; wanted a whole number or a text"))
        })
    }

    fn lacks(&self, list: &str, index: usize, field: &str) -> Error {
        Error::captions(self.file, format!("{list}[{index}] has no {field:?}"))
    }
}
