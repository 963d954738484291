//! Captioned pictures, wherever they come from: drawn scenes, photo files, or annotations that were computed before.

use crate::captioner::{AttentionMap, Caption};
use crate::regions::RegionSet;
use crate::seen::Seen;
use crate::views::View;
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use candlewick_data::captions::ImageId;
use candlewick_data::features::{FeatureCache, PhotoHash};
use candlewick_data::picture::{self, Limits};
use candlewick_data::scenes::{self, Scene};
use candlewick_encoders::Preprocessing;
use candlewick_metrics::coco;
use candlewick_training::Scores;
use image::RgbImage;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Pictures with the captions that people, or a grammar, gave them.
pub struct Set {
    /// What result files call each picture.
    pub names: Vec<ImageId>,
    /// The pictures.
    pub pictures: Pictures,
    /// The captions of each picture.
    pub references: Vec<Vec<String>>,
}

/// Where the pictures of a set come from.
pub enum Pictures {
    /// Scenes and their pictures.
    Scenes(Vec<(Scene, RgbImage)>, Preprocessing),
    /// Decoded when they are needed.
    Photos(Vec<PathBuf>, Preprocessing),
    /// What a frozen encoder saw in photos.
    Features(Features),
    /// What an object detector saw in photos.
    Regions(RegionSet),
}

/// Annotations of photos on disk.
pub struct Features {
    /// The photos.
    pub paths: Vec<PathBuf>,
    /// The photos' hashes, the keys of the cache.
    pub hashes: Vec<PhotoHash>,
    /// The annotations of each view that photos are seen through, the whole first.
    pub caches: Vec<(View, Arc<FeatureCache>)>,
    /// Rows and columns of the encoder's map.
    pub map_shape: (usize, usize),
}

/// What an encoder or a decoder is given, on the CPU.
pub enum Input {
    /// Images (N, 3, height, width) for the encoder.
    Images(Tensor),
    /// What was seen in the pictures, for the decoder.
    Seen(Seen),
}

impl Pictures {
    /// How many pictures there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Scenes(scenes, _) => scenes.len(),
            Self::Photos(paths, _) => paths.len(),
            Self::Features(features) => features.hashes.len(),
            Self::Regions(regions) => regions.paths.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the network is given for the pictures in these rows.
    ///
    /// # Errors
    /// When a photo cannot be read or decoded; the message names it.
    pub fn input(&self, rows: &[usize]) -> Result<Input> {
        self.input_through(rows, &mut || View::WHOLE)
    }

    /// What the network is given for the pictures in these rows, each seen through the view that `view` says next.
    ///
    /// # Errors
    /// When a photo cannot be read or decoded, or annotations of a view are not there; the message names it.
    pub fn input_through(&self, rows: &[usize], view: &mut dyn FnMut() -> View) -> Result<Input> {
        let views: Vec<View> = rows.iter().map(|_| view()).collect();
        let preprocessing = match self {
            Self::Features(features) => return Ok(Input::Seen(features.seen(rows, &views)?)),
            Self::Regions(regions) => return Ok(Input::Seen(regions.seen(rows)?)),
            Self::Scenes(_, preprocessing) | Self::Photos(_, preprocessing) => preprocessing,
        };
        let image = |(&row, view): (&usize, &View)| {
            self.reduced(row, |photo| Ok(preprocessing.apply(&view.of(photo), &Device::Cpu)?))
        };
        let images: Vec<Tensor> = rows.iter().zip(&views).map(image).collect::<Result<_>>()?;
        Ok(Input::Images(Tensor::stack(&images, 0)?))
    }

    /// The picture in this row as it was drawn or decoded.
    ///
    /// # Errors
    /// When a photo cannot be read or decoded; the message names it.
    pub fn photo(&self, row: usize) -> Result<RgbImage> {
        self.reduced(row, Ok)
    }

    /// What `reduce` keeps of the picture in this row; see [`picture::reduced`].
    pub(crate) fn reduced<R>(&self, row: usize, reduce: impl FnOnce(RgbImage) -> Result<R>) -> Result<R> {
        let path = match self {
            Self::Scenes(scenes, _) => return reduce(scenes[row].1.clone()),
            Self::Photos(paths, _) => &paths[row],
            Self::Features(features) => &features.paths[row],
            Self::Regions(regions) => &regions.paths[row],
        };
        picture::reduced(path, &Limits::default(), reduce)
    }

    /// A hash of the pictures in their order: a run is gone on with on the same ones only.
    ///
    /// # Errors
    /// When a photo cannot be read; the message names it.
    pub(crate) fn digest(&self) -> Result<PhotoHash> {
        let of_file = |path: &PathBuf| -> Result<PhotoHash> {
            Ok(PhotoHash::of(&picture::read(path, Limits::default().max_bytes)?))
        };
        let all: Vec<String> = match self {
            Self::Scenes(scenes, _) => scenes.iter().map(|(scene, _)| scene.caption.clone()).collect(),
            Self::Photos(paths, _) => {
                let hash = |path: &PathBuf| of_file(path).map(|hash| hash.to_string());
                paths.par_iter().map(hash).collect::<Result<_>>()?
            }
            Self::Features(features) => features.hashes.iter().map(PhotoHash::to_string).collect(),
            // The file may be larger than what is worth reading twice.
            Self::Regions(regions) => regions.ids.clone(),
        };
        Ok(PhotoHash::of(all.join("\n").as_bytes()))
    }

    /// The name of the file of regions, where the pictures are seen in one.
    pub(crate) fn regions_file(&self) -> Option<String> {
        let Self::Regions(set) = self else { return None };
        set.regions.path().file_name().map(|name| name.to_string_lossy().into_owned())
    }
}

impl Features {
    /// The annotations (N, P, C) of the photos in these rows, a view each.
    fn seen(&self, rows: &[usize], views: &[View]) -> Result<Seen> {
        let shape = self.caches.first().map_or((0, 0), |(_, cache)| cache.shape());
        let stride = shape.0 * shape.1;
        let mut annotations = vec![0.0; rows.len() * stride];
        let jobs = rows.par_iter().zip(views).zip(annotations.par_chunks_mut(stride.max(1)));
        jobs.try_for_each(|((&row, view), into)| -> Result<()> {
            let known = self.caches.iter().find(|(known, _)| known == view);
            let (_, cache) = known.ok_or_else(|| Error::Config(format!("views: no annotations of {view:?}")))?;
            Ok(cache.read_into(&self.hashes[row], into)?)
        })?;
        let annotations = Tensor::from_vec(annotations, (rows.len(), shape.0, shape.1), &Device::Cpu)?;
        Ok(Seen::on_map(annotations, self.map_shape)?)
    }
}

impl Set {
    /// Drawn scenes as a set.
    pub fn scenes(scenes: Vec<Scene>, preprocessing: Preprocessing) -> Self {
        Self {
            names: (0..scenes.len()).map(|index| ImageId::Text(format!("scene-{index:05}"))).collect(),
            references: scenes.iter().map(|scene| vec![scene.caption.clone()]).collect(),
            pictures: Pictures::Scenes(
                scenes
                    .into_par_iter()
                    .map(|scene| {
                        let picture = scene.draw();
                        (scene, picture)
                    })
                    .collect(),
                preprocessing,
            ),
        }
    }

    /// References and results of the first pictures as the COCO scorer takes them.
    pub(crate) fn coco(&self, captions: &[Caption]) -> (coco::References, Vec<coco::Caption>) {
        let id = |name: &ImageId| match name {
            ImageId::Number(number) => coco::ImageId::Number(*number),
            ImageId::Text(text) => coco::ImageId::Name(text.clone()),
        };
        let named = self.names.iter().map(id).zip(&self.references);
        let references: BTreeMap<_, _> = named.map(|(id, captions)| (id, captions.clone())).collect();
        let told = self.names.iter().map(id).zip(captions);
        let results =
            told.map(|(image_id, caption)| coco::Caption { image_id, caption: caption.text.clone() }).collect();
        (references, results)
    }

    /// The names of [`Self::scores`], in their order.
    pub fn score_names(&self) -> Vec<&'static str> {
        match &self.pictures {
            Pictures::Scenes(..) => vec!["exact_match", "pointing"],
            _ => vec!["CIDEr", "Bleu_4", "Bleu_3", "Bleu_2", "Bleu_1", "METEOR", "ROUGE_L", "distinct"],
        }
    }

    /// The scores of captions of the first pictures: for scenes exact match and pointing, for photos the COCO scorer's.
    ///
    /// # Errors
    /// When there are no captions.
    pub fn scores(&self, captions: &[Caption]) -> Result<Scores> {
        if let Pictures::Scenes(scenes, _) = &self.pictures {
            return Ok([("exact_match", exact_match(scenes, captions)), ("pointing", pointing(scenes, captions))]
                .into_iter()
                .collect());
        }
        let (references, results) = self.coco(captions);
        let overall = coco::evaluate(&references, &results)?.overall;
        let texts: Vec<&str> = captions.iter().map(|caption| caption.text.as_str()).collect();
        Ok([
            ("CIDEr", overall.cider),
            ("Bleu_4", overall.bleu_4),
            ("Bleu_3", overall.bleu_3),
            ("Bleu_2", overall.bleu_2),
            ("Bleu_1", overall.bleu_1),
            ("METEOR", overall.meteor),
            ("ROUGE_L", overall.rouge_l),
            ("distinct", coco::distinct(&texts)),
        ]
        .into_iter()
        .collect())
    }

    /// The set without the rows for which `keep` says no.
    pub(crate) fn retain(mut self, keep: impl Fn(usize) -> bool) -> Self {
        fn filtered<T>(items: Vec<T>, keep: &impl Fn(usize) -> bool) -> Vec<T> {
            items.into_iter().enumerate().filter(|(row, _)| keep(*row)).map(|(_, item)| item).collect()
        }
        self.names = filtered(self.names, &keep);
        self.references = filtered(self.references, &keep);
        self.pictures = match self.pictures {
            Pictures::Scenes(scenes, preprocessing) => Pictures::Scenes(filtered(scenes, &keep), preprocessing),
            Pictures::Photos(paths, preprocessing) => Pictures::Photos(filtered(paths, &keep), preprocessing),
            Pictures::Features(features) => Pictures::Features(Features {
                paths: filtered(features.paths, &keep),
                hashes: filtered(features.hashes, &keep),
                ..features
            }),
            Pictures::Regions(regions) => Pictures::Regions(RegionSet {
                paths: filtered(regions.paths, &keep),
                ids: filtered(regions.ids, &keep),
                ..regions
            }),
        };
        self
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
