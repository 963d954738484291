//! Clips of film with a class each: what is cut out of their frames, and the frames as they are kept.

use super::labelled::{Input, Labelled, LabelledSequences};
use super::preprocessing::ValuesConfig;
use super::reading::Reading;
use super::recipe::DataConfig;
use crate::{Error, Result};
use candlewick_data::clips::moving::{Action, MovingClip, SIZE};
use candlewick_data::clips::{self, Clip, FrameLimits, LoadOptions};
use candlewick_data::{Parts, Split};
use candlewick_encoders::{Interpolation, Preprocessing, Resize};
use image::RgbImage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The most bytes of frames of a set that are kept.
const MOST_BYTES: usize = 6_000_000_000;

/// What clips are read from, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum FramesConfig {
    /// Clips of film, as `candlewick_data::clips` reads them.
    Clips(ClipsConfig),
    /// The clips that `candlewick_data::clips::moving` draws.
    Moving(MovingConfig),
}

impl Default for FramesConfig {
    fn default() -> Self {
        Self::Clips(ClipsConfig::default())
    }
}

/// How clips of film are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClipsConfig {
    /// The height that frames are resized to.
    pub height: usize,
    /// The width that frames are resized to.
    pub width: usize,
    /// Whether frames are cut to where they differ from the colour of the clip's first corner in any frame of it, with as much more as gives
    /// height and width their ratio: of silhouettes the person's path.
    pub cut: bool,
    /// Whether clips whose names begin alike, up to the first `_`, are one film, in which each frame has its clip's class.
    pub join: bool,
}

impl Default for ClipsConfig {
    fn default() -> Self {
        Self { height: 64, width: 64, cut: false, join: false }
    }
}

impl ClipsConfig {
    /// Clips of the size of these, and nothing else.
    pub(super) fn of(frames: &FramesConfig) -> Self {
        let (height, width) = frames.size();
        Self { height, width, ..Self::default() }
    }
}

/// How many clips are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MovingConfig {
    /// T, the frames of each clip.
    pub steps: usize,
    /// How many clips are trained on.
    pub train: usize,
    /// How many are validated on.
    pub dev: usize,
    /// How many are tested on.
    pub test: usize,
    /// What they are drawn from.
    pub seed: u64,
}

impl Default for MovingConfig {
    fn default() -> Self {
        Self { steps: 25, train: 4000, dev: 200, test: 500, seed: 0 }
    }
}

impl MovingConfig {
    /// The clips, of one action each or with an action for each frame.
    pub(super) fn clips(&self, one: bool) -> LabelledSequences {
        let part = |split: Split, count: usize| (0..count).map(|index| self.clip(one, split, index)).collect();
        let parts = Parts {
            train: part(Split::Train, self.train),
            dev: part(Split::Dev, self.dev),
            test: part(Split::Test, self.test),
        };
        let classes = Action::ALL.map(|action| action.word().to_owned()).to_vec();
        LabelledSequences { classes, width: None, values: ValuesConfig::default(), parts, notes: Vec::new() }
    }

    fn clip(&self, one: bool, split: Split, index: usize) -> Labelled {
        let clip = match one {
            true => MovingClip::of_one(self.steps, self.seed, split, index),
            false => MovingClip::generate(self.steps, self.seed, split, index),
        };
        let label = |action: &Action| (0..).zip(Action::ALL).find(|(_, other)| other == action).map_or(0, |(at, _)| at);
        let mut labels: Vec<u32> = clip.actions.iter().map(label).collect();
        labels.truncate(if one { 1 } else { labels.len() });
        Labelled { input: Input::Drawn(clip), labels, targets: Vec::new() }
    }
}

impl FramesConfig {
    /// Height and width of the frames that a network is given.
    pub(super) fn size(&self) -> (usize, usize) {
        match self {
            Self::Clips(ClipsConfig { height, width, .. }) => (*height, *width),
            Self::Moving(_) => (SIZE as usize, SIZE as usize),
        }
    }

    /// Frames as the network is given them: cut and resized.
    ///
    /// # Errors
    /// When a frame is empty or of an extreme shape.
    pub(super) fn prepare(&self, frames: &[RgbImage]) -> Result<Vec<RgbImage>> {
        let (height, width) = self.size();
        let size = Some(Resize::Exact(height, width));
        let preprocessing = Preprocessing { size, interpolation: Interpolation::Box, ..Preprocessing::unresized() };
        let cut = matches!(self, Self::Clips(ClipsConfig { cut: true, .. }));
        let part =
            if cut { differing(frames).map(|part| part.widened(frames, width as f64 / height as f64)) } else { None };
        let prepared = |frame: &RgbImage| match part {
            Some(part) => Ok(preprocessing.original(&part.of(frame).unwrap_or_else(|| frame.clone()))?),
            None => Ok(preprocessing.original(frame)?),
        };
        frames.iter().map(prepared).collect()
    }
}

/// A part of a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Part {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

/// Channels that differ by no more are of one colour.
const ALIKE: u8 = 48;

/// The part outside of which all frames have the colour of the first one's first corner; nothing where they have it everywhere.
fn differing(frames: &[RgbImage]) -> Option<Part> {
    let first = frames.first()?;
    let ground = first.get_pixel_checked(0, 0)?.0;
    let bare = ground.repeat(first.width() as usize);
    let differs = |pixel: &[u8]| pixel.iter().zip(ground).any(|(channel, ground)| channel.abs_diff(ground) > ALIKE);
    let mut found: Option<[u32; 4]> = None;
    for (y, row) in frames.iter().flat_map(|frame| (0..).zip(frame.as_raw().chunks_exact(bare.len()))) {
        // Most rows of a silhouette are of the ground alone.
        if row == bare {
            continue;
        }
        let mut places = (0..).zip(row.chunks_exact(3)).filter(|(_, pixel)| differs(pixel)).map(|(x, _): (u32, _)| x);
        if let Some(left) = places.next() {
            let right = places.last().unwrap_or(left);
            let [x0, y0, x1, y1] = found.unwrap_or([left, y, right, y]);
            found = Some([x0.min(left), y0.min(y), x1.max(right), y1.max(y)]);
        }
    }
    found.map(|[x0, y0, x1, y1]| Part { x: x0, y: y0, width: x1 - x0 + 1, height: y1 - y0 + 1 })
}

impl Part {
    /// This part of a frame; nothing where it goes beyond it.
    fn of(self, frame: &RgbImage) -> Option<RgbImage> {
        let [x, width] = [self.x, self.width].map(|pixels| 3 * pixels as usize);
        let rows = frame.as_raw().chunks_exact(3 * frame.width().max(1) as usize);
        let rows = rows.skip(self.y as usize).take(self.height as usize);
        let cut = rows.map(|row| row.get(x..x + width)).collect::<Option<Vec<&[u8]>>>()?.concat();
        RgbImage::from_raw(self.width, self.height, cut)
    }

    /// With two pixels more on each side and then as wide or as high as gives this ratio, as far as the frames go.
    fn widened(self, frames: &[RgbImage], ratio: f64) -> Self {
        let (most_width, most_height) = frames.first().map_or((1, 1), RgbImage::dimensions);
        let (width, height) = (f64::from(self.width) + 4.0, f64::from(self.height) + 4.0);
        let [width, height] = [width.max(height * ratio), height.max(width / ratio)];
        let side = |from: u32, own: u32, wanted: f64, most: u32| {
            let wanted = (wanted.ceil() as u32).clamp(1, most.max(1));
            let middle = from + own / 2;
            (middle.saturating_sub(wanted / 2).min(most.saturating_sub(wanted)), wanted)
        };
        let (x, width) = side(self.x, self.width, width, most_width);
        let (y, height) = side(self.y, self.height, height, most_height);
        Self { x, y, width, height }
    }
}

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use image::Rgb;

    #[test]
    fn frames_are_cut_to_the_path_of_what_moves() {
        // A spot of 4 × 8 pixels that goes from left to right.
        let frame = |at: u32| {
            RgbImage::from_fn(60, 40, |x, y| {
                Rgb([if (at..at + 4).contains(&x) && (10..18).contains(&y) { 255 } else { 0 }; 3])
            })
        };
        let frames = [frame(20), frame(24), frame(28)];
        let part = differing(&frames).unwrap();
        assert_eq!(part, Part { x: 20, y: 10, width: 12, height: 8 });
        assert_eq!(part.widened(&frames, 2.0), Part { x: 14, y: 8, width: 24, height: 12 });
        // At the border it is moved in, and never larger than the frames.
        assert_eq!(part.widened(&frames, 10.0), Part { x: 0, y: 8, width: 60, height: 12 });
        let clips = FramesConfig::Clips(ClipsConfig { height: 12, width: 24, cut: true, join: false });
        let prepared = clips.prepare(&frames).unwrap();
        assert!(prepared.iter().all(|frame| frame.dimensions() == (24, 12)));
        assert_eq!((prepared[0].get_pixel(6, 2).0[0], prepared[0].get_pixel(10, 2).0[0]), (255, 0));
        // Nothing moves and nothing is there.
        assert_eq!(clips.prepare(&[RgbImage::new(60, 40)]).unwrap()[0].dimensions(), (24, 12));
        assert_eq!(differing(&[RgbImage::new(60, 40)]), None);
    }
}
