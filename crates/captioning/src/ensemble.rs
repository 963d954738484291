//! Ensembles of captioners.

use crate::caption::Caption;
use crate::captioner::Captioner;
use crate::{Error, Result};
use candle_core::Tensor;
use candlewick_data::text::words::WordTokenizer;
use candlewick_encoders::Preprocessing;
use candlewick_generation::{DecoderEnsemble, GenerationConfig, generate};
use candlewick_recurrent::decoders::{AnyDecoder, AnyMemory};
use candlewick_vision::Annotations;
use image::{RgbImage, imageops};

/// A picture as the encoders of a captioner want it: an input (3, height, width) for each.
#[derive(Clone, Debug)]
pub struct PreprocessedPicture(Vec<Tensor>);

impl PreprocessedPicture {
    /// The inputs of one encoder as a batch (N, 3, height, width).
    fn batch(pictures: &[Self], encoder: usize) -> Result<Tensor> {
        let images: Vec<&Tensor> = pictures.iter().filter_map(|picture| picture.0.get(encoder)).collect();
        Ok(Tensor::stack(&images, 0)?)
    }
}

/// What captions pictures: one [`Captioner`], or several as one.
pub trait CaptionPictures: Send + Sync {
    /// The `num_return_sequences` best captions of each picture, best first.
    ///
    /// # Errors
    /// When a picture is too small, preprocessing leaves the pictures at different sizes, or a setting makes no sense.
    fn n_best(&self, pictures: &[RgbImage], generation: &GenerationConfig) -> Result<Vec<Vec<Caption>>> {
        let pictures = pictures.iter().map(|picture| self.preprocess(picture)).collect::<Result<Vec<_>>>()?;
        self.n_best_preprocessed(&pictures, generation)
    }

    /// What of a picture the encoders see: a small image each, for which the picture itself need not be kept.
    ///
    /// # Errors
    /// When the picture is empty, or of too extreme a shape.
    fn preprocess(&self, picture: &RgbImage) -> Result<PreprocessedPicture>;

    /// [`CaptionPictures::n_best`] of pictures that were prepared.
    ///
    /// # Errors
    /// As [`CaptionPictures::n_best`] says.
    fn n_best_preprocessed(
        &self,
        pictures: &[PreprocessedPicture],
        generation: &GenerationConfig,
    ) -> Result<Vec<Vec<Caption>>>;

    /// The same of what was seen in pictures, wherever it comes from.
    ///
    /// # Errors
    /// When the shapes do not fit, or a setting makes no sense.
    fn n_best_of(&self, annotations: &Annotations, generation: &GenerationConfig) -> Result<Vec<Vec<Caption>>>;

    /// How the model's own folder says that captions are generated.
    fn generation(&self) -> &GenerationConfig;

    /// What is done to a picture before the encoder sees it.
    fn preprocessing(&self) -> &Preprocessing;

    /// The words that it knows.
    fn tokenizer(&self) -> &WordTokenizer;

    /// C, where it looks at regions of C features from a file; nothing where it looks at pictures.
    fn regions(&self) -> Option<usize>;
}

impl CaptionPictures for Captioner {
    fn preprocess(&self, picture: &RgbImage) -> Result<PreprocessedPicture> {
        Ok(PreprocessedPicture(vec![self.encoder().preprocess(picture)?]))
    }

    fn n_best_preprocessed(
        &self,
        pictures: &[PreprocessedPicture],
        generation: &GenerationConfig,
    ) -> Result<Vec<Vec<Caption>>> {
        if pictures.is_empty() {
            return Ok(Vec::new());
        }
        self.caption_annotations(&self.encoder().encode(&PreprocessedPicture::batch(pictures, 0)?)?, generation)
    }

    fn n_best_of(&self, annotations: &Annotations, generation: &GenerationConfig) -> Result<Vec<Vec<Caption>>> {
        self.caption_annotations(annotations, generation)
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
        let first = members.next().ok_or_else(|| Error::Setting("an ensemble needs at least one captioner".into()))?;
        let others: Vec<Captioner> = members.collect();
        if others.iter().any(|other| other.tokenizer() != first.tokenizer()) {
            let fault = "the captioners of an ensemble know different words; take models that were trained on one set of captions";
            return Err(Error::Setting(fault.into()));
        }
        if others.iter().any(|other| other.config.encoder.regions != first.config.encoder.regions) {
            let fault = "the captioners of an ensemble look at pictures, or all at regions of one size; take models of one kind";
            return Err(Error::Setting(fault.into()));
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
            return Err(Error::Setting(fault.into()));
        }
        Ok(Self { mirrored: true, ..self })
    }

    /// The different looks at a picture (by whom, and whether at its mirror image), and each member's with the look that it takes:
    /// members that share an encoder look once.
    fn looks(&self) -> (Vec<(&Captioner, bool)>, Vec<(&Captioner, usize)>) {
        let (mut looks, mut of_members): (Vec<(&Captioner, bool)>, Vec<(&Captioner, usize)>) = (Vec::new(), Vec::new());
        for mirrored in [false, true].into_iter().take(if self.mirrored { 2 } else { 1 }) {
            for member in self.members() {
                let same = |(other, way): &(&Captioner, bool)| {
                    *way == mirrored && other.encoder().shares_encoder(member.encoder())
                };
                let at = looks.iter().position(same).unwrap_or(looks.len());
                if at == looks.len() {
                    looks.push((member, mirrored));
                }
                of_members.push((member, at));
            }
        }
        (looks, of_members)
    }

    fn members(&self) -> impl Iterator<Item = &Captioner> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The captions of these decoders' mean, of their memories of `count` pictures.
    fn generate(
        &self,
        decoders: Vec<AnyDecoder>,
        memories: &Vec<AnyMemory>,
        count: usize,
        grid: (usize, usize),
        generation: &GenerationConfig,
    ) -> Result<Vec<Vec<Caption>>> {
        let decoder = DecoderEnsemble::new(decoders)?;
        let generation = self.first.with_special_words_banned(generation);
        self.first.finish(generate(&decoder, memories, count, &generation)?, grid)
    }
}

impl CaptionPictures for Ensemble {
    fn preprocess(&self, picture: &RgbImage) -> Result<PreprocessedPicture> {
        let flipped = self.mirrored.then(|| imageops::flip_horizontal(picture));
        let image = |&(member, mirrored): &(&Captioner, bool)| {
            let picture = flipped.as_ref().filter(|_| mirrored).unwrap_or(picture);
            Ok(member.encoder().preprocess(picture)?)
        };
        Ok(PreprocessedPicture(self.looks().0.iter().map(image).collect::<Result<_>>()?))
    }

    fn n_best_preprocessed(
        &self,
        pictures: &[PreprocessedPicture],
        generation: &GenerationConfig,
    ) -> Result<Vec<Vec<Caption>>> {
        if pictures.is_empty() {
            return Ok(Vec::new());
        }
        let (looks, of_members) = self.looks();
        let seen = |(at, &(member, mirrored)): (usize, &(&Captioner, bool))| {
            let images = PreprocessedPicture::batch(pictures, at)?;
            let encoder = member.encoder();
            if mirrored { Ok(encoder.encode_flipped(&images)?) } else { Ok(encoder.encode(&images)?) }
        };
        let seen: Vec<Annotations> = looks.iter().enumerate().map(seen).collect::<Result<_>>()?;
        let (mut decoders, mut memories): (Vec<AnyDecoder>, Vec<AnyMemory>) = (Vec::new(), Vec::new());
        for (member, at) in of_members {
            memories.push(member.memory(&seen[at])?);
            decoders.push(member.decoder.clone());
        }
        let grid = seen.first().map_or((0, 0), Annotations::grid_size);
        self.generate(decoders, &memories, pictures.len(), grid, generation)
    }

    fn n_best_of(&self, annotations: &Annotations, generation: &GenerationConfig) -> Result<Vec<Vec<Caption>>> {
        let memory = |member: &Captioner| member.memory(annotations);
        let memories = self.members().map(memory).collect::<Result<Vec<_>>>()?;
        let decoders = self.members().map(|member| member.decoder.clone()).collect();
        self.generate(decoders, &memories, annotations.tensor().dim(0)?, annotations.grid_size(), generation)
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
    use crate::captioner::CaptionerInit;
    use candle_core::Device;
    use candlewick_data::captions::Split;
    use candlewick_data::scenes::Scene;
    use candlewick_vision::EncoderConfig;

    fn captioner() -> Captioner {
        let settings = CaptionerInit {
            encoder: EncoderConfig { network: "convnet".into(), ..EncoderConfig::default() },
            preprocessing: Preprocessing { size: None, crop: Some((64, 64)), ..Preprocessing::imagenet() },
            seed: 3,
            ..CaptionerInit::default()
        };
        let tokenizer = WordTokenizer::train(["a word and another one"], 1).unwrap();
        Captioner::init(settings, tokenizer, None, &Device::Cpu).unwrap()
    }

    fn picture() -> RgbImage {
        imageops::crop_imm(&Scene::generate(1, 0, Split::Dev).draw(), 0, 0, 64, 64).to_image()
    }

    #[test]
    fn a_mirrored_look_has_each_annotation_at_its_own_place() {
        let (captioner, picture) = (captioner(), picture());
        let images = PreprocessedPicture::batch(&[captioner.preprocess(&picture).unwrap()], 0).unwrap();
        let seen = captioner.encoder().encode(&images).unwrap();
        let mirrored = captioner.encoder().encode_flipped(&images).unwrap();
        let rows = |seen: &Annotations| seen.tensor().get(0).unwrap().to_vec2::<f32>().unwrap();
        let (height, width) = seen.grid_size();
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
        let told = |ensemble: &dyn CaptionPictures, picture: &RgbImage| {
            ensemble.n_best(std::slice::from_ref(picture), &generation).unwrap()[0][0].clone()
        };
        let once = told(&captioner(), &picture);
        let twice = told(&Ensemble::new(vec![captioner()]).unwrap().mirrored().unwrap(), &picture);
        assert_eq!(once.text, twice.text);
        assert!((once.score - twice.score).abs() < 1e-5);
    }
}
