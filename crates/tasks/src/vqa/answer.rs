//! Questions in, answers out.

use super::batch::choice_words;
use super::model::VqaModel;
use super::network::{Joined, Looked};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use candlewick_kernels::softmax::softmax;
use candlewick_parameters::Mode;
use candlewick_vision::AttentionMap;
use image::RgbImage;

/// A question about a picture.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The picture; a model that sees none does not look at it.
    pub picture: &'a RgbImage,
    /// The question.
    pub question: &'a str,
    /// What the answer is one of; empty where it is open.
    pub choices: &'a [String],
}

/// What is answered to a question.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Answered {
    /// The choices, or the known answers where there are none, the likeliest first.
    pub answers: Vec<String>,
    /// How probable each of them is; they sum to 1.
    pub probabilities: Vec<f32>,
    /// Where each hop of attention looked.
    pub alpha: Vec<AttentionMap>,
}

impl VqaModel {
    /// Answers questions about pictures, all as one batch.
    ///
    /// # Errors
    /// When a question has no words, a choice is neither a known answer nor can it be read, a choice comes twice or alone, a picture is too
    /// small for the encoder, or preprocessing leaves pictures at different sizes.
    pub fn answer(&self, asks: &[Ask<'_>]) -> Result<Vec<Answered>> {
        if asks.is_empty() {
            return Ok(Vec::new());
        }
        asks.iter().try_for_each(|ask| self.check_choices(ask.choices))?;
        let questions = self.words(asks.iter().map(|ask| ask.question))?;
        let looked = match &self.encoder {
            Some(encoder) => {
                let pictures: Vec<RgbImage> = asks.iter().map(|ask| ask.picture.clone()).collect();
                let sources = Tensor::arange(0u32, asks.len() as u32, self.device())?;
                Some(Looked { annotations: encoder.encode_pictures(&pictures)?, sources })
            }
            None => None,
        };
        let joined = self.joined(&questions, looked.as_ref())?;
        let choices: Vec<&[String]> = asks.iter().map(|ask| ask.choices).collect();
        let told = self.told(&joined, &choices)?;
        let mut alpha = self.maps(&joined, looked.as_ref())?.into_iter();
        let answered = told.into_iter().zip(&choices).map(|(told, choices)| {
            let probabilities = told.of_choices.unwrap_or(told.of_answers);
            let names: Vec<&str> = match choices.is_empty() {
                true => self.known_answers().collect(),
                false => choices.iter().map(String::as_str).collect(),
            };
            let mut order: Vec<(&str, f32)> = names.into_iter().zip(probabilities).collect();
            // The sort is stable: of equal probabilities the first answer comes first.
            order.sort_by(|a, b| b.1.total_cmp(&a.1));
            let (answers, probabilities) = order.into_iter().map(|(name, p)| (name.to_owned(), p)).unzip();
            Answered { answers, probabilities, alpha: alpha.next().unwrap_or_default() }
        });
        Ok(answered.collect())
    }

    /// Refuses choices of which none could be taken.
    fn check_choices(&self, choices: &[String]) -> Result<()> {
        let fault = |fault: String| Err(Error::Setting(fault));
        if let [only] = choices {
            return fault(format!("choices: {only:?} is the only one; give two at least, or none for an open answer"));
        }
        if let Some((_, twice)) = choices.iter().enumerate().find(|(at, choice)| choices[..*at].contains(choice)) {
            return fault(format!("choices: {twice:?} comes twice; leave one out"));
        }
        let unreadable = |choice: &&String| match self.network.reads_choices() {
            true => self.tokenizer.encode(choice).is_ok_and(|ids| ids.is_empty()),
            false => self.answer_number(choice).is_none(),
        };
        match choices.iter().find(unreadable) {
            Some(choice) if self.network.reads_choices() => fault(format!("choices: {choice:?} has no words; name it")),
            Some(choice) => fault(format!(
                "choices: {choice:?} is none of the {} answers that the model knows; leave it out, or take a model that reads choices \
                 (model.read_choices = true)",
                self.config.id2label.len()
            )),
            None => Ok(()),
        }
    }

    /// The probabilities of the known answers and, of questions that have choices, of these; where no choices are read, one that is no
    /// known answer has 0.
    pub(super) fn told(&self, joined: &Joined, choices: &[&[String]]) -> Result<Vec<Told>> {
        let rows = self.network.logits(joined)?.to_device(&Device::Cpu)?;
        let probabilities = softmax(&rows, 1)?.to_vec2::<f32>()?;
        if probabilities.iter().flatten().any(|told| !told.is_finite()) {
            let fault = "the network's logits hold NaN or an infinity; its weights are broken";
            return Err(Error::NotNumbers(fault.into()));
        }
        let mut read = self.read_choices(joined, choices)?.into_iter();
        let told = probabilities.into_iter().zip(choices).map(|(of_answers, choices)| {
            let of_choices = match choices.is_empty() {
                true => None,
                false if self.network.reads_choices() => read.next(),
                false => Some(self.among(&of_answers, choices)),
            };
            Told { of_answers, of_choices }
        });
        Ok(told.collect())
    }

    /// The probabilities of known answers as those of choices that sum to 1.
    fn among(&self, of_answers: &[f32], choices: &[String]) -> Vec<f32> {
        let of = |choice: &String| {
            self.answer_number(choice).and_then(|number| of_answers.get(number as usize).copied()).unwrap_or(0.0)
        };
        let own: Vec<f32> = choices.iter().map(of).collect();
        let sum = own.iter().sum::<f32>().max(f32::MIN_POSITIVE);
        own.into_iter().map(|probability| probability / sum).collect()
    }

    /// The probabilities of choices that are read, of the questions that have some, in their order; nothing where none are read.
    fn read_choices(&self, joined: &Joined, choices: &[&[String]]) -> Result<Vec<Vec<f32>>> {
        let with: Vec<(u32, &[String])> =
            (0u32..).zip(choices.iter().copied()).filter(|(_, choices)| !choices.is_empty()).collect();
        if with.is_empty() || !self.network.reads_choices() {
            return Ok(Vec::new());
        }
        let encode = |choices: &[String]| choices.iter().map(|choice| Ok(self.tokenizer.encode(choice)?)).collect();
        let texts = with.iter().map(|(_, choices)| encode(choices)).collect::<Result<Vec<Vec<Vec<u32>>>>>()?;
        let (words, mask) = choice_words(&texts.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        let rows = Tensor::new(with.iter().map(|(row, _)| *row).collect::<Vec<_>>(), self.device())?;
        let words = words.to_device(self.device())?;
        let scores = self.network.choice_scores(joined, &rows, &words, &mut Mode::Eval)?;
        let scores = (scores.to_device(&Device::Cpu)? + mask)?;
        let mut probabilities = softmax(&scores, 1)?.to_vec2::<f32>()?;
        probabilities.iter_mut().zip(&with).for_each(|(row, (_, choices))| row.truncate(choices.len()));
        Ok(probabilities)
    }

    /// Where each hop looked, for each question.
    pub(super) fn maps(&self, joined: &Joined, looked: Option<&Looked>) -> Result<Vec<Vec<AttentionMap>>> {
        let Some(looked) = looked else { return Ok(Vec::new()) };
        let (height, width) = looked.annotations.grid_size();
        let mut maps = vec![Vec::new(); looked.sources.dim(0)?];
        for hop in &joined.alpha {
            for (own, weights) in maps.iter_mut().zip(hop.to_vec2::<f32>()?) {
                own.push(AttentionMap { height, width, weights });
            }
        }
        Ok(maps)
    }
}

/// What the network says of a question.
pub(super) struct Told {
    /// How probable the known answers are.
    pub of_answers: Vec<f32>,
    /// How probable the choices are, where there are some.
    pub of_choices: Option<Vec<f32>>,
}
