//! Captioned pictures and the scores of captions of them.

use crate::caption::Caption;
use crate::{Error, Result};
use candlewick_data::captions::ImageId;
use candlewick_data::scenes::{self, Scene};
use candlewick_data::text::scripts::spaced;
use candlewick_encoders::Preprocessing;
use candlewick_metrics::caption::coco;
use candlewick_training::Scores;
use candlewick_vision::{AttentionMap, PictureSource, retained};
use image::RgbImage;
use rayon::prelude::*;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Pictures with the captions that people, or a grammar, gave them.
pub struct CaptionDataset {
    /// What result files call each picture.
    pub names: Vec<ImageId>,
    /// The pictures.
    pub pictures: PictureSource,
    /// The captions of each picture.
    pub references: Vec<Vec<String>>,
}

impl CaptionDataset {
    /// Drawn scenes as a set.
    pub fn scenes(scenes: Vec<Scene>, preprocessing: Preprocessing) -> Self {
        let draw = |scene: Scene| {
            let picture = scene.draw();
            (scene, picture)
        };
        Self::drawn(scenes.into_par_iter().map(draw).collect(), preprocessing)
    }

    /// Scenes with their pictures as a set.
    pub(crate) fn drawn(scenes: Vec<(Scene, RgbImage)>, preprocessing: Preprocessing) -> Self {
        Self {
            names: (0..scenes.len()).map(|index| ImageId::Text(format!("scene-{index:05}"))).collect(),
            references: scenes.iter().map(|(scene, _)| vec![scene.caption.clone()]).collect(),
            pictures: PictureSource::Scenes(scenes, preprocessing),
        }
    }

    /// The pictures' names as the COCO scorer takes them.
    pub(crate) fn coco_ids(&self) -> impl Iterator<Item = coco::ImageId> {
        self.names.iter().map(|name| match name {
            ImageId::Number(number) => coco::ImageId::Number(*number),
            ImageId::Text(text) => coco::ImageId::Name(text.clone()),
        })
    }

    /// References and results of the first pictures as the COCO scorer takes them.
    pub(crate) fn coco(&self, captions: &[Caption]) -> (coco::References, Vec<coco::Caption>) {
        let named = self.coco_ids().zip(&self.references);
        let references: BTreeMap<_, _> = named.map(|(id, captions)| (id, captions.clone())).collect();
        let told = self.coco_ids().zip(captions);
        let results =
            told.map(|(image_id, caption)| coco::Caption { image_id, caption: caption.text.clone() }).collect();
        (references, results)
    }

    /// The COCO scorer's scores of captions of the first pictures.
    ///
    /// In scripts that are written without spaces each character counts as a word; the COCO scorer would take a sentence for one.
    pub(crate) fn coco_scores(&self, captions: &[Caption]) -> Result<coco::Scores> {
        let (mut references, mut results) = self.coco(captions);
        let texts = references.values_mut().flatten().chain(results.iter_mut().map(|result| &mut result.caption));
        for text in texts {
            if let Cow::Owned(apart) = spaced(text) {
                *text = apart;
            }
        }
        coco::evaluate(&references, &results).map_err(Error::task)
    }

    /// The names of [`Self::scores`], in their order.
    pub fn score_names(&self) -> Vec<&'static str> {
        match &self.pictures {
            PictureSource::Scenes(..) => vec!["exact_match", "pointing"],
            _ => vec!["CIDEr", "Bleu_4", "Bleu_3", "Bleu_2", "Bleu_1", "METEOR_exact_stem", "ROUGE_L", "distinct"],
        }
    }

    /// The scores of captions of the first pictures: for scenes exact match and pointing, for photos the COCO scorer's.
    ///
    /// # Errors
    /// When there are no captions.
    pub fn scores(&self, captions: &[Caption]) -> Result<Scores> {
        if let PictureSource::Scenes(scenes, _) = &self.pictures {
            return Ok([("exact_match", exact_match(scenes, captions)), ("pointing", pointing(scenes, captions))]
                .into_iter()
                .collect());
        }
        let overall = self.coco_scores(captions)?.overall;
        let texts: Vec<&str> = captions.iter().map(|caption| caption.text.as_str()).collect();
        Ok([
            ("CIDEr", overall.cider),
            ("Bleu_4", overall.bleu_4),
            ("Bleu_3", overall.bleu_3),
            ("Bleu_2", overall.bleu_2),
            ("Bleu_1", overall.bleu_1),
            (overall.meteor.name(), overall.meteor.value()),
            ("ROUGE_L", overall.rouge_l),
            ("distinct", coco::distinct(&texts)),
        ]
        .into_iter()
        .collect())
    }

    /// The set without the rows for which `keep` says no.
    pub(crate) fn retain(self, keep: impl Fn(usize) -> bool) -> Self {
        Self {
            names: retained(self.names, &keep),
            references: retained(self.references, &keep),
            pictures: self.pictures.retain(&keep),
        }
    }
}

/// The share of scenes whose caption is right word for word.
fn exact_match(scenes: &[(Scene, RgbImage)], captions: &[Caption]) -> f64 {
    let right = scenes.iter().zip(captions).filter(|((scene, _), caption)| scene.caption == caption.text).count();
    right as f64 / captions.len().max(1) as f64
}

/// How often the attention's peak, at the word for a shape, lies in that shape's box; a wrong word counts as a miss.
fn pointing(scenes: &[(Scene, RgbImage)], captions: &[Caption]) -> f64 {
    let (mut hits, mut all) = (0usize, 0usize);
    for ((scene, _), caption) in scenes.iter().zip(captions) {
        let told: Vec<&str> = scene.caption.split_whitespace().collect();
        for (index, bounds) in scene.pointers() {
            all += 1;
            let Some(word) = caption.words.get(index).filter(|word| told.get(index) == Some(&word.text.as_str()))
            else {
                continue;
            };
            let Some((x, y)) = word.attention.as_ref().map(AttentionMap::peak) else { continue };
            hits += usize::from(bounds.contains(x * scenes::SIZE as f32, y * scenes::SIZE as f32));
        }
    }
    hits as f64 / all.max(1) as f64
}
