//! Sounds with a class each, as log-mel frames.

use super::config::{DataConfig, SoundConfig, ValuesConfig};
use super::labelled::{Input, Labelled, LabelledSequences};
use super::reading::Reading;
use crate::{Error, Result};
use candlewick_data::Parts;
use candlewick_data::shown;
use candlewick_data::sound::{self, LoadOptions, LogMel, Sound, SoundFile};
use std::path::Path;

/// Reads the sounds of a folder; those that cannot be read are skipped and told.
pub(super) fn load(
    folder: &Path,
    config: &DataConfig,
    sound: &SoundConfig,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<LabelledSequences> {
    let options = LoadOptions { rate: sound.sampling_rate, dev_share: config.dev_share, max_share: config.max_share };
    let set = sound::load(folder, &options)?;
    let sound = SoundConfig { sampling_rate: Some(set.rate), ..sound.clone() };
    let mut reading = Reading::new(set.parts.count(), progress);
    let mut part = |files: &[SoundFile]| -> Result<Vec<Labelled>> {
        let frames = reading.read(files, |file| sound.frames(&file.path));
        let mut part = Vec::with_capacity(files.len());
        for (file, frames) in files.iter().zip(frames) {
            match frames {
                Ok(frames) => {
                    part.push(Labelled { input: Input::Values(frames), labels: vec![file.label], targets: Vec::new() })
                }
                Err(fault) => set.skipped.record(&file.path.display().to_string(), fault)?,
            }
        }
        Ok(part)
    };
    let parts = Parts { train: part(&set.parts.train)?, dev: part(&set.parts.dev)?, test: part(&set.parts.test)? };
    let notes = set.notes.into_iter().chain(set.skipped.report()).collect();
    let width = Some(sound.bands);
    Ok(LabelledSequences { classes: set.classes, width, values: ValuesConfig::Sound(sound), parts, notes })
}

impl SoundConfig {
    /// The frames (T, B) of a sound in a file, frame after frame.
    ///
    /// # Errors
    /// When it cannot be read, has no samples or another rate; the message names the file.
    pub(in super::super) fn frames(&self, path: &Path) -> Result<Vec<f32>> {
        let fault = |fault: String| Err(Error::Setting(format!("{}: {fault}", shown(path))));
        let sound = Sound::read(path)?;
        if sound.samples.is_empty() {
            return fault("has no samples".into());
        }
        if let Some(rate) = self.sampling_rate.filter(|&rate| rate != sound.rate) {
            return fault(format!("has {} samples a second; wanted {rate}, so resample it", sound.rate));
        }
        let &Self { window, hop, bands, low, high, .. } = self;
        Ok(LogMel { window, hop, bands, low, high }.frames(&sound)?)
    }
}
