//! What a frozen encoder sees in photos, computed once and kept on disk.

use crate::captioner::Captioner;
use crate::dataset::{Features, Pictures, Set};
use crate::prepare::Note;
use crate::views::View;
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use candlewick_data::faults::Faults;
use candlewick_data::features::{FeatureCache, Key, PhotoHash, PhotoHashes};
use candlewick_data::loader::{Loader, LoaderConfig};
use candlewick_data::picture::{self, Limits};
use candlewick_encoders::NetworkConfig;
use candlewick_parameters::Mode;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Photos that the encoder takes at a time.
const BATCH: usize = 8;

/// Photos after which what was computed is made safe on disk.
const SYNC: usize = 256;

/// Turns sets of photos into sets of annotations, computing those that the cache in `folder` lacks; `weights` is the hash of
/// the encoder's.
///
/// Photos that cannot be read are recorded in `faults` and left out. Training photos, the first set, are seen through all `views`.
pub(crate) fn cached(
    captioner: &Captioner,
    sets: [Set; 2],
    views: &[View],
    (folder, weights): (&Path, String),
    faults: &Faults,
    note: &mut dyn FnMut(Note),
) -> Result<[Set; 2]> {
    let map_shape = map_shape(captioner)?;
    let paths: Vec<PathBuf> = sets.iter().flat_map(|set| set.paths().to_vec()).collect();
    let hashes = hashed(&paths, folder, faults, note)?;
    let trained = sets[0].paths().len();
    let seen_through = |view: View, count: usize, note: &mut dyn FnMut(Note)| -> Result<(View, Arc<FeatureCache>)> {
        let photos = (&paths[..count], &hashes[..count]);
        Ok((view, Arc::new(seen(captioner, map_shape, photos, view, (folder, &weights), faults, note)?)))
    };
    let mut caches = vec![seen_through(View::WHOLE, paths.len(), note)?];
    for &view in views.iter().filter(|&&view| view != View::WHOLE) {
        caches.push(seen_through(view, trained, note)?);
    }
    let (mut rest, mut wanted) = (hashes.iter(), [caches.len(), 1].into_iter());
    Ok(sets.map(|set| {
        let own: Vec<Option<PhotoHash>> = rest.by_ref().take(set.pictures.len()).copied().collect();
        let views = &caches[..wanted.next().unwrap_or(1)];
        let seen = |hash: &PhotoHash| views.iter().all(|(_, cache)| cache.contains(hash));
        let known = |row: usize| own.get(row).copied().flatten().filter(seen);
        let features = Features {
            paths: set.paths().to_vec(),
            hashes: (0..own.len()).map(|row| known(row).unwrap_or_else(|| PhotoHash::of(b""))).collect(),
            caches: caches.clone(),
            map_shape,
        };
        Set { pictures: Pictures::Features(features), ..set }.retain(|row| known(row).is_some())
    }))
}

/// The annotations of photos seen through a view: what was computed before, and what was not.
fn seen(
    captioner: &Captioner,
    (height, width): (usize, usize),
    (paths, hashes): (&[PathBuf], &[Option<PhotoHash>]),
    view: View,
    (folder, weights): (&Path, &str),
    faults: &Faults,
    note: &mut dyn FnMut(Note),
) -> Result<FeatureCache> {
    let (key, shape) = (key(captioner, view, weights)?, (height * width, captioner.config.annotation_size));
    // Reading needs no lock, so that several runs can share what was computed, and begin at the same time where all was.
    if let Ok(cache) = FeatureCache::open_read_only(folder, &key, shape)
        && hashes.iter().flatten().all(|hash| cache.contains(hash))
    {
        return Ok(cache);
    }
    let mut waiting = |line| note(Note::Line(line));
    let mut cache = FeatureCache::open_when_free(folder, &key, shape, Some(&mut waiting))?;
    compute(captioner, &mut cache, (paths, hashes), view, faults, note)?;
    drop(cache);
    Ok(FeatureCache::open_read_only(folder, &key, shape)?)
}

/// Under which annotations are kept.
fn key(captioner: &Captioner, view: View, weights: &str) -> Result<Key> {
    let json = |result: serde_json::Result<String>| result.map_err(|error| Error::Config(error.to_string()));
    let mut preprocessing = json(serde_json::to_string(&captioner.preprocessing))?;
    if view != View::WHOLE {
        preprocessing += &json(serde_json::to_string(&view))?;
    }
    let encoder = &captioner.config.encoder;
    if encoder.config != NetworkConfig::default() {
        preprocessing += &json(serde_json::to_string(&encoder.config))?;
    }
    let layer = encoder.layer.clone().unwrap_or_else(|| "last".into());
    Ok(Key { weights: weights.to_owned(), preprocessing, layer })
}

/// The hash of each photo; `None` where it cannot be read, which is recorded.
fn hashed(
    paths: &[PathBuf],
    folder: &Path,
    faults: &Faults,
    note: &mut dyn FnMut(Note),
) -> Result<Vec<Option<PhotoHash>>> {
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
    if let Err(fault) = known.save() {
        // A cache on a disk that cannot be written may have all that is wanted.
        note(Note::Line(format!("{fault}; the photos will be hashed again next time")));
    }
    Ok(hashes)
}

/// Computes the annotations that the cache lacks.
fn compute(
    captioner: &Captioner,
    cache: &mut FeatureCache,
    (paths, hashes): (&[PathBuf], &[Option<PhotoHash>]),
    view: View,
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
            picture::reduced(path, &Limits::default(), |photo| Ok(preprocessing.apply(&view.of(photo), &Device::Cpu)?))
        };
        Ok(jobs.into_iter().map(|(path, hash)| Photo { image: decode(&path), path, hash }).collect())
    };
    let jobs: Vec<Vec<(PathBuf, PhotoHash)>> = wanted.chunks(BATCH).map(<[_]>::to_vec).collect();
    let mut done = 0;
    for photos in Loader::new(jobs, LoaderConfig::default(), read) {
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
    let seen = captioner.annotations(&images, &mut Mode::Eval)?.annotations().to_device(&Device::Cpu)?;
    for (row, (hash, _)) in photos.iter().enumerate() {
        cache.insert(*hash, &seen.get(row)?.flatten_all()?.to_vec1::<f32>()?)?;
    }
    Ok(())
}

/// Rows and columns of the encoder's map.
fn map_shape(captioner: &Captioner) -> Result<(usize, usize)> {
    let Some((height, width)) = captioner.preprocessing.input_size() else {
        let fault =
            "preprocessing: photos keep their own shapes, so their annotations cannot be kept on disk; set crop_size";
        return Err(Error::Config(fault.into()));
    };
    let images = Tensor::zeros((1, 3, height, width), candle_core::DType::F32, captioner.device())?;
    Ok(captioner.annotations(&images, &mut Mode::Eval)?.map())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::captioner::FreshCaptioner;
    use crate::config::EncoderConfig;
    use crate::dataset::Input;
    use crate::views::{Part, Views};
    use candlewick_data::captions::Split;
    use candlewick_data::scenes::Scene;
    use candlewick_data::words::WordTokenizer;
    use candlewick_encoders::Preprocessing;

    #[test]
    fn a_view_has_the_annotations_of_what_is_seen_through_it() {
        let folder = tempfile::tempdir().unwrap();
        let place = |split, name: &str| {
            let path = folder.path().join(name);
            Scene::generate(1, 0, split).draw().save(&path).unwrap();
            path
        };
        let preprocessing =
            Preprocessing { crop: Some((64, 64)), ..Preprocessing { size: None, ..Preprocessing::imagenet() } };
        let set = |path: PathBuf| Set {
            names: vec!["photo".into()],
            pictures: Pictures::Photos(vec![path], preprocessing.clone()),
            references: vec![vec!["a word".into()]],
        };
        let settings = FreshCaptioner {
            encoder: EncoderConfig { network: "convnet".into(), ..EncoderConfig::default() },
            preprocessing: preprocessing.clone(),
            ..FreshCaptioner::default()
        };
        let tokenizer = WordTokenizer::train(["a word"], 1).unwrap();
        let captioner = Captioner::fresh(settings, tokenizer, None, &Device::Cpu).unwrap();
        let (photo, other) = (place(Split::Train, "photo.png"), place(Split::Dev, "other.png"));
        let views = Views { mirrored: true, parts: vec![Part::Whole, Part::BottomRight], share: 0.75 }.all().unwrap();
        let faults = Faults::new("photos", 2, 0.0);
        let mut done = Vec::new();
        let mut note = |note| {
            if let Note::Features { done: now, total } = note {
                done.push((now, total));
            }
        };
        let sets = || [set(photo.clone()), set(other.clone())];
        let place = || (folder.path(), "weights".to_owned());
        let [train, dev] = cached(&captioner, sets(), &views, place(), &faults, &mut note).unwrap();
        // Photos that are only decoded are seen whole.
        assert_eq!(done, [(2, 2), (1, 1), (1, 1), (1, 1)]);
        let photo = picture::decode(&photo, &Limits::default()).unwrap();
        let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for &view in &views {
            let Input::Seen(found) = train.pictures.input_through(&[0], &mut || view).unwrap() else { panic!() };
            let image = preprocessing.apply(&view.of(photo.clone()), &Device::Cpu).unwrap().unsqueeze(0).unwrap();
            let wanted = captioner.annotations(&image, &mut Mode::Eval).unwrap();
            for (found, wanted) in flat(found.annotations()).into_iter().zip(flat(wanted.annotations())) {
                assert!((found - wanted).abs() <= 1e-3 * wanted.abs().max(0.1), "{view:?}: {found} {wanted}");
            }
            let fault = dev.pictures.input_through(&[0], &mut || view).err();
            assert_eq!(fault.is_some(), view != View::WHOLE, "{view:?}");
        }
        // Where all is known, another run that writes there is in nobody's way.
        let Pictures::Features(known) = &train.pictures else { panic!() };
        let shape = known.caches[0].1.shape();
        let held = FeatureCache::open(folder.path(), &key(&captioner, View::WHOLE, "weights").unwrap(), shape).unwrap();
        let again = cached(&captioner, sets(), &views, place(), &faults, &mut |_| ()).unwrap();
        assert_eq!(again[0].pictures.len(), 1);
        drop(held);
        // What was hashed anew cannot be kept, and nothing else is wanted: as on a disk that cannot be written.
        #[cfg(unix)]
        {
            let index = folder.path().join("photos.index");
            let _ = std::fs::remove_file(&index);
            std::os::unix::fs::symlink(folder.path().join("nowhere/photos.index"), &index).unwrap();
            let file = std::fs::File::options().append(true).open(folder.path().join("photo.png")).unwrap();
            file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(100)).unwrap();
            let mut lines = Vec::new();
            let mut note = |note| {
                if let Note::Line(line) = note {
                    lines.push(line)
                }
            };
            assert_eq!(cached(&captioner, sets(), &views, place(), &faults, &mut note).unwrap()[0].pictures.len(), 1);
            assert!(lines.len() == 1 && lines[0].contains("photos.index: No such file"), "{lines:?}");
        }
        // What the network does otherwise is kept otherwise.
        let mut other = captioner;
        let usual = key(&other, View::WHOLE, "weights").unwrap();
        other.config.encoder.config.transform_input = true;
        assert_ne!(key(&other, View::WHOLE, "weights").unwrap(), usual);
    }
}
