//! Captioners that tell as one.

use crate::captioner::{Caption, Captioner};
use crate::decoder::{AnyDecoder, AnyMemory};
use crate::seen::Seen;
use crate::{Error, Result};
use candlewick_data::words::WordTokenizer;
use candlewick_encoders::Preprocessing;
use candlewick_recurrent::decoding::{self, GenerationConfig, generate};
use image::RgbImage;

/// What captions pictures: one [`Captioner`], or several as one.
pub trait Describe {
    /// The `num_return_sequences` best captions of each picture, best first.
    ///
    /// # Errors
    /// When a picture is too small, preprocessing leaves the pictures at different sizes, or a setting makes no sense.
    fn n_best(&self, pictures: &[RgbImage], generation: &GenerationConfig) -> Result<Vec<Vec<Caption>>>;

    /// The same of what was seen in pictures, wherever it comes from.
    ///
    /// # Errors
    /// When the shapes do not fit, or a setting makes no sense.
    fn n_best_of(&self, seen: &Seen, generation: &GenerationConfig) -> Result<Vec<Vec<Caption>>>;

    /// How the model's own folder says that captions are generated.
    fn generation(&self) -> &GenerationConfig;

    /// What is done to a picture before the encoder sees it.
    fn preprocessing(&self) -> &Preprocessing;

    /// The words that it knows.
    fn tokenizer(&self) -> &WordTokenizer;

    /// C, where it looks at regions of C features from a file; nothing where it looks at pictures.
    fn regions(&self) -> Option<usize>;
}

impl Describe for Captioner {
    fn n_best(&self, pictures: &[RgbImage], generation: &GenerationConfig) -> Result<Vec<Vec<Caption>>> {
        Captioner::n_best(self, pictures, generation)
    }

    fn n_best_of(&self, seen: &Seen, generation: &GenerationConfig) -> Result<Vec<Vec<Caption>>> {
        self.describe(seen, generation)
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

    fn regions(&self) -> Option<usize> {
        self.config.encoder.regions
    }
}

/// M captioners whose probabilities of each next word are averaged: p(y) = 1/M Σ_m p_m(y).
///
/// They may have different encoders and decoders, but must know the same words. Attention maps are averaged where all have maps of
/// one shape; settings of decoding are the first one's. [`Ensemble::mirrored`] lets even one captioner look twice.
pub struct Ensemble {
    first: Captioner,
    others: Vec<Captioner>,
    mirrored: bool,
}

impl Ensemble {
    /// Puts captioners together.
    ///
    /// # Errors
    /// When there is none, they know different words, or some look at regions from a file and others do not.
    pub fn new(members: Vec<Captioner>) -> Result<Self> {
        let mut members = members.into_iter();
        let first = members.next().ok_or_else(|| Error::Config("an ensemble needs at least one captioner".into()))?;
        let others: Vec<Captioner> = members.collect();
        if others.iter().any(|other| other.tokenizer() != first.tokenizer()) {
            let fault = "the captioners of an ensemble know different words; take models that were trained on one set of captions";
            return Err(Error::Config(fault.into()));
        }
        if others.iter().any(|other| other.config.encoder.regions != first.config.encoder.regions) {
            let fault = "the captioners of an ensemble look at pictures, or all at regions of one size; take models of one kind";
            return Err(Error::Config(fault.into()));
        }
        Ok(Self { first, others, mirrored: false })
    }

    /// The same captioners, each of which looks at every picture twice, as it is and mirrored.
    ///
    /// What they say of left and right is averaged like all else.
    ///
    /// # Errors
    /// When a member looks at regions from a file, or was trained with coordinates, which a mirror image contradicts.
    pub fn mirrored(self) -> Result<Self> {
        let unfit = |member: &Captioner| {
            let encoder = &member.config.encoder;
            encoder.coordinates || encoder.regions.is_some()
        };
        if self.members().any(unfit) {
            let fault = "mirrored: a captioner that knows where its annotations lie, or looks at regions from a file, cannot look at mirror images; leave it out";
            return Err(Error::Config(fault.into()));
        }
        Ok(Self { mirrored: true, ..self })
    }

    fn members(&self) -> impl Iterator<Item = &Captioner> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// What these decoders tell as one of their memories of `count` pictures.
    fn told(
        &self,
        decoders: Vec<AnyDecoder>,
        memories: &Vec<AnyMemory>,
        (count, shape): (usize, (usize, usize)),
        generation: &GenerationConfig,
    ) -> Result<Vec<Vec<Caption>>> {
        let together = decoding::Ensemble::new(decoders)?;
        self.first.tell(generate(&together, memories, count, &self.first.said(generation))?, shape)
    }
}

impl Describe for Ensemble {
    fn n_best(&self, pictures: &[RgbImage], generation: &GenerationConfig) -> Result<Vec<Vec<Caption>>> {
        if pictures.is_empty() {
            return Ok(Vec::new());
        }
        let mut looks: Vec<(&Captioner, Seen)> = Vec::new();
        let (mut decoders, mut memories): (Vec<AnyDecoder>, Vec<AnyMemory>) = (Vec::new(), Vec::new());
        for mirrored in [false, true].into_iter().take(if self.mirrored { 2 } else { 1 }) {
            let before = looks.len();
            for member in self.members() {
                // Members that share an encoder look at the pictures once.
                let known = looks[before..].iter().find(|(other, _)| other.sees_like(member));
                let seen = match known {
                    Some((_, seen)) => seen.clone(),
                    None if mirrored => member.look_mirrored(pictures)?,
                    None => member.look(pictures)?,
                };
                memories.push(member.memory(&seen)?);
                decoders.push(member.decoder.clone());
                looks.push((member, seen));
            }
        }
        let map = looks.first().map_or((0, 0), |(_, seen)| seen.map());
        self.told(decoders, &memories, (pictures.len(), map), generation)
    }

    fn n_best_of(&self, seen: &Seen, generation: &GenerationConfig) -> Result<Vec<Vec<Caption>>> {
        let memory = |member: &Captioner| member.memory(seen);
        let memories = self.members().map(memory).collect::<Result<Vec<_>>>()?;
        let decoders = self.members().map(|member| member.decoder.clone()).collect();
        self.told(decoders, &memories, (seen.annotations().dim(0)?, seen.map()), generation)
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

    fn regions(&self) -> Option<usize> {
        self.first.config.encoder.regions
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::captioner::FreshCaptioner;
    use crate::config::EncoderConfig;
    use candle_core::Device;
    use candlewick_data::captions::Split;
    use candlewick_data::scenes::Scene;
    use image::imageops;

    fn captioner() -> Captioner {
        let settings = FreshCaptioner {
            encoder: EncoderConfig { network: "convnet".into(), ..EncoderConfig::default() },
            preprocessing: Preprocessing { size: None, crop: Some((64, 64)), ..Preprocessing::imagenet() },
            seed: 3,
            ..FreshCaptioner::default()
        };
        let tokenizer = WordTokenizer::train(["a word and another one"], 1).unwrap();
        Captioner::fresh(settings, tokenizer, None, &Device::Cpu).unwrap()
    }

    fn picture() -> RgbImage {
        imageops::crop_imm(&Scene::generate(1, 0, Split::Dev).draw(), 0, 0, 64, 64).to_image()
    }

    #[test]
    fn a_mirrored_look_has_each_annotation_at_its_own_place() {
        let (captioner, picture) = (captioner(), picture());
        let seen = captioner.look(std::slice::from_ref(&picture)).unwrap();
        let mirrored = captioner.look_mirrored(&[imageops::flip_horizontal(&picture)]).unwrap();
        let rows = |seen: &Seen| seen.annotations().get(0).unwrap().to_vec2::<f32>().unwrap();
        let (height, width) = seen.map();
        let (seen, mirrored) = (rows(&seen), rows(&mirrored));
        assert!(width > 1);
        for (p, annotation) in seen.iter().enumerate() {
            let (y, x) = (p / width, p % width);
            assert_eq!(*annotation, mirrored[y * width + width - 1 - x], "{height} × {width}: {y}, {x}");
        }
    }

    #[test]
    fn a_picture_that_is_its_own_mirror_image_is_told_alike() {
        let mut picture = picture();
        let half = imageops::crop_imm(&picture, 0, 0, 32, 64).to_image();
        imageops::replace(&mut picture, &imageops::flip_horizontal(&half), 32, 0);
        let generation = GenerationConfig::beam(3);
        let told = |ensemble: &dyn Describe, picture: &RgbImage| {
            ensemble.n_best(std::slice::from_ref(picture), &generation).unwrap()[0][0].clone()
        };
        let once = told(&captioner(), &picture);
        let twice = told(&Ensemble::new(vec![captioner()]).unwrap().mirrored().unwrap(), &picture);
        assert_eq!(once.text, twice.text);
        assert!((once.score - twice.score).abs() < 1e-5);
    }
}
