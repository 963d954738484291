//! Captioners that tell as one.

use crate::captioner::{Caption, Captioner};
use crate::decoder::{AnyDecoder, AnyMemory, CaptionDecoder as _};
use crate::{Error, Result};
use candle_core::Tensor;
use candlewick_data::words::WordTokenizer;
use candlewick_encoders::Preprocessing;
use candlewick_parameters::Mode;
use candlewick_recurrent::decoding::{self, GenerationConfig, generate};
use image::RgbImage;

/// What captions pictures: one [`Captioner`], or several as one.
pub trait Describe {
    /// The `num_return_sequences` best captions of each picture, best first.
    ///
    /// # Errors
    /// When a picture is too small, preprocessing leaves the pictures at different sizes, or a setting makes no sense.
    fn n_best(&self, pictures: &[RgbImage], generation: &GenerationConfig) -> Result<Vec<Vec<Caption>>>;

    /// How the model's own folder says that captions are generated.
    fn generation(&self) -> &GenerationConfig;

    /// What is done to a picture before the encoder sees it.
    fn preprocessing(&self) -> &Preprocessing;

    /// The words that it knows.
    fn tokenizer(&self) -> &WordTokenizer;
}

impl Describe for Captioner {
    fn n_best(&self, pictures: &[RgbImage], generation: &GenerationConfig) -> Result<Vec<Vec<Caption>>> {
        Captioner::n_best(self, pictures, generation)
    }

    fn generation(&self) -> &GenerationConfig {
        Captioner::generation(self)
    }

    fn preprocessing(&self) -> &Preprocessing {
        Captioner::preprocessing(self)
    }

    fn tokenizer(&self) -> &WordTokenizer {
        Captioner::tokenizer(self)
    }
}

/// M captioners whose probabilities of each next word are averaged: p(y) = 1/M Σ_m p_m(y).
///
/// They may have different encoders and decoders, but must know the same words. Attention maps are averaged where all have maps of
/// one shape; settings of decoding are the first one's.
pub struct Ensemble {
    first: Captioner,
    others: Vec<Captioner>,
}

impl Ensemble {
    /// Puts captioners together.
    ///
    /// # Errors
    /// When there is none, or they know different words.
    pub fn new(members: Vec<Captioner>) -> Result<Self> {
        let mut members = members.into_iter();
        let first = members.next().ok_or_else(|| Error::Config("an ensemble needs at least one captioner".into()))?;
        let others: Vec<Captioner> = members.collect();
        if others.iter().any(|other| other.tokenizer() != first.tokenizer()) {
            let fault = "the captioners of an ensemble know different words; take models that were trained on one set of captions";
            return Err(Error::Config(fault.into()));
        }
        Ok(Self { first, others })
    }

    fn members(&self) -> impl Iterator<Item = &Captioner> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl Describe for Ensemble {
    fn n_best(&self, pictures: &[RgbImage], generation: &GenerationConfig) -> Result<Vec<Vec<Caption>>> {
        if pictures.is_empty() {
            return Ok(Vec::new());
        }
        let mut seen: Vec<(&Captioner, Tensor, (usize, usize))> = Vec::new();
        let mut memories: Vec<AnyMemory> = Vec::new();
        for member in self.members() {
            // Members that share an encoder look at the pictures once.
            let known = seen.iter().find(|(other, ..)| other.sees_like(member));
            let (annotations, shape) = match known {
                Some((_, annotations, shape)) => (annotations.clone(), *shape),
                None => member.look(pictures)?,
            };
            memories.push(member.decoder.memory(&annotations, &mut Mode::Eval)?);
            seen.push((member, annotations, shape));
        }
        let decoders: Vec<AnyDecoder> = self.members().map(|member| member.decoder.clone()).collect();
        let together = decoding::Ensemble::new(decoders)?;
        let found = generate(&together, &memories, pictures.len(), &self.first.said(generation))?;
        let shape = seen.first().map_or((0, 0), |(_, _, shape)| *shape);
        self.first.tell(found, shape)
    }

    fn generation(&self) -> &GenerationConfig {
        self.first.generation()
    }

    fn preprocessing(&self) -> &Preprocessing {
        self.first.preprocessing()
    }

    fn tokenizer(&self) -> &WordTokenizer {
        self.first.tokenizer()
    }
}
