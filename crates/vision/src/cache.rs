//! The annotation cache: what a frozen encoder gives of photos, computed once and kept on disk.

use crate::picture_encoder::PictureEncoder;
use crate::source::CachedAnnotations;
use crate::views::View;
use candle_core::{Device, Tensor};
use candlewick_data::features::{FeatureCache, Key, PhotoHash, PhotoHashes};
use candlewick_data::loader::{Loader, LoaderConfig};
use candlewick_data::picture::{self, Limits};
use candlewick_data::skipped::Skipped;
use candlewick_data::{Error, Note, Result};
use candlewick_encoders::NetworkConfig;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Photos that the encoder takes at a time.
const BATCH: usize = 8;

/// Photos after which it is told how many were looked at.
const TOLD: usize = 64;

/// Photos after which what was computed is made safe on disk.
const SYNC: usize = 256;

/// Where annotations are kept, and of which encoder.
#[derive(Clone, Debug)]
pub struct AnnotationCache {
    /// The folder.
    pub folder: PathBuf,
    /// The hash of the encoder's weights.
    pub weights: String,
}

/// The annotations of the photos of one part of a data set.
pub struct CachedPart {
    /// A row for each photo, those of unknown ones empty.
    pub annotations: CachedAnnotations,
    /// Which photos could be read and have annotations.
    pub known: Vec<bool>,
}

/// The annotations of a training and a dev part, computing those that the cache lacks.
///
/// Photos that cannot be read are recorded in `faults`. Training photos are seen through all `views`, the others whole.
///
/// # Errors
/// When the cache cannot be read or written, or too many photos are broken.
pub fn cached(
    encoder: &PictureEncoder,
    parts: [&[PathBuf]; 2],
    views: &[View],
    cache: &AnnotationCache,
    faults: &Skipped,
    note: &mut dyn FnMut(Note),
) -> Result<[CachedPart; 2]> {
    let filler = Filler { encoder, cache, faults, grid: encoder.grid_size()? };
    let all: Vec<PathBuf> = parts.iter().flat_map(|paths| paths.iter().cloned()).collect();
    let hashes = hashed(&all, &cache.folder, faults, note)?;
    let photos: Vec<(&Path, Option<PhotoHash>)> =
        all.iter().map(PathBuf::as_path).zip(hashes.iter().copied()).collect();
    let others: Vec<View> = views.iter().copied().filter(|&view| view != View::WHOLE).collect();
    let all = 1 + others.len();
    let mut caches = vec![(View::WHOLE, Arc::new(filler.open(&photos, (View::WHOLE, 1, all), note)?))];
    for (at, view) in others.into_iter().enumerate() {
        caches.push((view, Arc::new(filler.open(&photos[..parts[0].len()], (view, at + 2, all), note)?)));
    }
    let (mut rest, mut wanted) = (hashes.iter(), [caches.len(), 1].into_iter());
    Ok(parts.map(|paths| {
        let own: Vec<Option<PhotoHash>> = rest.by_ref().take(paths.len()).copied().collect();
        let views = &caches[..wanted.next().unwrap_or(1)];
        let seen = |hash: &PhotoHash| views.iter().all(|(_, cache)| cache.contains(hash));
        let known: Vec<bool> = own.iter().map(|hash| hash.as_ref().is_some_and(seen)).collect();
        let annotations = CachedAnnotations {
            paths: paths.to_vec(),
            hashes: own.iter().map(|hash| hash.unwrap_or_else(|| PhotoHash::of(b""))).collect(),
            caches: caches.clone(),
            grid_size: filler.grid,
        };
        CachedPart { annotations, known }
    }))
}

/// What the caches of one encoder are filled with.
struct Filler<'a> {
    encoder: &'a PictureEncoder,
    cache: &'a AnnotationCache,
    faults: &'a Skipped,
    grid: (usize, usize),
}

impl Filler<'_> {
    /// The annotations of photos seen through a view, the k-th of so many: what was computed before, and what was not.
    fn open(
        &self,
        photos: &[(&Path, Option<PhotoHash>)],
        (view, k, of): (View, usize, usize),
        note: &mut dyn FnMut(Note),
    ) -> Result<FeatureCache> {
        let (key, folder) = (self.key(view)?, self.cache.folder.as_path());
        let shape = (self.grid.0 * self.grid.1, self.encoder.annotation_size());
        // Reading needs no lock, so that several runs can share what was computed, and begin at the same time where all was.
        if let Ok(cache) = FeatureCache::open_read_only(folder, &key, shape)
            && photos.iter().filter_map(|(_, hash)| hash.as_ref()).all(|hash| cache.contains(hash))
        {
            return Ok(cache);
        }
        let mut waiting = |line| note(Note::Line(line));
        let mut cache = FeatureCache::open_when_free(folder, &key, shape, Some(&mut waiting))?;
        let what = if of == 1 { "annotations".to_owned() } else { format!("annotations, view {k} of {of}") };
        self.compute(&mut cache, photos, view, &mut |done, total| note(Note::progress(what.clone(), done, total)))?;
        drop(cache);
        FeatureCache::open_read_only(folder, &key, shape)
    }

    /// Under which annotations are kept.
    fn key(&self, view: View) -> Result<Key> {
        let json = |result: serde_json::Result<String>| result.map_err(|error| Error::setting(error.to_string()));
        let mut preprocessing = json(serde_json::to_string(self.encoder.preprocessing()))?;
        if view != View::WHOLE {
            preprocessing += &json(serde_json::to_string(&view))?;
        }
        let config = self.encoder.config();
        if config.config != NetworkConfig::default() {
            preprocessing += &json(serde_json::to_string(&config.config))?;
        }
        let layer = config.layer.clone().unwrap_or_else(|| "last".into());
        Ok(Key { weights: self.cache.weights.clone(), preprocessing, layer })
    }

    /// Computes the annotations that the cache lacks.
    fn compute(
        &self,
        cache: &mut FeatureCache,
        photos: &[(&Path, Option<PhotoHash>)],
        view: View,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<()> {
        let lacking = |(path, hash): &(&Path, Option<PhotoHash>)| {
            hash.filter(|hash| !cache.contains(hash)).map(|hash| (path.to_path_buf(), hash))
        };
        let wanted: Vec<(PathBuf, PhotoHash)> = photos.iter().filter_map(lacking).collect();
        let total = wanted.len();
        let preprocessing = self.encoder.preprocessing().clone();
        let read = move |jobs: Vec<(PathBuf, PhotoHash)>| -> Result<Vec<Photo>> {
            let decode = |path: &Path| -> Result<Tensor> {
                picture::reduced(path, &Limits::default(), |photo| {
                    Ok(preprocessing.apply(&view.of(photo), &Device::Cpu)?)
                })
            };
            Ok(jobs.into_iter().map(|(path, hash)| Photo { image: decode(&path), path, hash }).collect())
        };
        let jobs: Vec<Vec<(PathBuf, PhotoHash)>> = wanted.chunks(BATCH).map(<[_]>::to_vec).collect();
        let mut done = 0;
        progress(done, total);
        for photos in Loader::new(jobs, LoaderConfig::default(), read) {
            let photos = photos?;
            done += photos.len();
            let mut good = Vec::new();
            for Photo { path, hash, image } in photos {
                match image {
                    Ok(image) => good.push((hash, image)),
                    Err(fault) => self.faults.record(&path.display().to_string(), fault)?,
                }
            }
            self.insert(cache, &good)?;
            if done % SYNC < BATCH {
                cache.sync()?;
            }
            progress(done, total);
        }
        cache.sync()
    }

    fn insert(&self, cache: &mut FeatureCache, photos: &[(PhotoHash, Tensor)]) -> Result<()> {
        if photos.is_empty() {
            return Ok(());
        }
        let images: Vec<&Tensor> = photos.iter().map(|(_, image)| image).collect();
        let found = self.encoder.encode(&Tensor::stack(&images, 0)?)?.to_device(&Device::Cpu)?;
        for (row, (hash, _)) in photos.iter().enumerate() {
            cache.insert(*hash, &found.tensor().get(row)?.flatten_all()?.to_vec1::<f32>()?)?;
        }
        Ok(())
    }
}

/// A photo on its way to the encoder.
struct Photo {
    path: PathBuf,
    hash: PhotoHash,
    image: Result<Tensor>,
}

/// The hash of each photo; `None` where it cannot be read, which is recorded.
fn hashed(
    paths: &[PathBuf],
    folder: &Path,
    faults: &Skipped,
    note: &mut dyn FnMut(Note),
) -> Result<Vec<Option<PhotoHash>>> {
    let known = PhotoHashes::open(folder)?;
    let mut hashes = Vec::with_capacity(paths.len());
    for (done, path) in paths.iter().enumerate() {
        if done % TOLD == 0 {
            note(Note::progress("photos read", done, paths.len()));
        }
        hashes.push(match known.hash(path) {
            Ok(hash) => Some(hash),
            Err(fault) => {
                faults.record(&path.display().to_string(), fault)?;
                None
            }
        });
    }
    note(Note::progress("photos read", paths.len(), paths.len()));
    if let Err(fault) = known.save() {
        // A cache on a disk that cannot be written may have all that is wanted.
        note(Note::Line(format!("{fault}; the photos will be hashed again next time")));
    }
    Ok(hashes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::config::EncoderConfig;
    use crate::source::{EncoderInput, PictureSource, retained};
    use crate::views::{Part, Views};
    use candlewick_data::captions::Split;
    use candlewick_data::scenes::Scene;
    use candlewick_encoders::Preprocessing;
    use candlewick_parameters::{Mode, Parameters};
    use candlewick_testing::flat;

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
        let encoder = |transform_input: bool| {
            let config = NetworkConfig { transform_input, ..NetworkConfig::default() };
            let config = EncoderConfig { network: "convnet".into(), config, ..EncoderConfig::default() };
            PictureEncoder::new(config, preprocessing.clone(), None, &Parameters::new(0), &Device::Cpu).unwrap()
        };
        let encoder = (encoder(false), encoder(true));
        let (photo, other) = (place(Split::Train, "photo.png"), place(Split::Dev, "other.png"));
        let views = Views { mirrored: true, parts: vec![Part::Whole, Part::BottomRight], share: 0.75 }.all().unwrap();
        let faults = Skipped::new("photos", 2, 0.0);
        let mut done = Vec::new();
        let mut note = |note| {
            if let Note::Progress { what, done: now, total } = note {
                done.push((what.to_string(), now, total));
            }
        };
        let place = AnnotationCache { folder: folder.path().to_owned(), weights: "weights".to_owned() };
        let (train, dev) = ([photo.clone()], [other]);
        let parts = [&train[..], &dev[..]];
        let source = |part: CachedPart| {
            PictureSource::Cached(CachedAnnotations {
                paths: retained(part.annotations.paths, &|row| part.known[row]),
                ..part.annotations
            })
        };
        let [train, dev] = cached(&encoder.0, parts, &views, &place, &faults, &mut note).unwrap().map(source);
        // Photos that are only decoded are seen whole.
        let read_in = [0, 2].map(|done| ("photos read".to_owned(), done, 2));
        let computed = [2, 1, 1, 1]
            .into_iter()
            .enumerate()
            .flat_map(|(at, count)| [0, count].map(|done| (format!("annotations, view {} of 4", at + 1), done, count)));
        assert_eq!(done, read_in.into_iter().chain(computed).collect::<Vec<_>>());
        let photo = picture::decode(&photo, &Limits::default()).unwrap();
        for &view in &views {
            let EncoderInput::Annotations(found) = train.input_through(&[0], &mut || view).unwrap() else { panic!() };
            let image = preprocessing.apply(&view.of(photo.clone()), &Device::Cpu).unwrap().unsqueeze(0).unwrap();
            let wanted = encoder.0.annotations(&image, &mut Mode::Eval).unwrap();
            for (found, wanted) in flat(found.tensor()).into_iter().zip(flat(wanted.tensor())) {
                assert!((found - wanted).abs() <= 1e-3 * wanted.abs().max(0.1), "{view:?}: {found} {wanted}");
            }
            let fault = dev.input_through(&[0], &mut || view).err();
            assert_eq!(fault.is_some(), view != View::WHOLE, "{view:?}");
        }
        let key = |encoder: &PictureEncoder| {
            Filler { encoder, cache: &place, faults: &faults, grid: (1, 1) }.key(View::WHOLE).unwrap()
        };
        // Where all is known, another run that writes there is in nobody's way.
        let PictureSource::Cached(known) = &train else { panic!() };
        let shape = known.caches[0].1.shape();
        let held = FeatureCache::open(folder.path(), &key(&encoder.0), shape).unwrap();
        let again = cached(&encoder.0, parts, &views, &place, &faults, &mut |_| ()).unwrap();
        assert_eq!(again[0].known, [true]);
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
            assert_eq!(cached(&encoder.0, parts, &views, &place, &faults, &mut note).unwrap()[0].known, [true]);
            assert!(lines.len() == 1 && lines[0].contains("photos.index: No such file"), "{lines:?}");
        }
        // What the network does otherwise is kept otherwise.
        assert_ne!(key(&encoder.1), key(&encoder.0));
    }
}
