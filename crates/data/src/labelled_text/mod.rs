//! Sentences with a class each, from the formats that people have.
//!
//! - SST-2 as GLUE has it (Socher et al. 2013, Wang et al. 2018): a folder with `train.tsv`, and perhaps `dev.tsv` and `test.tsv`, or such a file
//!   alone: a header with `sentence` and `label`, a row a line between tabs; `.csv` with commas and quotes alike;
//! - the sentence polarity set (Pang and Lee 2005): a folder with a file that ends in `.neg` and one that ends in `.pos`, a sentence a line,
//!   in Latin-1.

mod polarity;
mod table;

use crate::classes;
use crate::error::{Error, Result};
use crate::skipped::{DEFAULT_MAX_SHARE, Skipped};
use crate::split::{Parts, Split, check_share, share};
use std::path::{Path, PathBuf};

/// Sentences with a class each, in their parts.
#[derive(Clone, Debug)]
pub struct LabelledText {
    /// The classes' names; a label is a place in this list.
    pub classes: Vec<String>,
    /// The sentences by their splits.
    pub parts: Parts<LabelledSentence>,
    /// The sentences that were left out; [`Skipped::report`] tells them.
    pub skipped: Skipped,
    /// What else a person should know of it, a line each.
    pub notes: Vec<String>,
}

/// A sentence and its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledSentence {
    /// The sentence as it was written, without spaces around it.
    pub text: String,
    /// Its class.
    pub label: u32,
}

/// What [`load`] cannot know from the files.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// What the files are written in: a label of the Encoding Standard.
    pub encoding: String,
    /// The share of a set without a dev part that becomes one, chosen by a hash of the sentence.
    pub dev_share: f64,
    /// The share of sentences that may be broken and skipped.
    pub max_share: f64,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { encoding: "utf-8".to_owned(), dev_share: 0.1, max_share: DEFAULT_MAX_SHARE }
    }
}

/// Reads the set in the folder or file `path`; the format is recognised by the names of its files.
///
/// A sentence that is empty is skipped and named in [`LabelledText::skipped`].
///
/// # Errors
/// One line that names the file, the line where there is one, and the fault: a file that is missing or in another encoding, a column
/// that is not there, a row with other columns, a label that the training part does not have, fewer than two classes, too many empty sentences.
pub fn load(path: &Path, options: &LoadOptions) -> Result<LabelledText> {
    check_share(options.dev_share)?;
    let mut found = Rows::default();
    if !std::fs::metadata(path).map_err(Error::io(path))?.is_dir() {
        table::read(path, Split::Train, options, &mut found)?;
    } else if !polarity::read(path, options, &mut found)? && !table::read_folder(path, options, &mut found)? {
        let wanted = "neither train.tsv or train.csv nor files that end in .neg and .pos";
        return Err(Error::items(path, 0, format!("has {wanted}; give the folder or the file that has the sentences")));
    }
    found.finish(path, options)
}

impl LabelledText {
    /// The set with a part of its training sentences as its test part: that of `number` from 0 of `of` parts, by a hash of the sentence, so
    /// that equal sentences are in one part. What is judged on ten folds is trained ten times.
    ///
    /// # Errors
    /// When there is no such part.
    pub fn fold(&self, number: usize, of: usize) -> Result<Self> {
        if number >= of || of < 2 {
            return Err(Error::setting(format!("fold {number} of {of} is none; give one from 0 to {}", of.max(2) - 1)));
        }
        let mut fold = self.clone();
        // Named otherwise than for the dev part, which would else be a fold of its own.
        let part = |one: &LabelledSentence| (share(&format!("fold {}", one.text)) * of as f64) as usize;
        (fold.parts.test, fold.parts.train) =
            std::mem::take(&mut fold.parts.train).into_iter().partition(|one| part(one) == number);
        Ok(fold)
    }
}

/// A row as it is read.
struct Row {
    file: PathBuf,
    line: usize,
    text: String,
    label: String,
}

/// What the formats gather.
#[derive(Default)]
struct Rows {
    parts: Parts<Row>,
    notes: Vec<String>,
}

impl Rows {
    fn finish(self, path: &Path, options: &LoadOptions) -> Result<LabelledText> {
        let Self { parts, notes } = self;
        let classes = classes::sorted(parts.train.iter().map(|row| row.label.as_str()));
        if let Some(fault) = classes::too_few(&classes) {
            return Err(Error::items(path, 0, fault));
        }
        let skipped = Skipped::new("sentences", parts.count(), options.max_share);
        let mut set = Parts::default();
        for (split, rows) in [(Split::Train, parts.train), (Split::Dev, parts.dev), (Split::Test, parts.test)] {
            for row in rows {
                let label = classes::place(&classes, &row.label).ok_or_else(|| {
                    let fault =
                        format!("the label {:?} is none of the training part ({})", row.label, classes.join(", "));
                    Error::items(&row.file, row.line, fault)
                })?;
                match row.text.trim() {
                    "" => skipped.record(&place(&row), "the sentence is empty")?,
                    text => set.of_mut(split).push(LabelledSentence { text: text.to_owned(), label }),
                }
            }
        }
        set.hold_out(options.dev_share, |one| one.text.clone());
        Ok(LabelledText { classes, parts: set, skipped, notes })
    }
}

/// The file's name and the line.
fn place(row: &Row) -> String {
    let name = row.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    format!("{name}:{}", row.line)
}
