//! Questions about pictures with their answers, from the formats that people have.
//!
//! - easy-VQA: a folder with `train/questions.json`, `[["what shape is it?", "circle", 0], …]`, and `train/images/0.png`, and perhaps the same in
//!   `test` and `dev`;
//! - DAQUAR (Malinowski and Fritz 2014): a folder with `questions.csv` of `question`, `answer` (several between commas) and `image_id`, and the
//!   photos in `images`;
//! - VQA (Antol et al. 2015, Goyal et al. 2017): `*_questions.json` and `*_annotations.json` beside it, the photos of COCO in `train2014` and so on;
//! - Visual7W (Zhu et al. 2016): `dataset_v7w_telling.json` with four choices a question, the photos in `images`;
//! - a plain list: `[{"image": "a.jpg", "question": "…", "answer": "…", "choices": ["…"], "kind": "what", "split": "train"}]`, where `choices`, `kind`
//!   and `split` may be left out.

mod json;
mod photos;
mod table;

use crate::error::{Error, Result, shown};
use crate::skipped::{DEFAULT_MAX_SHARE, Skipped};
use crate::split::{Parts, Split, check_share, share};
use photos::Photos;
use std::path::{Path, PathBuf};

/// Questions by their splits, and what was broken in them.
#[derive(Clone, Debug)]
pub struct QuestionSet {
    /// The questions in the order of their files.
    pub parts: Parts<Question>,
    /// The questions that were left out; [`Skipped::report`] tells them.
    pub skipped: Skipped,
}

/// A question about a picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// Where the picture lies.
    pub image: PathBuf,
    /// The question as it was written.
    pub question: String,
    /// What is true: one answer, of DAQUAR perhaps several that belong together.
    pub answers: Vec<String>,
    /// What each of several people answered, as in VQA; empty where the set does not say.
    pub said: Vec<String>,
    /// What is to be chosen from, in the order of letters where the set has none; empty where the answer is open.
    pub choices: Vec<String>,
    /// What the set calls its kind: `color`, `what`, `yes/no`.
    pub kind: Option<String>,
}

/// What [`load`] cannot know from the files.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The folder of the photos, where they are not beside the questions or in a folder that the format knows.
    pub images: Option<PathBuf>,
    /// The share of the photos of a set without a dev part that become one with all their questions, chosen by a hash of the name.
    pub dev_share: f64,
    /// The share of questions that may be broken and skipped.
    pub max_share: f64,
    /// Whether every photo must be there as a file.
    pub need_files: bool,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { images: None, dev_share: 0.1, max_share: DEFAULT_MAX_SHARE, need_files: true }
    }
}

/// Reads the questions in the folder or file `path`; the format is recognised by content.
///
/// Questions that are empty, without an answer, with choices that do not have it, or about a photo that is not there are skipped and named in
/// [`QuestionSet::skipped`].
///
/// # Errors
/// One line that names the file, the line or the place where there is one, and the fault: files that cannot be read, wrong JSON or CSV,
/// VQA's questions without their annotations, too many broken questions, no question, no photo at all.
pub fn load(path: &Path, options: &LoadOptions) -> Result<QuestionSet> {
    check_share(options.dev_share)?;
    let mut rows = Rows { options, rows: Vec::new() };
    if std::fs::metadata(path).map_err(Error::io(path))?.is_dir() {
        folder(path, &mut rows)?;
    } else if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv")) {
        table::read(path, &mut rows)?;
    } else {
        json::read(path, None, &mut rows)?;
    }
    rows.finish(path)
}

/// Finds a folder's files and reads them.
fn folder(folder: &Path, rows: &mut Rows) -> Result<()> {
    let table = folder.join("questions.csv");
    if table.is_file() {
        return table::read(&table, rows);
    }
    let mut there = false;
    for name in ["train", "dev", "val", "test"] {
        let file = folder.join(name).join("questions.json");
        if file.is_file() {
            json::read(&file, Split::parse(name), rows)?;
            there = true;
        }
    }
    if there {
        return Ok(());
    }
    let names = photos::names_in(folder)?;
    let ending = |end: &str| names.iter().filter(|name| name.ends_with(end)).collect::<Vec<_>>();
    let (questions, all) = (ending("questions.json"), ending(".json"));
    let found = if questions.is_empty() { all } else { questions };
    match found.as_slice() {
        [] => {
            let wanted = "no questions.csv, no train/questions.json and no JSON file";
            Err(Error::items(folder, 0, format!("has {wanted}; give the folder or the file that has the questions")))
        }
        [name] => json::read(&folder.join(name), None, rows),
        several if several.iter().all(|name| name.ends_with("_questions.json")) => {
            several.iter().try_for_each(|name| json::read(&folder.join(name), None, rows))
        }
        several => {
            let names: Vec<&str> = several.iter().take(5).map(|name| name.as_str()).collect();
            let fault =
                format!("has {} JSON files ({}); give the one with the questions", several.len(), names.join(", "));
            Err(Error::items(folder, 0, fault))
        }
    }
}

/// A question as it is read.
struct Row {
    /// Where it stands: `questions.json[3]`.
    place: String,
    /// None where its set does not say.
    split: Option<Split>,
    question: Question,
}

/// What the formats gather.
struct Rows<'a> {
    options: &'a LoadOptions,
    rows: Vec<Row>,
}

impl Rows<'_> {
    /// The folders to look for a file's photos in.
    fn photos(&self, file: &Path, below: &[&str]) -> Photos {
        Photos::new(file, self.options.images.as_deref(), below)
    }

    fn finish(self, path: &Path) -> Result<QuestionSet> {
        let missing = self.options.need_files && !self.rows.iter().any(|row| row.question.image.is_file());
        if let Some(first) = self.rows.first().filter(|_| missing) {
            let fault = format!("none of its photos is there, such as {}", shown(&first.question.image));
            return Err(Error::items(path, 0, fault + "; put them there, or name their folder"));
        }
        let skipped = Skipped::new("questions", self.rows.len(), self.options.max_share);
        let no_dev = !self.rows.iter().any(|row| row.split == Some(Split::Dev));
        let mut parts = Parts::default();
        for row in self.rows {
            let mut question = row.question;
            tidy(&mut question);
            if let Some(fault) = fault(&question, self.options.need_files) {
                skipped.record(&row.place, fault)?;
                continue;
            }
            let name = question.image.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let mut split = row.split.unwrap_or(Split::Train);
            if no_dev && split == Split::Train && share(&name) < self.options.dev_share {
                split = Split::Dev;
            }
            parts.of_mut(split).push(question);
        }
        match parts.count() {
            0 => Err(Error::items(path, 0, "has no question")),
            _ => Ok(QuestionSet { parts, skipped }),
        }
    }
}

fn tidy(question: &mut Question) {
    question.question = question.question.trim().to_owned();
    for list in [&mut question.answers, &mut question.said, &mut question.choices] {
        list.iter_mut().for_each(|text| *text = text.trim().to_owned());
        list.retain(|text| !text.is_empty());
    }
}

/// Why a question cannot be used.
fn fault(question: &Question, need_files: bool) -> Option<String> {
    let Question { image, question, answers, choices, .. } = question;
    match () {
        () if question.is_empty() => Some("the question is empty".to_owned()),
        () if answers.is_empty() => Some("has no answer".to_owned()),
        () if !choices.is_empty() && !answers.iter().all(|answer| choices.contains(answer)) => {
            Some(format!("the answer {:?} is none of its choices", answers.join(", ")))
        }
        () if need_files && !image.is_file() => Some(format!("has no photo {}", shown(image))),
        () => None,
    }
}

#[cfg(test)]
mod tests;
