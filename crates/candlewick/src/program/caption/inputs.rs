//! Which pictures are captioned: files, folders, lists, and standard input.

use super::super::Failure;
use super::super::output::{note, shown};
use candlewick::data::picture::{self, ENDINGS, Limits};
use candlewick::data::text::read_utf8;
use image::RgbImage;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The word that stands for standard input.
const STANDARD_INPUT: &str = "-";

/// Endings of files that stand beside pictures and tell of them.
const BESIDE: [&str; 6] = ["txt", "json", "jsonl", "csv", "xmp", "md"];

/// A picture that is to be captioned.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its file, or `-`.
    pub path: PathBuf,
    /// Its bytes, where it came by standard input.
    bytes: Option<Arc<[u8]>>,
}

impl Input {
    /// The picture in a file.
    pub fn file(path: PathBuf) -> Self {
        Self { path, bytes: None }
    }

    fn standard_input() -> Result<Self, Failure> {
        let mut bytes = Vec::new();
        let limit = Limits::default().max_bytes;
        io::stdin().lock().take(limit + 1).read_to_end(&mut bytes)?;
        Ok(Self { path: STANDARD_INPUT.into(), bytes: Some(bytes.into()) })
    }

    /// Whether it came by standard input, so that nothing can be put beside it.
    pub fn is_standard_input(&self) -> bool {
        self.bytes.is_some()
    }

    /// The picture itself.
    ///
    /// # Errors
    /// As [`picture::decode`] says.
    pub fn decode(&self) -> Result<RgbImage, Failure> {
        self.reduced(Ok)
    }

    /// What `reduce` keeps of the picture.
    ///
    /// # Errors
    /// As [`picture::reduced`] and `reduce` say.
    pub fn reduced<R>(&self, reduce: impl FnOnce(RgbImage) -> Result<R, Failure>) -> Result<R, Failure> {
        match &self.bytes {
            Some(bytes) => reduce(picture::decode_bytes("standard input", bytes, &Limits::default())?),
            None => picture::reduced(&self.path, &Limits::default(), reduce),
        }
    }
}

/// The pictures that the command line names: files as they are, of folders all pictures in the order of their names, of a list the files
/// and folders in it.
///
/// # Errors
/// When a folder or a list cannot be read, a folder has no picture, or standard input is named twice.
pub fn gather(named: &[PathBuf], list: Option<&Path>, recursive: bool) -> Result<Vec<Input>, Failure> {
    let listed = list.map(read_list).transpose()?.unwrap_or_default();
    let standard = |path: &Path| path.as_os_str() == STANDARD_INPUT;
    let times = named.iter().filter(|path| standard(path)).count() + usize::from(list.is_some_and(standard));
    if times > 1 {
        return Err(Failure::usage("-: standard input can be read once; name it once"));
    }
    let mut inputs = Vec::new();
    for path in named.iter().chain(&listed) {
        if standard(path) {
            inputs.push(Input::standard_input()?);
        } else if path.is_dir() {
            inputs.extend(in_folder(path, recursive)?.into_iter().map(Input::file));
        } else {
            inputs.push(Input::file(path.clone()));
        }
    }
    Ok(inputs)
}

/// A list's lines, a path each; empty ones are none.
fn read_list(file: &Path) -> Result<Vec<PathBuf>, Failure> {
    let text = match file.as_os_str() == STANDARD_INPUT {
        true => io::read_to_string(io::stdin().lock()).map_err(|error| Failure::from(error).of(file))?,
        false => read_utf8(file)?,
    };
    let paths: Vec<PathBuf> = text.lines().filter(|line| !line.trim().is_empty()).map(PathBuf::from).collect();
    match paths.is_empty() {
        true => Err(Failure::Work(format!("{}: lists no picture; write one path a line", shown(file)))),
        false => Ok(paths),
    }
}

/// What a folder holds.
#[derive(Default)]
pub struct Folder {
    /// Its pictures, by the endings of their names, in order.
    pub pictures: Vec<PathBuf>,
    /// How many files have which other ending.
    others: BTreeMap<String, usize>,
    /// Whether there are folders in it that were not looked into.
    deeper: bool,
}

impl Folder {
    /// Looks through a folder; what is hidden, or a link to another folder, is left alone.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(folder: &Path, recursive: bool) -> Result<Self, Failure> {
        let mut found = Self::default();
        found.add(folder, recursive).map_err(|error| Failure::from(error).of(folder))?;
        Ok(found)
    }

    fn add(&mut self, folder: &Path, recursive: bool) -> io::Result<()> {
        let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            if entry.file_type()?.is_dir() {
                match recursive {
                    true => self.add(&path, recursive)?,
                    false => self.deeper = true,
                }
            } else if path.is_file() {
                let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase();
                if ENDINGS.contains(&ending.as_str()) {
                    self.pictures.push(path);
                } else if !BESIDE.contains(&ending.as_str()) {
                    *self.others.entry(ending).or_default() += 1;
                }
            }
        }
        Ok(())
    }
}

/// The pictures of a folder; what is left out is said.
fn in_folder(folder: &Path, recursive: bool) -> Result<Vec<PathBuf>, Failure> {
    let Folder { pictures, others, deeper } = Folder::read(folder, recursive)?;
    if pictures.is_empty() {
        let advice = if deeper { "has folders in it; --recursive looks into them" } else { "name another folder" };
        return Err(Failure::Work(format!("{}: no picture is in this folder ({advice})", shown(folder))));
    }
    if deeper {
        note!("{}: the folders in it are left out; --recursive looks into them", shown(folder));
    }
    if !others.is_empty() {
        let ending = |(ending, count): (&String, &usize)| match ending.as_str() {
            "" => format!("{count} without an ending"),
            ending => format!("{count} .{ending}"),
        };
        let list = others.iter().map(ending).collect::<Vec<_>>().join(", ");
        note!("{}: files that are no pictures by their endings are left out: {list}", shown(folder));
    }
    Ok(pictures)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_folder_is_its_pictures_in_order_and_deeper_ones_where_they_are_wanted() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("deep/.git")).unwrap();
        for name in ["b.JPG", "a.png", "c.txt", ".hidden.png", "d.doc", "deep/e.webp", "deep/.git/f.png"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let names = |recursive| {
            let found = Folder::read(folder.path(), recursive).unwrap();
            let name = |path: PathBuf| path.strip_prefix(folder.path()).unwrap().display().to_string();
            (found.pictures.into_iter().map(name).collect::<Vec<_>>(), found.others, found.deeper)
        };
        let others = BTreeMap::from([("doc".to_owned(), 1)]);
        assert_eq!(names(false), (vec!["a.png".into(), "b.JPG".into()], others.clone(), true));
        assert_eq!(names(true), (vec!["a.png".into(), "b.JPG".into(), "deep/e.webp".into()], others, false));
    }

    #[test]
    fn a_list_has_a_path_on_each_line() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("list");
        fs::write(&list, "a.png\r\n\nb c.png\n").unwrap();
        let found = gather(&[], Some(&list), false).unwrap();
        let paths: Vec<&Path> = found.iter().map(|input| input.path.as_path()).collect();
        assert_eq!(paths, [Path::new("a.png"), Path::new("b c.png")]);
        fs::write(&list, "\n").unwrap();
        assert!(gather(&[], Some(&list), false).is_err());
    }
}
