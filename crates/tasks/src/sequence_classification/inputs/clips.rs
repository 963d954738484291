//! Clips of film with a class each, with the frames as they are kept.

use super::config::{ClipsConfig, DataConfig, FramesConfig, ValuesConfig};
use super::labelled::{Input, Labelled, LabelledSequences};
use super::reading::Reading;
use crate::{Error, Result};
use candlewick_data::Parts;
use candlewick_data::clips::{self, Clip, FrameLimits, LoadOptions};
use image::RgbImage;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The most bytes of frames of a set that are kept.
const MOST_BYTES: usize = 6_000_000_000;

/// Reads the clips of a folder; those that cannot be decoded are skipped and told.
pub(super) fn load(
    folder: &Path,
    config: &DataConfig,
    clips: &ClipsConfig,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<LabelledSequences> {
    let options = LoadOptions { dev_share: config.dev_share, max_share: config.max_share, ..LoadOptions::default() };
    let set = clips::load(folder, &options)?;
    let frames = FramesConfig::Clips(clips.clone());
    let mut reading = Reading::new(set.parts.count(), progress);
    let kept = AtomicUsize::new(0);
    let one_clip = |clip: &Clip| -> Result<Vec<RgbImage>> {
        // Where they are too many already, none is decoded any more.
        check_memory(folder, kept.load(Relaxed))?;
        let prepared = frames.prepare(&clip.frames(&FrameLimits::default())?)?;
        kept.fetch_add(prepared.len() * 3 * clips.height * clips.width, Relaxed);
        Ok(prepared)
    };
    let mut part = |part: &[Clip]| -> Result<Vec<Labelled>> {
        let read = reading.read(part, one_clip);
        check_memory(folder, kept.load(Relaxed))?;
        let mut held = Vec::with_capacity(part.len());
        for (clip, frames) in part.iter().zip(read) {
            match frames {
                Ok(frames) => held.push((clip, frames)),
                Err(fault) => set.skipped.record(&clip.name, fault)?,
            }
        }
        Ok(if clips.join { joined(held) } else { held.into_iter().map(|(clip, frames)| one(clip, frames)).collect() })
    };
    let parts = Parts { train: part(&set.parts.train)?, dev: part(&set.parts.dev)?, test: part(&set.parts.test)? };
    let notes = set.notes.into_iter().chain(set.skipped.report()).collect();
    Ok(LabelledSequences { classes: set.classes, width: None, values: ValuesConfig::default(), parts, notes })
}

fn check_memory(folder: &Path, bytes: usize) -> Result<()> {
    match bytes > MOST_BYTES {
        false => Ok(()),
        true => Err(Error::Setting(format!(
            "{}: its frames take more than the {} GB of memory allowed; make data.frames.height and width smaller",
            folder.display(),
            MOST_BYTES / 1_000_000_000
        ))),
    }
}

fn one(clip: &Clip, frames: Vec<RgbImage>) -> Labelled {
    Labelled { input: Input::Frames(frames), labels: vec![clip.label], targets: Vec::new() }
}

/// Clips whose names begin alike one after the other, with a label for each frame.
fn joined(clips: Vec<(&Clip, Vec<RgbImage>)>) -> Vec<Labelled> {
    let mut films: BTreeMap<String, (Vec<RgbImage>, Vec<u32>)> = BTreeMap::new();
    for (clip, frames) in clips {
        let name = clip.name.rsplit('/').next().unwrap_or(&clip.name);
        let film = films.entry(name.split('_').next().unwrap_or(name).to_owned()).or_default();
        film.1.extend(frames.iter().map(|_| clip.label));
        film.0.extend(frames);
    }
    let film = |(frames, labels)| Labelled { input: Input::Frames(frames), labels, targets: Vec::new() };
    films.into_values().map(film).collect()
}
