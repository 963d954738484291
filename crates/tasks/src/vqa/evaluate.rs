//! How often answers are right.

use super::answer::Told;
use super::batch::Items;
use super::dataset::{PictureQuestion, VqaDataset};
use super::model::VqaModel;
use crate::Result;
use candlewick_metrics::wups::{WordNet, Wups};
use candlewick_parameters::Mode;
use candlewick_training::Scores;
use candlewick_vision::{AttentionMap, View};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Questions that are answered at a time.
const BATCH: usize = 64;

/// The thresholds of WUPS, and what the scores are called.
const THRESHOLDS: [(f64, &str); 2] = [(0.9, "WUPS_0.9"), (0.0, "WUPS_0.0")];

/// The scores of a model on questions.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Evaluation {
    /// `accuracy`, the share of questions whose likeliest answer is the true one and the only one; `accuracy_of_choices`, of those that have
    /// choices; `accuracy_of_people`, min(1, how many others of ten people gave it / 3) (Antol et al. 2015); `WUPS_0.9` and `WUPS_0.0`, where
    /// there is a WordNet; `pointing`, how often the peak of the last hop's attention lies in the box of the thing that has the answer, where
    /// that is known.
    pub scores: Scores,
    /// The same of each kind of question, the most frequent first.
    pub by_kind: Vec<KindScores>,
    /// How many questions they are of.
    pub questions: usize,
}

/// The scores of one kind of question.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KindScores {
    /// The kind.
    pub kind: String,
    /// How many questions are of it.
    pub questions: usize,
    /// As [`Evaluation::scores`].
    pub scores: Scores,
}

/// Scores a model on the questions of a set.
///
/// `progress` is told how many of how many are done.
///
/// # Errors
/// When a picture cannot be read.
pub fn evaluate(
    model: &VqaModel,
    set: Arc<VqaDataset>,
    wordnet: Option<&WordNet>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Evaluation> {
    scored(model, &Items::new(model, set)?, wordnet, progress)
}

pub(super) fn scored(
    model: &VqaModel,
    items: &Items,
    wordnet: Option<&WordNet>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Evaluation> {
    let questions = &items.set.questions;
    let mut places: Vec<usize> = (0..questions.len()).collect();
    // Questions about one picture come together, so that it is looked at once.
    places.sort_by_key(|&place| questions.get(place).map(|one| one.picture));
    let (mut all, mut by_kind) = (Tally::default(), BTreeMap::<&str, Tally>::new());
    progress(0, places.len());
    for (at, places) in places.chunks(BATCH).enumerate() {
        let (words, pictures, sources) = items.asked(places, &mut || View::WHOLE)?;
        let looked = model.looked(pictures.as_ref(), &sources, &mut Mode::Eval)?;
        let joined = model.joined(&words, looked.as_ref())?;
        let asked: Vec<&PictureQuestion> = places.iter().filter_map(|&place| questions.get(place)).collect();
        let told = model.told(&joined, &asked.iter().map(|one| one.choices.as_slice()).collect::<Vec<_>>())?;
        let maps = model.maps(&joined, looked.as_ref())?;
        for (row, (one, told)) in asked.iter().zip(&told).enumerate() {
            let last = maps.get(row).and_then(|hops| hops.last());
            let marks = Marks::of(model, one, told, last, wordnet);
            all.add(&marks);
            by_kind.entry(&one.kind).or_default().add(&marks);
        }
        progress(at * BATCH + places.len(), questions.len());
    }
    let mut by_kind: Vec<KindScores> = by_kind
        .into_iter()
        .map(|(kind, tally)| KindScores { kind: kind.to_owned(), questions: tally.questions, scores: tally.scores() })
        .collect();
    // The sort is stable: of equal numbers the first in the order of letters comes first.
    by_kind.sort_by_key(|kind| std::cmp::Reverse(kind.questions));
    Ok(Evaluation { scores: all.scores(), by_kind, questions: questions.len() })
}

/// The names of the scores that questions can have.
pub(super) fn score_names(questions: &[PictureQuestion], attends: bool, wordnet: bool) -> Vec<&'static str> {
    let any = |has: fn(&PictureQuestion) -> bool| questions.iter().any(has);
    let mut names = vec!["accuracy"];
    names.extend(any(|one| !one.choices.is_empty()).then_some("accuracy_of_choices"));
    names.extend(any(|one| one.said.len() > 1).then_some("accuracy_of_people"));
    names.extend(THRESHOLDS.iter().filter(|_| wordnet).map(|(_, name)| *name));
    names.extend((attends && any(|one| one.asked.is_some())).then_some("pointing"));
    names
}

/// What one answer is worth, by the names of the scores, those that it has.
struct Marks(Vec<(&'static str, f64)>);

impl Marks {
    fn of(
        model: &VqaModel,
        one: &PictureQuestion,
        told: &Told,
        last: Option<&AttentionMap>,
        wordnet: Option<&WordNet>,
    ) -> Self {
        let answer = model.known_answers().nth(largest(&told.of_answers)).unwrap_or_default();
        let mark = |right: bool| if right { 1.0 } else { 0.0 };
        let mut marks = vec![("accuracy", mark(one.answers.len() == 1 && one.answers[0] == answer))];
        if let Some(of_choices) = &told.of_choices {
            let place = largest(of_choices);
            let known = of_choices.get(place).is_some_and(|&probability| probability > 0.0);
            let right = one.choices.get(place).is_some_and(|choice| known && one.answers.contains(choice));
            marks.push(("accuracy_of_choices", mark(right)));
        }
        if one.said.len() > 1 {
            marks.push(("accuracy_of_people", of_people(&one.said, answer)));
        }
        for (threshold, name) in THRESHOLDS {
            if let Some(wordnet) = wordnet {
                marks.push((name, Wups { wordnet, threshold }.score(&one.answers, &[answer])));
            }
        }
        if let (Some([left, top, right, bottom]), Some(map)) = (one.asked, last) {
            let (x, y) = map.peak();
            marks.push(("pointing", mark((left..right).contains(&x) && (top..bottom).contains(&y))));
        }
        Self(marks)
    }
}

/// The place of the largest, of equal ones the first.
fn largest(values: &[f32]) -> usize {
    let larger = |best: usize, at: usize| if values[at] > values[best] { at } else { best };
    (0..values.len()).reduce(larger).unwrap_or(0)
}

/// The mean over the people of min(1, how many of the others gave this answer / 3).
fn of_people(said: &[String], answer: &str) -> f64 {
    let same = said.iter().filter(|own| *own == answer).count();
    let without = |own: &String| ((same - usize::from(own == answer)) as f64 / 3.0).min(1.0);
    said.iter().map(without).sum::<f64>() / said.len().max(1) as f64
}

/// Sums of marks.
#[derive(Default)]
struct Tally {
    questions: usize,
    /// Each score's sum and how many have it, in the order in which they came up first.
    sums: Vec<(&'static str, f64, usize)>,
}

impl Tally {
    fn add(&mut self, marks: &Marks) {
        self.questions += 1;
        for &(name, value) in &marks.0 {
            match self.sums.iter_mut().find(|(known, ..)| *known == name) {
                Some((_, sum, count)) => (*sum, *count) = (*sum + value, *count + 1),
                None => self.sums.push((name, value, 1)),
            }
        }
    }

    fn scores(&self) -> Scores {
        self.sums.iter().map(|&(name, sum, count)| (name, sum / count.max(1) as f64)).collect()
    }
}

/// WordNet's nouns in a folder.
///
/// # Errors
/// When they cannot be read; the message names the file.
pub(super) fn open_wordnet(folder: &std::path::Path) -> Result<WordNet> {
    WordNet::open(folder).map_err(crate::Error::task)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_people_counts_as_antol_et_al_say() {
        let said = |same: usize| -> Vec<String> {
            (0..10).map(|at| if at < same { "red".into() } else { format!("other {at}") }).collect()
        };
        // 0, 0.3, 0.6, 0.9 and 1 are the published values of 0, 1, 2, 3 and more.
        for (same, wanted) in [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)] {
            let found = of_people(&said(same), "red");
            assert!((found - wanted).abs() < 1e-9, "{same}: {found}");
        }
    }

    #[test]
    fn the_first_of_equal_ones_is_the_largest() {
        assert_eq!([largest(&[0.1, 0.7, 0.7]), largest(&[]), largest(&[0.0, 0.0])], [1, 0, 0]);
    }
}
