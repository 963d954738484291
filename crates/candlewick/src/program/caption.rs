//! `candlewick caption`: pictures in, sentences out.

use super::arguments::{CaptionArguments, SearchArguments};
use super::{Failure, device, embedded};
use candlewick::candle::Device;
use candlewick::captioning::{
    Caption, Captioner, Describe, Ensemble, GenerationConfig, ModelFiles, RegionSet, open_regions, write_attention,
};
use candlewick::data::picture::{self, Limits};
use candlewick::data::regions::Regions;
use candlewick::data::words::WordTokenizer;
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
    let captioner = &*open(&arguments.model, arguments.encoder_weights.as_deref(), arguments.search.mirrored, &device)?;
    let mut generation = search(captioner, &arguments.search)?;
    if let Some(beam) = arguments.search.beam.filter(|&beam| beam < arguments.n_best) {
        let n = arguments.n_best;
        return Err(Failure::usage(format!(
            "--n-best {n} wants as many beams at least, and --beam is {beam}; set it to {n}"
        )));
    }
    generation.num_return_sequences = arguments.n_best;
    generation.num_beams = generation.num_beams.max(arguments.n_best);
    generation.validate().map_err(Failure::usage)?;
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
    if let Failure::Work(message) | Failure::Usage(message) = failure {
        let path = path.display().to_string();
        // Errors of the picture begin with its name already.
        let line = if message.contains(&path) { message } else { format!("{path}: {message}") };
        eprintln!("candlewick: {line}");
    }
}

/// What a word that another group took costs, where nothing else is said: about what Vijayakumar et al. found best.
const DIVERSITY: f64 = 0.5;

/// Photos that are captioned together.
const BATCH: usize = 8;

/// The models in these folders as one, or the built-in one where there are none; `mirrored`, they look twice.
///
/// # Errors
/// As [`ModelFiles::open`] and [`Ensemble::new`] say.
pub fn open(
    folders: &[PathBuf],
    encoder_weights: Option<&Path>,
    mirrored: bool,
    device: &Device,
) -> Result<Box<dyn Describe>, Failure> {
    if let (Some(weights), []) = (encoder_weights, folders) {
        let weights = weights.display();
        let fault =
            "the built-in model has an encoder of its own; name the model that these weights belong to with --model";
        return Err(Failure::usage(format!("--encoder-weights {weights}: {fault}")));
    }
    let captioner = |files| Captioner::from_files(files, device);
    let mut members: Vec<Captioner> = match folders {
        [] => vec![captioner(ModelFiles::embedded(embedded::MODEL)?)?],
        several => {
            let open = |folder: &PathBuf| captioner(ModelFiles::open(folder, encoder_weights)?);
            several.iter().map(open).collect::<candlewick::captioning::Result<_>>()?
        }
    };
    Ok(match members.pop() {
        Some(only) if members.is_empty() && !mirrored => Box::new(only),
        last => {
            members.extend(last);
            let together = Ensemble::new(members)?;
            Box::new(if mirrored { together.mirrored()? } else { together })
        }
    })
}

/// The model's own settings with what the command line says.
///
/// # Errors
/// A wrong call where a setting makes no sense.
pub fn search(captioner: &dyn Describe, arguments: &SearchArguments) -> Result<GenerationConfig, Failure> {
    let mut generation = captioner.generation().clone();
    let ids = |words: &String| phrase(captioner.tokenizer(), words);
    generation.force_words_ids.extend(arguments.include.iter().map(ids).collect::<Result<Vec<_>, _>>()?);
    generation.bad_words_ids.extend(arguments.exclude.iter().map(ids).collect::<Result<Vec<_>, _>>()?);
    generation.num_beams = arguments.beam.unwrap_or(generation.num_beams);
    generation.num_beam_groups = arguments.beam_groups.unwrap_or(generation.num_beam_groups);
    if arguments.beam_groups.is_some() {
        generation.diversity_penalty = arguments.diversity.unwrap_or(DIVERSITY);
    }
    generation.max_new_tokens = arguments.max_words.unwrap_or(generation.max_new_tokens);
    generation.length_penalty = arguments.length_penalty.unwrap_or(generation.length_penalty);
    generation.validate().map_err(Failure::usage)?;
    Ok(generation)
}

/// The words' ids; a word that the model does not know can be neither wanted nor refused.
fn phrase(tokenizer: &WordTokenizer, words: &str) -> Result<Vec<u32>, Failure> {
    let unknown =
        |word: &str| Failure::usage(format!("the model does not know the word {word:?}; it says other words"));
    let ids: Vec<u32> = (tokenizer.split(words)?.iter())
        .map(|word| tokenizer.id(word).ok_or_else(|| unknown(word)))
        .collect::<Result<_, _>>()?;
    if ids.is_empty() { Err(Failure::usage(format!("{words:?}: holds no word"))) } else { Ok(ids) }
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
