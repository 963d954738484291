//! Pictures and questions about them.

use crate::{Error, Result};
use candlewick_data::Split;
use candlewick_data::questions::Question;
use candlewick_data::scenes::questions::SceneQuestion;
use candlewick_data::scenes::{BoundingBox, SIZE};
use candlewick_encoders::Preprocessing;
use candlewick_vision::PictureSource;
use rayon::prelude::*;
use std::collections::HashMap;

/// Pictures with questions about them.
pub struct VqaDataset {
    /// The pictures, each once.
    pub pictures: PictureSource,
    /// The questions.
    pub questions: Vec<PictureQuestion>,
}

/// A question about a picture of a set, and what is known of the answer.
#[derive(Clone, Debug, PartialEq)]
pub struct PictureQuestion {
    /// The picture's row in its set.
    pub picture: usize,
    /// The question.
    pub question: String,
    /// What is true: one answer, or several that belong together.
    pub answers: Vec<String>,
    /// What each of several people answered; empty where that is not known.
    pub said: Vec<String>,
    /// What is to be chosen from; empty where the answer is open.
    pub choices: Vec<String>,
    /// What kind of question it is: as the set says, or its first two words.
    pub kind: String,
    /// The box of the thing that has the answer, as shares left, top, right and bottom of the picture's width and height, where it is known.
    pub asked: Option<[f32; 4]>,
}

/// Of which generated scenes questions are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SceneWorld {
    /// What scenes and questions are drawn from.
    pub seed: u64,
    /// How many questions are asked about each scene.
    pub questions: usize,
}

impl VqaDataset {
    /// Questions about photos; what is done to photos is `preprocessing`.
    pub fn photos(questions: &[Question], preprocessing: Preprocessing) -> Self {
        let (mut paths, mut rows) = (Vec::new(), HashMap::new());
        let mut row = |question: &Question| {
            *rows.entry(question.image.clone()).or_insert_with(|| {
                paths.push(question.image.clone());
                paths.len() - 1
            })
        };
        let all = questions.iter().map(|one| PictureQuestion {
            picture: row(one),
            question: one.question.clone(),
            answers: one.answers.clone(),
            said: one.said.clone(),
            choices: one.choices.clone(),
            kind: one.kind.clone().unwrap_or_else(|| first_words(&one.question)),
            asked: None,
        });
        let questions = all.collect();
        Self { pictures: PictureSource::Photos(paths, preprocessing), questions }
    }

    /// Generated scenes of a split with questions about them; `progress` is told now and then how many more are drawn.
    pub fn scenes(
        world: &SceneWorld,
        split: Split,
        scenes: usize,
        preprocessing: Preprocessing,
        progress: &mut dyn FnMut(usize),
    ) -> Self {
        const TOGETHER: usize = 256;
        let draw = |picture: usize| {
            let (scene, asked) = SceneQuestion::generate(world.seed, picture as u64, split, world.questions);
            let drawn = scene.draw();
            let question = |one: SceneQuestion| PictureQuestion {
                picture,
                question: one.question,
                answers: vec![one.answer.to_owned()],
                said: Vec::new(),
                choices: Vec::new(),
                kind: one.kind.word().to_owned(),
                asked: one.asked.map(shares),
            };
            ((scene, drawn), asked.into_iter().map(question).collect::<Vec<_>>())
        };
        let (mut pictures, mut questions) = (Vec::with_capacity(scenes), Vec::with_capacity(scenes * world.questions));
        for first in (0..scenes).step_by(TOGETHER) {
            let last = (first + TOGETHER).min(scenes);
            let (drawn, asked): (Vec<_>, Vec<_>) = (first..last).into_par_iter().map(draw).unzip();
            pictures.extend(drawn);
            questions.extend(asked.into_iter().flatten());
            progress(last - first);
        }
        Self { pictures: PictureSource::Scenes(pictures, preprocessing), questions }
    }

    /// The set without the pictures for which `keep` says no and the questions about them.
    pub(super) fn retain(self, keep: impl Fn(usize) -> bool) -> Self {
        let mut rows = HashMap::new();
        (0..self.pictures.len()).filter(|&row| keep(row)).enumerate().for_each(|(new, old)| _ = rows.insert(old, new));
        let moved = |mut one: PictureQuestion| {
            one.picture = *rows.get(&one.picture)?;
            Some(one)
        };
        let questions = self.questions.into_iter().filter_map(moved).collect();
        Self { pictures: self.pictures.retain(keep), questions }
    }

    /// Refuses a set that has no question.
    pub(super) fn filled(self, part: &str) -> Result<Self> {
        match self.questions.is_empty() {
            true => Err(Error::NoData(format!("the {part} split has no questions; choose another"))),
            false => Ok(self),
        }
    }
}

/// A box of a scene as shares of its sides.
fn shares(bounds: BoundingBox) -> [f32; 4] {
    [bounds.x0, bounds.y0, bounds.x1, bounds.y1].map(|side| side as f32 / SIZE as f32)
}

/// The first two words of a question, in lower case: `how many`, `what color`.
fn first_words(question: &str) -> String {
    question.to_lowercase().split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}
