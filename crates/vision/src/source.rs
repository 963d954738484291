//! Where the pictures of a data set come from: drawn scenes, photo files, or annotations that were computed before.

use crate::annotations::Annotations;
use crate::regions::RegionSet;
use crate::views::View;
use candle_core::{Device, Tensor};
use candlewick_data::features::{FeatureCache, PhotoHash};
use candlewick_data::picture::{self, Limits};
use candlewick_data::scenes::Scene;
use candlewick_data::{Error, Result};
use candlewick_encoders::Preprocessing;
use image::RgbImage;
use rayon::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;

/// Where the pictures of a set come from.
#[non_exhaustive]
pub enum PictureSource {
    /// Scenes and their pictures.
    Scenes(Vec<(Scene, RgbImage)>, Preprocessing),
    /// Decoded when they are needed.
    Photos(Vec<PathBuf>, Preprocessing),
    /// What a frozen encoder saw in photos.
    Cached(CachedAnnotations),
    /// What an object detector saw in photos.
    Regions(RegionSet),
}

/// Annotations of photos on disk.
pub struct CachedAnnotations {
    /// The photos.
    pub paths: Vec<PathBuf>,
    /// The photos' hashes, the keys of the cache.
    pub hashes: Vec<PhotoHash>,
    /// The annotations of each view that photos are seen through, the whole first.
    pub caches: Vec<(View, Arc<FeatureCache>)>,
    /// Rows and columns of the encoder's map.
    pub grid_size: (usize, usize),
}

/// What an encoder or a decoder is given, on the CPU.
pub enum EncoderInput {
    /// Images (N, 3, height, width) for the encoder.
    Images(Tensor),
    /// Annotations for the decoder.
    Annotations(Annotations),
}

impl PictureSource {
    /// How many pictures there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Scenes(scenes, _) => scenes.len(),
            Self::Photos(paths, _) => paths.len(),
            Self::Cached(features) => features.hashes.len(),
            Self::Regions(regions) => regions.paths.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the encoder or the decoder is given for the pictures in these rows.
    ///
    /// # Errors
    /// When a photo cannot be read or decoded; the message names it.
    pub fn input(&self, rows: &[usize]) -> Result<EncoderInput> {
        self.input_through(rows, &mut || View::WHOLE)
    }

    /// What the encoder or the decoder is given for the pictures in these rows, each seen through the view that `view` says next.
    ///
    /// # Errors
    /// When a photo cannot be read or decoded, or annotations of a view are not there; the message names it.
    pub fn input_through(&self, rows: &[usize], view: &mut dyn FnMut() -> View) -> Result<EncoderInput> {
        let views: Vec<View> = rows.iter().map(|_| view()).collect();
        let preprocessing = match self {
            Self::Cached(features) => return Ok(EncoderInput::Annotations(features.annotations(rows, &views)?)),
            Self::Regions(regions) => return Ok(EncoderInput::Annotations(regions.annotations(rows)?)),
            Self::Scenes(_, preprocessing) | Self::Photos(_, preprocessing) => preprocessing,
        };
        let image = |(&row, view): (&usize, &View)| {
            self.reduced(row, |photo| Ok(preprocessing.apply(&view.of(photo), &Device::Cpu)?))
        };
        let images: Vec<Tensor> = rows.iter().zip(&views).map(image).collect::<Result<_>>()?;
        Ok(EncoderInput::Images(Tensor::stack(&images, 0)?))
    }

    /// The picture in this row as it was drawn or decoded.
    ///
    /// # Errors
    /// When a photo cannot be read or decoded; the message names it.
    pub fn photo(&self, row: usize) -> Result<RgbImage> {
        self.reduced(row, Ok)
    }

    /// What `reduce` keeps of the picture in this row; see [`picture::reduced`].
    pub fn reduced<R>(&self, row: usize, reduce: impl FnOnce(RgbImage) -> Result<R>) -> Result<R> {
        let path = match self {
            Self::Scenes(scenes, _) => return reduce(scenes[row].1.clone()),
            Self::Photos(paths, _) => &paths[row],
            Self::Cached(features) => &features.paths[row],
            Self::Regions(regions) => &regions.paths[row],
        };
        picture::reduced(path, &Limits::default(), reduce)
    }

    /// A hash of the pictures in their order: a run is gone on with on the same ones only.
    ///
    /// # Errors
    /// When a photo cannot be read; the message names it.
    pub fn digest(&self) -> Result<PhotoHash> {
        let of_file = |path: &PathBuf| -> Result<PhotoHash> {
            Ok(PhotoHash::of(&picture::read(path, Limits::default().max_bytes)?))
        };
        let all: Vec<String> = match self {
            Self::Scenes(scenes, _) => scenes.iter().map(|(scene, _)| scene.caption.clone()).collect(),
            Self::Photos(paths, _) => {
                let hash = |path: &PathBuf| of_file(path).map(|hash| hash.to_string());
                paths.par_iter().map(hash).collect::<Result<_>>()?
            }
            Self::Cached(features) => features.hashes.iter().map(PhotoHash::to_string).collect(),
            // The file may be larger than what is worth reading twice.
            Self::Regions(regions) => regions.ids.clone(),
        };
        Ok(PhotoHash::of(all.join("\n").as_bytes()))
    }

    /// The name of the file of regions, where the pictures are seen in one.
    pub fn regions_file(&self) -> Option<String> {
        let Self::Regions(set) = self else { return None };
        set.regions.path().file_name().map(|name| name.to_string_lossy().into_owned())
    }
}

impl CachedAnnotations {
    /// The annotations (N, P, C) of the photos in these rows, a view each.
    fn annotations(&self, rows: &[usize], views: &[View]) -> Result<Annotations> {
        let shape = self.caches.first().map_or((0, 0), |(_, cache)| cache.shape());
        let stride = shape.0 * shape.1;
        let mut annotations = vec![0.0; rows.len() * stride];
        let jobs = rows.par_iter().zip(views).zip(annotations.par_chunks_mut(stride.max(1)));
        jobs.try_for_each(|((&row, view), into)| -> Result<()> {
            let known = self.caches.iter().find(|(known, _)| known == view);
            let (_, cache) = known.ok_or_else(|| Error::setting(format!("views: no annotations of {view:?}")))?;
            cache.read_into(&self.hashes[row], into)
        })?;
        let annotations = Tensor::from_vec(annotations, (rows.len(), shape.0, shape.1), &Device::Cpu)?;
        Ok(Annotations::grid(annotations, self.grid_size)?)
    }
}

impl PictureSource {
    /// The files of its photos; none for scenes.
    pub fn paths(&self) -> &[PathBuf] {
        match self {
            Self::Scenes(..) => &[],
            Self::Photos(paths, _) => paths,
            Self::Cached(features) => &features.paths,
            Self::Regions(regions) => &regions.paths,
        }
    }

    /// The source without the rows for which `keep` says no.
    pub fn retain(self, keep: impl Fn(usize) -> bool) -> Self {
        match self {
            Self::Scenes(scenes, preprocessing) => Self::Scenes(retained(scenes, &keep), preprocessing),
            Self::Photos(paths, preprocessing) => Self::Photos(retained(paths, &keep), preprocessing),
            Self::Cached(features) => Self::Cached(CachedAnnotations {
                paths: retained(features.paths, &keep),
                hashes: retained(features.hashes, &keep),
                ..features
            }),
            Self::Regions(regions) => Self::Regions(RegionSet {
                paths: retained(regions.paths, &keep),
                ids: retained(regions.ids, &keep),
                ..regions
            }),
        }
    }
}

/// The items whose place `keep` says yes to.
pub fn retained<T>(items: Vec<T>, keep: &impl Fn(usize) -> bool) -> Vec<T> {
    items.into_iter().enumerate().filter(|(row, _)| keep(*row)).map(|(_, item)| item).collect()
}
