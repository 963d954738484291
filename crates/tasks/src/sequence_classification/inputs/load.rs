//! Sets of sequences, from the formats that `candlewick_data` reads and from what it draws.

use super::super::config::{InputKind, OutputKind};
use super::config::{AddingConfig, ClipsConfig, DataConfig, Fold, FramesConfig, ValuesConfig};
use super::labelled::{Input, Labelled, LabelledSequences};
use super::{clips, pictures, sounds};
use crate::{Error, Result};
use candlewick_data::labelled_text::{self, LabelledSentence, LoadOptions};
use candlewick_data::values::notes::{self, Piece};
use candlewick_data::values::{self, Series, adding};
use candlewick_data::{Parts, Split};
use std::path::Path;

impl LabelledSequences {
    /// Reads the set in the folder or file `path` as `config` says, whose own path is not looked at.
    ///
    /// # Errors
    /// One line that names the file and the fault.
    pub fn load(path: &Path, config: &DataConfig) -> Result<Self> {
        Self::load_told(path, config, &mut |_, _| ())
    }

    /// [`LabelledSequences::load`], where `progress` is told how many files of how many are read, of sets that take long.
    ///
    /// # Errors
    /// As [`LabelledSequences::load`] says.
    pub fn load_told(path: &Path, config: &DataConfig, progress: &mut dyn FnMut(usize, usize)) -> Result<Self> {
        let mut set = match config.input {
            InputKind::Words => Self::texts(path, config),
            InputKind::Frames => match &config.frames {
                FramesConfig::Clips(own) => clips::load(path, config, own, progress),
                // Clips of others for a classifier that learned from those that are drawn.
                FramesConfig::Moving(_) => clips::load(path, config, &ClipsConfig::of(&config.frames), progress),
            },
            InputKind::Values => match &config.values {
                ValuesConfig::Tables | ValuesConfig::Adding(_) => Self::tables(path, config),
                ValuesConfig::Rows | ValuesConfig::Pixels => pictures::load(path, config, progress),
                ValuesConfig::Notes => Self::notes(path),
                ValuesConfig::Sound(sound) => sounds::load(path, config, sound, progress),
            },
        }?;
        for class in &mut set.classes {
            if let Some(name) = config.label_names.get(class) {
                class.clone_from(name);
            }
        }
        Ok(set)
    }

    /// The sequences of a set that is drawn; nothing where the numbers are read from files.
    pub fn drawn(config: &DataConfig) -> Option<Self> {
        if let (InputKind::Frames, FramesConfig::Moving(moving)) = (config.input, &config.frames) {
            return Some(moving.clips(config.output == OutputKind::One));
        }
        let ValuesConfig::Adding(adding) = &config.values else { return None };
        let &AddingConfig { steps, train, dev, test, seed } = adding;
        let part = |split: Split, count: usize| {
            (0..count).map(|index| labelled(adding::sequence(steps, seed, split, index))).collect()
        };
        let parts =
            Parts { train: part(Split::Train, train), dev: part(Split::Dev, dev), test: part(Split::Test, test) };
        let (width, values) = (Some(adding::WIDTH), config.values.clone());
        Some(Self { classes: Vec::new(), width, values, parts, notes: Vec::new() })
    }

    fn texts(path: &Path, config: &DataConfig) -> Result<Self> {
        let DataConfig { encoding, dev_share, max_share, fold, .. } = config;
        let options = LoadOptions { encoding: encoding.clone(), dev_share: *dev_share, max_share: *max_share };
        let mut set = labelled_text::load(path, &options)?;
        if let &Some(Fold { number, of }) = fold {
            if !set.parts.test.is_empty() {
                let fault = format!("data.fold: {} brings a test part of its own; leave it out", path.display());
                return Err(Error::Setting(fault));
            }
            set = set.fold(number, of)?;
        }
        let labelled = |one: LabelledSentence| Labelled {
            input: Input::Words(one.text),
            labels: vec![one.label],
            targets: Vec::new(),
        };
        let all = |part: Vec<LabelledSentence>| part.into_iter().map(labelled).collect();
        let parts = Parts { train: all(set.parts.train), dev: all(set.parts.dev), test: all(set.parts.test) };
        let notes = set.notes.into_iter().chain(set.skipped.report()).collect();
        let values = ValuesConfig::default();
        Ok(Self { classes: set.classes, width: None, values, parts, notes })
    }

    fn tables(path: &Path, config: &DataConfig) -> Result<Self> {
        let set = values::load(path, config.dev_share)?;
        let all = |part: Vec<Series>| part.into_iter().map(labelled).collect();
        let parts = Parts { train: all(set.parts.train), dev: all(set.parts.dev), test: all(set.parts.test) };
        let (width, values) = (Some(set.width), config.values.clone());
        Ok(Self { classes: set.classes, width, values, parts, notes: Vec::new() })
    }

    fn notes(path: &Path) -> Result<Self> {
        let set = notes::load(path)?;
        let labelled =
            |piece: Piece| Labelled { input: Input::Values(piece.keys()), labels: Vec::new(), targets: Vec::new() };
        let all = |part: Vec<Piece>| part.into_iter().map(labelled).collect();
        let parts = Parts { train: all(set.train), dev: all(set.dev), test: all(set.test) };
        let (classes, width, values) = (notes::names(), Some(notes::KEYS), ValuesConfig::Notes);
        Ok(Self { classes, width, values, parts, notes: Vec::new() })
    }
}

fn labelled(one: Series) -> Labelled {
    Labelled { input: Input::Values(one.values), labels: one.labels, targets: one.targets }
}
