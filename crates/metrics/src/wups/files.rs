//! WordNet's database files of nouns (wndb(5WN)): `index.noun`, `data.noun` and `noun.exc`, gzipped or not.

use super::Error;
use flate2::read::GzDecoder;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// A set of synonyms, as its line says.
pub(super) struct Line {
    /// Its place in the original file, which is its name.
    pub offset: u32,
    /// The first of its words.
    pub lemma: String,
    /// What it is a kind or an instance of.
    pub hypernyms: Vec<u32>,
    /// Where it stands in the file.
    pub number: usize,
}

/// A word's meanings, as its line says.
pub(super) struct Senses {
    pub lemma: String,
    /// The synsets, the commonest first.
    pub offsets: Vec<u32>,
    /// Where it stands in the file.
    pub number: usize,
}

/// A file's text, and what it is called.
pub(super) struct Text {
    pub path: PathBuf,
    content: String,
}

impl Text {
    /// Reads `NAME` or `NAME.gz` in a folder.
    pub fn read(folder: &Path, name: &'static str) -> Result<Self, Error> {
        let (plain, packed) = (folder.join(name), folder.join(format!("{name}.gz")));
        let path = [plain, packed].into_iter().find(|path| path.is_file());
        let path = path.ok_or_else(|| Error::Missing { folder: folder.to_owned(), name })?;
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|mut file| match path.extension().is_some_and(|ending| ending == "gz") {
            true => GzDecoder::new(file).read_to_end(&mut bytes),
            false => file.read_to_end(&mut bytes),
        });
        match read {
            Ok(_) => Ok(Self { path, content: String::from_utf8_lossy(&bytes).into_owned() }),
            Err(source) => Err(Error::File { path, source }),
        }
    }

    /// Each line's number and words; those of the licence begin with a space.
    fn lines(&self) -> impl Iterator<Item = (usize, Vec<&str>)> {
        let lines = (1..).zip(self.content.lines()).filter(|(_, line)| !line.starts_with(' ') && !line.is_empty());
        lines.map(|(number, line)| (number, line.split_whitespace().collect()))
    }

    pub fn fault(&self, line: usize, fault: impl Into<String>) -> Error {
        Error::Format { path: self.path.clone(), line, fault: fault.into() }
    }

    /// `data.noun`: `OFFSET FILE n WORDS word id … POINTERS [symbol offset pos source-target] …`.
    pub fn synsets(&self) -> Result<Vec<Line>, Error> {
        let line = |(number, words): (usize, Vec<&str>)| {
            let read = || {
                let words_of_it = usize::from_str_radix(words.get(3)?, 16).ok()?;
                let at = 4 + 2 * words_of_it;
                let pointers: usize = words.get(at)?.parse().ok()?;
                let pointers = words.get(at + 1..)?.chunks_exact(4).take(pointers).collect::<Vec<_>>();
                (words.get(at)?.parse() == Ok(pointers.len())).then_some(())?;
                let kinds = pointers.iter().filter(|pointer| matches!(pointer[0], "@" | "@i"));
                let hypernyms = kinds.map(|pointer| pointer[1].parse().ok()).collect::<Option<_>>()?;
                Some(Line {
                    offset: words.first()?.parse().ok()?,
                    lemma: words.get(4)?.to_lowercase(),
                    hypernyms,
                    number,
                })
            };
            read()
                .ok_or_else(|| self.fault(number, "is no synset of nouns, OFFSET FILE n COUNT WORD … COUNT POINTER …"))
        };
        self.lines().map(line).collect()
    }

    /// `index.noun`: `lemma n SENSES POINTERS symbol … SENSES TAGGED offset …`.
    pub fn senses(&self) -> Result<Vec<Senses>, Error> {
        let line = |(number, words): (usize, Vec<&str>)| {
            let read = || {
                let (senses, pointers): (usize, usize) = (words.get(2)?.parse().ok()?, words.get(3)?.parse().ok()?);
                let offsets = words.get(pointers.checked_add(6)?..)?;
                let offsets: Vec<u32> = offsets.iter().map(|offset| offset.parse().ok()).collect::<Option<_>>()?;
                (offsets.len() == senses).then(|| Senses { lemma: words[0].to_owned(), offsets, number })
            };
            read().ok_or_else(|| self.fault(number, "is no noun, LEMMA n SENSES COUNT SYMBOL … SENSES COUNT OFFSET …"))
        };
        self.lines().map(line).collect()
    }

    /// `noun.exc`: a form and what it is of.
    pub fn exceptions(&self) -> HashMap<String, Vec<String>> {
        let entry = |(_, words): (usize, Vec<&str>)| {
            let (form, of) = words.split_first()?;
            Some(((*form).to_owned(), of.iter().map(|&word| word.to_owned()).collect()))
        };
        self.lines().filter_map(entry).collect()
    }
}
