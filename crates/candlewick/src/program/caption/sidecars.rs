//! Captions beside their pictures, in the forms that makers of image sets, galleries and photo programs read.

use super::super::{Failure, whole_file};
use super::inputs::Input;
use super::results::json;
use super::table::{TABLE, Table};
use super::xmp;
use candlewick::captioning::Caption;
use candlewick::data::text::read_utf8;
use clap::ValueEnum;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How captions are written beside pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// photo.txt beside photo.jpg: a caption a line, as trainers of image models read it.
    Txt,
    /// photo.json beside photo.jpg: what --json prints.
    Json,
    /// metadata.csv in the pictures' folder: file_name,text, as Hugging Face's imagefolder has it.
    Csv,
    /// photo.jpg.xmp beside photo.jpg: dc:description and IPTC's alternative text, as digiKam, darktable and galleries read it.
    Xmp,
}

/// What is written beside the pictures of a run.
pub struct Sidecars {
    format: Format,
    overwrite: bool,
    prefix: String,
    suffix: String,
    /// The picture that each file is written for.
    owners: HashMap<PathBuf, PathBuf>,
    tables: HashMap<PathBuf, Table>,
    saved: Instant,
}

/// How often a table with new rows is written while pictures are captioned.
const BETWEEN_SAVES: Duration = Duration::from_secs(2);

impl Sidecars {
    /// Captions in `format`, each between `prefix` and `suffix`, in place of those that are there where `overwrite`.
    pub fn new(format: Format, overwrite: bool, prefix: String, suffix: String) -> Self {
        let (owners, tables) = Default::default();
        Self { format, overwrite, prefix, suffix, owners, tables, saved: Instant::now() }
    }

    /// Whether a picture wants a caption: false where it has one already.
    ///
    /// # Errors
    /// When another picture's caption is written into the same file, or what is there is of another form.
    pub fn wants(&mut self, input: &Input) -> Result<bool, Failure> {
        if input.is_standard_input() {
            return Err(Failure::usage(
                "--write: a picture from standard input has no folder; leave one of the two out",
            ));
        }
        let file = self.file(&input.path);
        let owner = if self.format == Format::Csv { input.path.clone() } else { file.clone() };
        // The same picture may come again: one that failed may be whole by now.
        let other = self.owners.entry(owner).or_insert_with(|| input.path.clone());
        if *other != input.path {
            let fault = format!("its caption would be written into {}, which is {}'s", file.display(), other.display());
            return Err(Failure::Work(format!("{}: {fault}; rename one of the two", input.path.display())));
        }
        if self.format == Format::Csv {
            let name = name(&input.path);
            let captioned = self.table(&input.path)?.is_captioned(&name);
            return Ok(self.overwrite || !captioned);
        }
        Ok(self.overwrite || !file.exists() || (self.format == Format::Xmp && !existing(&file)?.is_captioned()))
    }

    /// Writes a picture's captions, best first.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&mut self, input: &Input, captions: &[Caption]) -> Result<(), Failure> {
        let between = |caption: &Caption| format!("{}{}{}", self.prefix, caption.text, self.suffix);
        let texts: Vec<String> = captions.iter().map(between).collect();
        let Some(best) = texts.first().cloned() else { return Ok(()) };
        let file = self.file(&input.path);
        match self.format {
            Format::Txt => whole_file::write(&file, (texts.join("\n") + "\n").as_bytes()),
            Format::Json => {
                let mut objects = captions.iter().zip(texts).map(|(caption, text)| {
                    let mut object = json(&input.path, caption);
                    object["file"] = name(&input.path).into();
                    object["caption"] = text.into();
                    object
                });
                let mut object = objects.next().unwrap_or_default();
                let others: Vec<_> = objects.collect();
                if !others.is_empty() {
                    object["others"] = others.into();
                }
                whole_file::write(&file, format!("{object:#}\n").as_bytes())
            }
            Format::Csv => {
                self.table(&input.path)?.insert(&name(&input.path), best);
                if self.saved.elapsed() > BETWEEN_SAVES { self.save() } else { Ok(()) }
            }
            Format::Xmp => {
                let sidecar = if file.exists() { existing(&file)? } else { xmp::Sidecar::new() };
                whole_file::write(&file, sidecar.with_caption(&best, self.overwrite).as_bytes())
            }
        }
    }

    /// Writes out what is not yet on disk.
    ///
    /// # Errors
    /// When a table cannot be written.
    pub fn save(&mut self) -> Result<(), Failure> {
        self.tables.values_mut().try_for_each(Table::save)?;
        self.saved = Instant::now();
        Ok(())
    }

    /// The file that a picture's caption is written into.
    fn file(&self, picture: &Path) -> PathBuf {
        match self.format {
            Format::Txt => picture.with_extension("txt"),
            Format::Json => picture.with_extension("json"),
            Format::Csv => picture.with_file_name(TABLE),
            Format::Xmp => picture.with_file_name(format!("{}.xmp", name(picture))),
        }
    }

    fn table(&mut self, picture: &Path) -> Result<&mut Table, Failure> {
        let folder = picture.parent().unwrap_or(Path::new("")).to_owned();
        if !self.tables.contains_key(&folder) {
            self.tables.insert(folder.clone(), Table::open(&folder)?);
        }
        self.tables.get_mut(&folder).ok_or_else(|| Failure::Work("no table".into()))
    }
}

/// The name of a picture's file.
fn name(picture: &Path) -> String {
    picture.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn existing(file: &Path) -> Result<xmp::Sidecar, Failure> {
    xmp::Sidecar::parse(read_utf8(file)?).map_err(|fault| Failure::Work(format!("{}: {fault}", file.display())))
}
