//! `candlewick caption`: pictures in, sentences out.

use super::arguments::CaptionArguments;
use super::output::{note, say, shown};
use super::{Failure, device, embedded, hub, search};
use candlewick::candle::Device;
use candlewick::captioning::{
    Caption, CaptionPictures, Captioner, Ensemble, GenerationConfig, ModelFiles, PreprocessedPicture, place_regions,
    write_attention,
};
use candlewick::data::picture::{self, Limits};
use candlewick::data::regions::Regions;
use candlewick::data::scenes::is_like_a_scene;
use candlewick::vision::{RegionSet, open_regions};
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
    let (mut failed, mut unlike) = (false, Vec::new());
    for paths in arguments.photos.chunks(BATCH) {
        // Of a photo only what the encoders see is kept: a batch of large ones would fill the memory.
        let prepare = |path: &PathBuf| -> Result<(PreprocessedPicture, bool), Failure> {
            picture::reduced(path, &Limits::default(), |photo| {
                Ok((captioner.preprocess(&photo)?, is_like_a_scene(&photo)))
            })
        };
        let prepared: Vec<_> = paths.par_iter().map(prepare).collect();
        let mut readable = Vec::with_capacity(paths.len());
        for (path, prepared) in paths.iter().zip(prepared) {
            match prepared {
                Ok((prepared, like)) => {
                    unlike.extend((!like).then_some(path));
                    readable.push((path, prepared));
                }
                Err(failure) => {
                    failed = true;
                    failure.passed_over(path)?;
                }
            }
        }
        let (paths, prepared): (Vec<&PathBuf>, Vec<PreprocessedPicture>) = readable.into_iter().unzip();
        let all = match captioner.n_best_preprocessed(&prepared, &generation) {
            Ok(all) => all.into_iter().map(Ok).collect(),
            // One of them does not go with the others: each for itself, so that it is named.
            Err(_) => prepared.chunks(1).map(|one| alone(captioner, one, &generation)).collect::<Vec<_>>(),
        };
        for (path, captions) in paths.into_iter().zip(all) {
            if let Err(failure) = captions.and_then(|captions| tell(captioner, path, &captions, arguments)) {
                failed = true;
                failure.passed_over(path)?;
            }
        }
    }
    if arguments.model.is_empty() {
        warn_of_photos(&unlike);
    }
    if failed { Err(Failure::AlreadyReported) } else { Ok(()) }
}

/// Says that the built-in model knows nothing of pictures like these.
fn warn_of_photos(unlike: &[&PathBuf]) {
    let Some(first) = unlike.first() else { return };
    let others = match unlike.len() - 1 {
        0 => "is".to_owned(),
        others => format!("and {others} more are"),
    };
    note!(
        "{} {others} unlike all that the built-in model knows, coloured shapes on a dark ground: what it says there means nothing; name a captioner of photos with --model DIR (candlewick train flickr8k trains one)",
        shown(first)
    );
}

fn alone(
    captioner: &dyn CaptionPictures,
    one: &[PreprocessedPicture],
    generation: &GenerationConfig,
) -> Result<Vec<Caption>, Failure> {
    Ok(captioner.n_best_preprocessed(one, generation)?.pop().unwrap_or_default())
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
pub fn regions(captioner: &dyn CaptionPictures, file: Option<&Path>) -> Result<Option<Arc<Regions>>, Failure> {
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
    captioner: &dyn CaptionPictures,
    regions: &Arc<Regions>,
    generation: &GenerationConfig,
    arguments: &CaptionArguments,
) -> Result<(), Failure> {
    let told = |path: &PathBuf| -> Result<(), Failure> {
        let (set, _) = RegionSet::new(std::slice::from_ref(path), Arc::clone(regions));
        if set.paths.is_empty() {
            return Err(Failure::Work(format!("{} has no regions of it", regions.path().display())));
        }
        let captions = captioner.n_best_of(&set.annotations(&[0])?, generation)?.pop().unwrap_or_default();
        let captions: candlewick::captioning::Result<Vec<Caption>> =
            captions.into_iter().map(|caption| place_regions(&set, 0, caption)).collect();
        let captions = captions?;
        print(path, &captions, arguments)?;
        match (&arguments.attention, captions.first()) {
            (Some(folder), Some(best)) => draw(folder, path, &picture::decode(path, &Limits::default())?, best),
            _ => Ok(()),
        }
    };
    let mut failed = false;
    for path in &arguments.photos {
        if let Err(failure) = told(path) {
            failed = true;
            failure.passed_over(path)?;
        }
    }
    if failed { Err(Failure::AlreadyReported) } else { Ok(()) }
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
) -> Result<Box<dyn CaptionPictures>, Failure> {
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
pub fn together(mut members: Vec<Captioner>, mirrored: bool) -> Result<Box<dyn CaptionPictures>, Failure> {
    Ok(match members.pop() {
        Some(only) if members.is_empty() && !mirrored => Box::new(only),
        last => {
            members.extend(last);
            let together = Ensemble::new(members)?;
            Box::new(if mirrored { together.mirrored()? } else { together })
        }
    })
}

/// Prints a photo's captions, and draws where the best one looked.
fn tell(
    captioner: &dyn CaptionPictures,
    path: &Path,
    captions: &[Caption],
    arguments: &CaptionArguments,
) -> Result<(), Failure> {
    print(path, captions, arguments)?;
    let (Some(folder), Some(best)) = (&arguments.attention, captions.first()) else { return Ok(()) };
    let photo = picture::decode(path, &Limits::default())?;
    draw(folder, path, &captioner.preprocessing().original(&photo)?, best)
}

fn print(path: &Path, captions: &[Caption], arguments: &CaptionArguments) -> Result<(), Failure> {
    for caption in captions {
        if arguments.json {
            say!("{}", json(path, caption))?;
        } else if arguments.n_best > 1 {
            say!("{}: {} ({:.3})", shown(path), caption.text, caption.score)?;
        } else {
            say!("{}: {}", shown(path), caption.text)?;
        }
    }
    Ok(())
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
