//! What a frozen encoder sees in photos, computed once and kept on disk.

use crate::captioner::Captioner;
use crate::dataset::{Features, Pictures, Set};
use crate::prepare::Note;
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use candlewick_data::faults::Faults;
use candlewick_data::features::{FeatureCache, Key, PhotoHash, PhotoHashes};
use candlewick_data::loader::{Loader, LoaderConfig};
use candlewick_data::picture::{self, Limits};
use candlewick_parameters::Mode;
use image::RgbImage;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Photos that the encoder takes at a time.
const BATCH: usize = 8;

/// Photos after which what was computed is made safe on disk.
const SYNC: usize = 256;

/// Turns sets of photos into sets of annotations, computing those that the cache in `folder` lacks; `weights` is the hash of
/// the encoder's.
///
/// Photos that cannot be read are recorded in `faults` and left out.
pub(crate) fn cached(
    captioner: &Captioner,
    sets: [Set; 2],
    (folder, weights): (&Path, String),
    faults: &Faults,
    note: &mut dyn FnMut(Note),
) -> Result<[Set; 2]> {
    let (height, width) = map_shape(captioner)?;
    let key = Key {
        weights,
        preprocessing: serde_json::to_string(&captioner.preprocessing)
            .map_err(|error| Error::Config(error.to_string()))?,
        layer: captioner.config.encoder.layer.clone().unwrap_or_else(|| "last".into()),
    };
    let shape = (height * width, captioner.config.annotation_size);
    let mut cache = FeatureCache::open(folder, &key, shape)?;
    let paths: Vec<PathBuf> = sets.iter().flat_map(|set| set.paths().to_vec()).collect();
    let hashes = hashed(&paths, folder, faults)?;
    compute(captioner, &mut cache, &paths, &hashes, faults, note)?;
    // Reading needs no lock, so that several runs can share what was computed.
    drop(cache);
    let cache = Arc::new(FeatureCache::open_read_only(folder, &key, shape)?);
    let mut rest = hashes.into_iter();
    Ok(sets.map(|set| {
        let own: Vec<Option<PhotoHash>> = rest.by_ref().take(set.pictures.len()).collect();
        let known = |row: usize| own.get(row).copied().flatten().filter(|hash| cache.contains(hash));
        let features = Features {
            paths: set.paths().to_vec(),
            hashes: (0..own.len()).map(|row| known(row).unwrap_or_else(|| PhotoHash::of(b""))).collect(),
            cache: Arc::clone(&cache),
            map_shape: (height, width),
            preprocessing: captioner.preprocessing.clone(),
        };
        Set { pictures: Pictures::Features(features), ..set }.retain(|row| known(row).is_some())
    }))
}

/// The hash of each photo; `None` where it cannot be read, which is recorded.
fn hashed(paths: &[PathBuf], folder: &Path, faults: &Faults) -> Result<Vec<Option<PhotoHash>>> {
    let known = PhotoHashes::open(folder)?;
    let mut hashes = Vec::with_capacity(paths.len());
    for path in paths {
        hashes.push(match known.hash(path) {
            Ok(hash) => Some(hash),
            Err(fault) => {
                faults.record(&path.display().to_string(), fault)?;
                None
            }
        });
    }
    known.save()?;
    Ok(hashes)
}

/// Computes the annotations that the cache lacks.
fn compute(
    captioner: &Captioner,
    cache: &mut FeatureCache,
    paths: &[PathBuf],
    hashes: &[Option<PhotoHash>],
    faults: &Faults,
    note: &mut dyn FnMut(Note),
) -> Result<()> {
    let wanted: Vec<(PathBuf, PhotoHash)> = paths
        .iter()
        .zip(hashes)
        .filter_map(|(path, hash)| hash.filter(|hash| !cache.contains(hash)).map(|hash| (path.clone(), hash)))
        .collect();
    let total = wanted.len();
    let preprocessing = captioner.preprocessing.clone();
    let read = move |jobs: Vec<(PathBuf, PhotoHash)>| -> Result<Vec<Photo>> {
        let decode = |path: &Path| -> Result<Tensor> {
            let photo: RgbImage = picture::decode(path, &Limits::default())?;
            Ok(preprocessing.apply(&photo, &Device::Cpu)?)
        };
        Ok(jobs.into_iter().map(|(path, hash)| Photo { image: decode(&path), path, hash }).collect())
    };
    let jobs: Vec<Vec<(PathBuf, PhotoHash)>> = wanted.chunks(BATCH).map(<[_]>::to_vec).collect();
    let config = LoaderConfig { workers: 1, ..LoaderConfig::default() };
    let mut done = 0;
    for photos in Loader::new(jobs, config, read) {
        let photos = photos?;
        done += photos.len();
        let mut good = Vec::new();
        for Photo { path, hash, image } in photos {
            match image {
                Ok(image) => good.push((hash, image)),
                Err(fault) => faults.record(&path.display().to_string(), fault)?,
            }
        }
        insert(captioner, cache, &good)?;
        if done % SYNC < BATCH {
            cache.sync()?;
        }
        note(Note::Features { done, total });
    }
    Ok(cache.sync()?)
}

/// A photo on its way to the encoder.
struct Photo {
    path: PathBuf,
    hash: PhotoHash,
    image: Result<Tensor>,
}

fn insert(captioner: &Captioner, cache: &mut FeatureCache, photos: &[(PhotoHash, Tensor)]) -> Result<()> {
    if photos.is_empty() {
        return Ok(());
    }
    let images: Vec<&Tensor> = photos.iter().map(|(_, image)| image).collect();
    let images = Tensor::stack(&images, 0)?.to_device(captioner.device())?;
    let seen = captioner.annotations(&images, &mut Mode::Eval)?.0.to_device(&Device::Cpu)?;
    for (row, (hash, _)) in photos.iter().enumerate() {
        cache.insert(*hash, &seen.get(row)?.flatten_all()?.to_vec1::<f32>()?)?;
    }
    Ok(())
}

/// Rows and columns of the encoder's map.
fn map_shape(captioner: &Captioner) -> Result<(usize, usize)> {
    let Some((height, width)) = captioner.preprocessing.crop else {
        let fault =
            "preprocessing: photos keep their own sizes, so their annotations cannot be kept on disk; set a crop";
        return Err(Error::Config(fault.into()));
    };
    let images = Tensor::zeros((1, 3, height, width), candle_core::DType::F32, captioner.device())?;
    Ok(captioner.annotations(&images, &mut Mode::Eval)?.1)
}
