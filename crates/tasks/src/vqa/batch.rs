//! Questions as the network is given them.

use super::dataset::VqaDataset;
use super::model::VqaModel;
use super::network::Words;
use super::recipe::BatchConfig;
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use candlewick_data::buckets;
use candlewick_vision::{EncoderInput, View};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A set with its texts as ids, and what is learned of it.
pub(super) struct Items {
    pub set: Arc<VqaDataset>,
    /// The words of each question.
    questions: Vec<Vec<u32>>,
    /// The words of each question's choices, where choices are read.
    choices: Vec<Vec<Vec<u32>>>,
    /// Each question that is learned from, once with each of its known answers.
    pub pairs: Vec<Pair>,
    /// The places of the pairs of each picture that has any.
    by_picture: Vec<Vec<usize>>,
    /// Whether pictures are seen.
    sees: bool,
}

/// A question with one of its answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    /// The question's place in its set.
    pub question: usize,
    /// The answer's number.
    pub answer: u32,
}

/// Questions with their pictures and answers, on the CPU.
pub struct Batch {
    pub(super) questions: Words,
    /// Each picture once.
    pub(super) pictures: Option<EncoderInput>,
    /// Which of the pictures each question is about, (N).
    pub(super) sources: Tensor,
    /// The answers' numbers, (N).
    pub(super) targets: Tensor,
    pub(super) choices: Option<ChoiceBatch>,
    /// The box of the thing that has each answer, where it is known.
    pub(super) asked: Vec<Option<[f32; 4]>>,
}

/// What some questions of a batch are to be chosen from.
pub(super) struct ChoiceBatch {
    /// The rows of these R questions in the batch, (R).
    pub rows: Tensor,
    /// R·K choices, question after question; where a question has fewer, empty ones fill its row.
    pub words: Words,
    /// 0, and −10⁴ where a row is only filled, (R, K).
    pub mask: Tensor,
    /// The places of the right ones, (R).
    pub targets: Tensor,
}

impl Items {
    pub fn new(model: &VqaModel, set: Arc<VqaDataset>) -> Result<Self> {
        let encode = |text: &String| Ok(model.tokenizer().encode(text)?);
        let questions = set.questions.iter().map(|one| encode(&one.question)).collect::<Result<Vec<_>>>()?;
        let choices = match model.network.reads_choices() {
            true => {
                let of = |texts: &Vec<String>| texts.iter().map(encode).collect::<Result<Vec<_>>>();
                set.questions.iter().map(|one| of(&one.choices)).collect::<Result<Vec<_>>>()?
            }
            false => Vec::new(),
        };
        let pairs = set.questions.iter().enumerate().flat_map(|(question, one)| {
            let known = one.answers.iter().filter_map(|answer| model.answer_number(answer));
            known.map(move |answer| Pair { question, answer })
        });
        let pairs: Vec<Pair> = pairs.collect();
        let mut by_picture = BTreeMap::<usize, Vec<usize>>::new();
        for (place, pair) in pairs.iter().enumerate() {
            by_picture.entry(set.questions[pair.question].picture).or_default().push(place);
        }
        let (by_picture, sees) = (by_picture.into_values().collect(), model.config.network.sees());
        Ok(Self { questions, choices, pairs, by_picture, sees, set })
    }

    /// The places of the pairs in each batch of an epoch.
    pub fn order(&self, config: &BatchConfig, seed: u64, epoch: usize) -> Vec<Vec<usize>> {
        if !config.by_picture {
            return buckets::batches(&vec![0; self.pairs.len()], config.size, seed, epoch);
        }
        let pictures = buckets::batches(&vec![0; self.by_picture.len()], self.pictures_of(config.size), seed, epoch);
        let of = |pictures: Vec<usize>| {
            pictures.into_iter().filter_map(|picture| self.by_picture.get(picture)).flatten().copied().collect()
        };
        pictures.into_iter().map(of).collect()
    }

    /// How many batches an epoch has.
    pub fn batches(&self, config: &BatchConfig) -> usize {
        match config.by_picture {
            true => self.by_picture.len().div_ceil(self.pictures_of(config.size)),
            false => self.pairs.len().div_ceil(config.size),
        }
    }

    /// How many pictures have about so many pairs.
    fn pictures_of(&self, pairs: usize) -> usize {
        (pairs * self.by_picture.len() / self.pairs.len().max(1)).max(1)
    }

    /// The pairs in these places as a batch; each picture is seen through the view that `view` says next.
    pub fn batch(&self, places: &[usize], view: &mut dyn FnMut() -> View) -> Result<Batch> {
        let pairs: Vec<Pair> = places.iter().filter_map(|&place| self.pairs.get(place).copied()).collect();
        let places: Vec<usize> = pairs.iter().map(|pair| pair.question).collect();
        let answers: Vec<u32> = pairs.iter().map(|pair| pair.answer).collect();
        let (questions, pictures, sources) = self.asked(&places, view)?;
        let targets = Tensor::new(answers, &Device::Cpu)?;
        let asked = places.iter().map(|&place| self.set.questions.get(place).and_then(|one| one.asked)).collect();
        Ok(Batch { questions, pictures, sources, targets, choices: self.choices(&places)?, asked })
    }

    /// The questions in these places, their pictures, each once, and which of them each question is about.
    pub fn asked(
        &self,
        places: &[usize],
        view: &mut dyn FnMut() -> View,
    ) -> Result<(Words, Option<EncoderInput>, Tensor)> {
        let missing = || Error::task("a question is missing from its set");
        let texts = places.iter().map(|&place| self.questions.get(place).map(Vec::as_slice));
        let words = Words::of(&texts.collect::<Option<Vec<_>>>().ok_or_else(missing)?)?;
        let (mut rows, mut known) = (Vec::new(), HashMap::new());
        let mut sources = Vec::with_capacity(places.len());
        for &place in places {
            let row = self.set.questions.get(place).ok_or_else(missing)?.picture;
            sources.push(*known.entry(row).or_insert_with(|| {
                rows.push(row);
                rows.len() as u32 - 1
            }));
        }
        let pictures = if self.sees { Some(self.set.pictures.input_through(&rows, view)?) } else { None };
        Ok((words, pictures, Tensor::new(sources, &Device::Cpu)?))
    }

    /// What the questions in these places are to be chosen from; nothing where no choices are read or none has any.
    fn choices(&self, places: &[usize]) -> Result<Option<ChoiceBatch>> {
        let own = |(row, &place): (usize, &usize)| {
            let texts = self.choices.get(place).filter(|texts| !texts.is_empty())?;
            let one = self.set.questions.get(place)?;
            let right = one.choices.iter().position(|choice| one.answers.contains(choice))?;
            Some((row as u32, texts, right as u32))
        };
        let found: Vec<_> = places.iter().enumerate().filter_map(own).collect();
        if found.is_empty() {
            return Ok(None);
        }
        let device = &Device::Cpu;
        let rows = Tensor::new(found.iter().map(|(row, ..)| *row).collect::<Vec<_>>(), device)?;
        let targets = Tensor::new(found.iter().map(|(.., right)| *right).collect::<Vec<_>>(), device)?;
        let (words, mask) = choice_words(&found.iter().map(|(_, texts, _)| texts.as_slice()).collect::<Vec<_>>())?;
        Ok(Some(ChoiceBatch { rows, words, mask, targets }))
    }
}

/// The choices of R questions with as many places K as the most have, and a mask (R, K): 0, and −10⁴ where a row is only filled.
pub(super) fn choice_words(of_questions: &[&[Vec<u32>]]) -> Result<(Words, Tensor)> {
    let most = of_questions.iter().map(|texts| texts.len()).max().unwrap_or(0);
    let texts = of_questions.iter().flat_map(|texts| {
        let of = |place: usize| texts.get(place).map_or(&[][..], Vec::as_slice);
        (0..most).map(of)
    });
    let words = Words::of(&texts.collect::<Vec<_>>())?;
    let mask =
        of_questions.iter().flat_map(|texts| (0..most).map(|place| if place < texts.len() { 0.0f32 } else { -1e4 }));
    let mask = Tensor::from_vec(mask.collect::<Vec<_>>(), (of_questions.len(), most), &Device::Cpu)?;
    Ok((words, mask))
}
