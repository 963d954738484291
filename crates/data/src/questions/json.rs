//! The JSON formats: a plain list, easy-VQA's, VQA's pair of files and Visual7W's.

use super::photos::names_in;
use super::{Question, Row, Rows};
use crate::error::{Error, Result};
use crate::split::Split;
use crate::text::read_utf8;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// easy-VQA's question, answer and number of a picture.
#[derive(Deserialize)]
struct Triple(String, String, u64);

/// An entry of a plain list.
#[derive(Deserialize)]
struct Plain {
    image: String,
    question: String,
    answer: String,
    #[serde(default)]
    choices: Vec<String>,
    kind: Option<String>,
    split: Option<String>,
}

/// VQA's file of questions, or Visual7W's.
#[derive(Deserialize)]
struct Object {
    data_subtype: Option<String>,
    questions: Option<Vec<VqaQuestion>>,
    images: Option<Vec<Visual7wImage>>,
}

#[derive(Deserialize)]
struct VqaQuestion {
    question_id: u64,
    image_id: u64,
    question: String,
    #[serde(default)]
    multiple_choices: Vec<String>,
}

#[derive(Deserialize)]
struct Annotations {
    annotations: Vec<Annotation>,
}

#[derive(Deserialize)]
struct Annotation {
    question_id: u64,
    answer_type: Option<String>,
    multiple_choice_answer: String,
    #[serde(default)]
    answers: Vec<Said>,
}

#[derive(Deserialize)]
struct Said {
    answer: String,
}

#[derive(Deserialize)]
struct Visual7wImage {
    filename: String,
    split: String,
    qa_pairs: Vec<Visual7wQuestion>,
}

#[derive(Deserialize)]
struct Visual7wQuestion {
    qa_id: u64,
    question: String,
    answer: String,
    /// The wrong ones.
    #[serde(default)]
    multiple_choices: Vec<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// Reads a file, whose questions are of this split where they do not say otherwise.
pub(super) fn read(file: &Path, split: Option<Split>, rows: &mut Rows) -> Result<()> {
    let text = read_utf8(file)?;
    let mut letters = text.chars().filter(|letter| !letter.is_whitespace());
    match (letters.next(), letters.next()) {
        (Some('['), Some('[')) => {
            triples(file, parse(file, &text, "easy-VQA's questions, [[QUESTION, ANSWER, PICTURE], …]")?, split, rows);
            Ok(())
        }
        (Some('['), _) => {
            let wanted = "a list of questions, [{\"image\": …, \"question\": …, \"answer\": …}, …]";
            plain(file, parse(file, &text, wanted)?, split, rows)
        }
        _ => match parse(file, &text, "VQA's questions or Visual7W's")? {
            Object { data_subtype: Some(part), questions: Some(questions), .. } => vqa(file, &part, questions, rows),
            Object { images: Some(images), .. } => visual7w(file, images, rows),
            _ => {
                let fault = "has neither VQA's data_subtype and questions nor Visual7W's images; give the file with the questions";
                Err(Error::items(file, 0, fault))
            }
        },
    }
}

fn parse<T: DeserializeOwned>(file: &Path, text: &str, wanted: &str) -> Result<T> {
    let fault = |error: serde_json::Error| Error::items(file, error.line(), format!("is no JSON of {wanted}: {error}"));
    serde_json::from_str(text).map_err(fault)
}

fn triples(file: &Path, entries: Vec<Triple>, split: Option<Split>, rows: &mut Rows) {
    let photos = rows.photos(file, &[]);
    for (index, Triple(question, answer, image)) in entries.into_iter().enumerate() {
        let image = photos.find(&image.to_string());
        let question = Question { image, question, answers: vec![answer], ..Question::default() };
        rows.rows.push(Row { place: format!("{}[{index}]", name_of(file)), split, question });
    }
}

fn plain(file: &Path, entries: Vec<Plain>, split: Option<Split>, rows: &mut Rows) -> Result<()> {
    let photos = rows.photos(file, &[]);
    for (index, entry) in entries.into_iter().enumerate() {
        let place = format!("{}[{index}]", name_of(file));
        let split = split_of(file, &place, entry.split.as_deref())?.or(split);
        let question = Question {
            image: photos.find(&entry.image),
            question: entry.question,
            answers: vec![entry.answer],
            choices: entry.choices,
            kind: entry.kind,
            ..Question::default()
        };
        rows.rows.push(Row { place, split, question });
    }
    Ok(())
}

fn split_of(file: &Path, place: &str, name: Option<&str>) -> Result<Option<Split>> {
    let Some(name) = name else { return Ok(None) };
    let wanted = || Error::items(file, 0, format!("{place} has the split {name:?}; wanted train, dev, val or test"));
    Split::parse(name).map(Some).ok_or_else(wanted)
}

fn vqa(file: &Path, part: &str, questions: Vec<VqaQuestion>, rows: &mut Rows) -> Result<()> {
    let split = [("train", Split::Train), ("val", Split::Dev), ("test", Split::Test)];
    let split = split.into_iter().find(|(begin, _)| part.starts_with(begin)).map(|(_, split)| split);
    let other = annotations_of(file, part)?;
    let annotations: Annotations = parse(&other, &read_utf8(&other)?, "VQA's annotations")?;
    let mut annotations: HashMap<u64, Annotation> =
        annotations.annotations.into_iter().map(|annotation| (annotation.question_id, annotation)).collect();
    let photos = rows.photos(file, &[part]);
    for question in questions {
        let VqaQuestion { question_id, image_id, question, multiple_choices: choices } = question;
        let annotation = annotations.remove(&question_id).ok_or_else(|| {
            let fault = format!(
                "has no annotation of question {question_id} of {}; give the file of the same part",
                name_of(file)
            );
            Error::items(&other, 0, fault)
        })?;
        let question = Question {
            image: photos.find(&format!("COCO_{part}_{image_id:012}.jpg")),
            question,
            answers: vec![annotation.multiple_choice_answer],
            said: annotation.answers.into_iter().map(|said| said.answer).collect(),
            choices,
            kind: annotation.answer_type,
        };
        rows.rows.push(Row { place: format!("question {question_id}"), split, question });
    }
    Ok(())
}

/// The file of annotations beside a file of questions: the one of the same part and version.
fn annotations_of(file: &Path, part: &str) -> Result<PathBuf> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let second = name_of(file).starts_with("v2_");
    let mut names = names_in(folder)?;
    names.retain(|name| name.ends_with("annotations.json") && name.contains(part) && name.starts_with("v2_") == second);
    match names.as_slice() {
        [one] => Ok(folder.join(one)),
        found => {
            let fault = format!(
                "has {} files of annotations of {part} beside it; put the one there that belongs to it",
                found.len()
            );
            Err(Error::items(file, 0, fault))
        }
    }
}

fn visual7w(file: &Path, images: Vec<Visual7wImage>, rows: &mut Rows) -> Result<()> {
    let photos = rows.photos(file, &[]);
    for image in images {
        let path = photos.find(&image.filename);
        for question in image.qa_pairs {
            let place = format!("question {}", question.qa_id);
            let split = split_of(file, &place, Some(&image.split))?;
            let mut choices = question.multiple_choices;
            if !choices.is_empty() {
                // The right one's place must tell nothing.
                choices.push(question.answer.clone());
                choices.sort();
            }
            let question = Question {
                image: path.clone(),
                question: question.question,
                answers: vec![question.answer],
                choices,
                kind: question.kind,
                ..Question::default()
            };
            rows.rows.push(Row { place, split, question });
        }
    }
    Ok(())
}

fn name_of(file: &Path) -> String {
    file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
