//! `candlewick caption`: pictures in, sentences out.

use super::arguments::CaptionArguments;
use super::{Failure, device, embedded, hub, search};
use candlewick::candle::Device;
use candlewick::captioning::{
    Caption, Captioner, Describe, Ensemble, GenerationConfig, ModelFiles, RegionSet, open_regions, write_attention,
};
use candlewick::data::picture::{self, Limits};
use candlewick::data::regions::Regions;
use image::RgbImage;
use rayon::prelude::*;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Captions each photo; one that cannot be read is named and the others are captioned all the same.
///
/// # Errors
/// When the model cannot be opened, or any photo failed.
pub fn run(arguments: &CaptionArguments) -> Result<(), Failure> {
    let (device, _) = device::open(&arguments.device)?;
    let weights = hub::encoder_weights(arguments.encoder_weights.as_deref())?;
    let captioner = &*open(&arguments.model, weights.as_deref(), arguments.search.mirrored, &device)?;
    let generation = search::settings(captioner, &arguments.search, Some(arguments.n_best))?;
    apart(arguments)?;
    if let Some(regions) = regions(captioner, arguments.regions.as_deref())? {
        return of_regions(captioner, &regions, &generation, arguments);
    }
    let mut failed = false;
    let mut complain = |path: &Path, failure: Failure| {
        failed = true;
        complain(path, failure);
    };
    for paths in arguments.photos.chunks(BATCH) {
        let photos: Vec<_> = paths.par_iter().map(|path| picture::decode(path, &Limits::default())).collect();
        let mut readable = Vec::with_capacity(paths.len());
        for (path, photo) in paths.iter().zip(photos) {
            match photo {
                Ok(photo) => readable.push((path, photo)),
                Err(error) => complain(path, error.into()),
            }
        }
        let (paths, photos): (Vec<&PathBuf>, Vec<RgbImage>) = readable.into_iter().unzip();
        match captioner.n_best(&photos, &generation) {
            Ok(all) => {
                for ((path, photo), captions) in paths.into_iter().zip(&photos).zip(all) {
                    tell(captioner, path, photo, &captions, arguments)
                        .unwrap_or_else(|failure| complain(path, failure));
                }
            }
            // One of them does not go with the others: each for itself, so that it is named.
            Err(_) => {
                for (path, photo) in paths.into_iter().zip(&photos) {
                    let alone = captioner.n_best(std::slice::from_ref(photo), &generation).map_err(Failure::from);
                    let told = alone
                        .and_then(|mut all| tell(captioner, path, photo, &all.pop().unwrap_or_default(), arguments));
                    told.unwrap_or_else(|failure| complain(path, failure));
                }
            }
        }
    }
    if failed { Err(Failure::Said) } else { Ok(()) }
}

/// Refuses photos that would be drawn into one folder.
fn apart(arguments: &CaptionArguments) -> Result<(), Failure> {
    let Some(folder) = &arguments.attention else { return Ok(()) };
    let mut drawn: HashMap<&OsStr, &Path> = HashMap::new();
    for path in &arguments.photos {
        if let Some(other) = drawn.insert(drawn_as(path), path) {
            let (other, path, into) = (other.display(), path.display(), folder.join(drawn_as(path)));
            let fault = format!("{other} and {path} would both be drawn into {}", into.display());
            return Err(Failure::usage(format!("--attention: {fault}; caption them one after the other")));
        }
    }
    Ok(())
}

/// The name of the folder that a photo's attention is drawn into.
fn drawn_as(path: &Path) -> &OsStr {
    path.file_stem().unwrap_or(path.as_os_str())
}

/// The file of regions, where the captioner looks at regions.
///
/// # Errors
/// A wrong call where it looks at pictures and there is a file, or the other way round; and as [`open_regions`] says.
pub fn regions(captioner: &dyn Describe, file: Option<&Path>) -> Result<Option<Arc<Regions>>, Failure> {
    match (captioner.regions(), file) {
        (None, None) => Ok(None),
        (Some(size), Some(file)) => Ok(Some(open_regions(file, Some(size))?)),
        (None, Some(_)) => {
            Err(Failure::usage("--regions: this captioner looks at pictures; leave the file of regions out"))
        }
        (Some(_), None) => {
            Err(Failure::usage("this captioner looks at regions from a file; name the file with --regions"))
        }
    }
}

/// Captions photos whose regions are in a file; one that has none there is named and the others are captioned all the same.
fn of_regions(
    captioner: &dyn Describe,
    regions: &Arc<Regions>,
    generation: &GenerationConfig,
    arguments: &CaptionArguments,
) -> Result<(), Failure> {
    let told = |path: &PathBuf| -> Result<(), Failure> {
        let (set, _) = RegionSet::new(std::slice::from_ref(path), Arc::clone(regions));
        if set.paths.is_empty() {
            return Err(Failure::Work(format!("{} has no regions of it", regions.path().display())));
        }
        let captions = captioner.n_best_of(&set.seen(&[0])?, generation)?.pop().unwrap_or_default();
        let captions: candlewick::captioning::Result<Vec<Caption>> =
            captions.into_iter().map(|caption| set.placed(0, caption)).collect();
        let captions = captions?;
        print(path, &captions, arguments);
        match (&arguments.attention, captions.first()) {
            (Some(folder), Some(best)) => draw(folder, path, &picture::decode(path, &Limits::default())?, best),
            _ => Ok(()),
        }
    };
    let mut failed = false;
    for path in &arguments.photos {
        told(path).unwrap_or_else(|failure| {
            failed = true;
            complain(path, failure);
        });
    }
    if failed { Err(Failure::Said) } else { Ok(()) }
}

/// Says what is wrong with a photo.
fn complain(path: &Path, failure: Failure) {
    if let Failure::Work(message) | Failure::Usage(message) = failure.of(path) {
        eprintln!("candlewick: {message}");
    }
}

/// Photos that are captioned together.
const BATCH: usize = 8;

/// The models in these folders as one, or the built-in one where there are none; `mirrored`, they look twice.
///
/// # Errors
/// A wrong call where there are weights that no model wants; and as [`ModelFiles::open`] and [`Ensemble::new`] say.
pub fn open(
    folders: &[PathBuf],
    encoder_weights: Option<&Path>,
    mirrored: bool,
    device: &Device,
) -> Result<Box<dyn Describe>, Failure> {
    let members: Vec<Captioner> = match folders {
        [] => vec![Captioner::from_files(ModelFiles::embedded(embedded::MODEL)?, device)?],
        several => {
            let open = |folder| Captioner::open(folder, encoder_weights, device);
            several.iter().map(open).collect::<candlewick::captioning::Result<_>>()?
        }
    };
    match encoder_weights {
        Some(weights) if members.iter().all(|member| member.config().encoder.weights.is_none()) => {
            Err(unwanted(weights, "name the model that they belong to with --model"))
        }
        _ => together(members, mirrored),
    }
}

/// A wrong call: weights of an encoder that nobody wants.
pub fn unwanted(weights: &Path, advice: &str) -> Failure {
    let weights = weights.display();
    Failure::usage(format!(
        "--encoder-weights {weights}: no model here wants an encoder's weights; leave it out, or {advice}"
    ))
}

/// Captioners as one; `mirrored`, they look twice.
///
/// # Errors
/// As [`Ensemble::new`] and [`Ensemble::mirrored`] say.
pub fn together(mut members: Vec<Captioner>, mirrored: bool) -> Result<Box<dyn Describe>, Failure> {
    Ok(match members.pop() {
        Some(only) if members.is_empty() && !mirrored => Box::new(only),
        last => {
            members.extend(last);
            let together = Ensemble::new(members)?;
            Box::new(if mirrored { together.mirrored()? } else { together })
        }
    })
}

/// Prints a photo's captions, and writes where the best one looked.
fn tell(
    captioner: &dyn Describe,
    path: &Path,
    photo: &RgbImage,
    captions: &[Caption],
    arguments: &CaptionArguments,
) -> Result<(), Failure> {
    print(path, captions, arguments);
    match (&arguments.attention, captions.first()) {
        (Some(folder), Some(best)) => draw(folder, path, &captioner.preprocessing().original(photo)?, best),
        _ => Ok(()),
    }
}

fn print(path: &Path, captions: &[Caption], arguments: &CaptionArguments) {
    for caption in captions {
        if arguments.json {
            println!("{}", json(path, caption));
        } else if arguments.n_best > 1 {
            println!("{}: {} ({:.3})", path.display(), caption.text, caption.score);
        } else {
            println!("{}: {}", path.display(), caption.text);
        }
    }
}

/// Draws where the network looked, into a folder of the photo's name.
fn draw(folder: &Path, path: &Path, seen: &RgbImage, caption: &Caption) -> Result<(), Failure> {
    write_attention(&folder.join(drawn_as(path)), seen, caption)?;
    Ok(())
}

fn json(path: &Path, caption: &Caption) -> serde_json::Value {
    let words: Vec<serde_json::Value> = caption
        .words
        .iter()
        .map(|word| {
            let map = word.attention.as_ref();
            let map =
                map.map(|map| serde_json::json!({ "height": map.height, "width": map.width, "weights": map.weights }));
            serde_json::json!({
                "word": word.text,
                "log_probability": word.log_probability,
                "attention": map,
            })
        })
        .collect();
    serde_json::json!({
        "file": path.display().to_string(),
        "caption": caption.text,
        "score": caption.score,
        "finished": caption.finished,
        "words": words,
    })
}
