//! What sequences are read from: the part of a recipe's `[data]` that says so.

use super::super::config::{InputKind, OutputKind};
use candlewick_data::clips::moving::SIZE;
use candlewick_data::skipped::DEFAULT_MAX_SHARE;
use candlewick_data::sound::LogMel;
use candlewick_data::tokens::Units;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where the sequences come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// The folder or file, in one of the formats of `candlewick_data`; `--data` on the command line.
    pub path: Option<PathBuf>,
    /// What the sequences are of.
    pub input: InputKind,
    /// What sequences of numbers are read from.
    pub values: ValuesConfig,
    /// What clips are read from.
    pub frames: FramesConfig,
    /// Whether each number of a step is brought to mean 0 and deviation 1 over the training part; it goes with the model. Of numbers.
    pub normalize: bool,
    /// What is told of them; of texts the class of the whole, of notes which sound next.
    pub output: OutputKind,
    /// After how many steps it is scored whether the class is told already, where each step is told of: `accuracy_after_10` and so on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub early: Vec<usize>,
    /// What labels are called in place of what the data call them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub label_names: BTreeMap<String, String>,
    /// What the tokens of a text are; those of the language model that training begins with, where there is one.
    pub units: Units,
    /// How often a word comes in the training part at least; others count as the unknown one. Of the units words and spaces.
    pub least_count: usize,
    /// How the letters of a text are written: `utf-8`, `latin1`, or another label of the Encoding Standard.
    pub encoding: String,
    /// The share of the training part that is held out where the set brings no dev part.
    pub dev_share: f64,
    /// The share of the sentences that may be broken and are skipped.
    pub max_share: f64,
    /// Which part of a set of texts without a test part is its test part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold: Option<Fold>,
}

impl DataConfig {
    /// What sequences that are drawn are called, so that no data are wanted; nothing where they are read from files.
    pub fn drawn_as(&self) -> Option<&'static str> {
        match (self.input, &self.values, &self.frames) {
            (InputKind::Values, ValuesConfig::Adding(_), _) => Some("adding"),
            (InputKind::Frames, _, FramesConfig::Moving(_)) => Some("moving"),
            _ => None,
        }
    }
}

/// One of several equal parts, by a hash of the sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fold {
    /// From 0.
    pub number: usize,
    /// How many there are.
    pub of: usize,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            path: None,
            input: InputKind::Words,
            values: ValuesConfig::default(),
            frames: FramesConfig::default(),
            normalize: false,
            output: OutputKind::One,
            early: Vec::new(),
            label_names: BTreeMap::new(),
            units: Units::Words,
            least_count: 1,
            encoding: "utf-8".into(),
            dev_share: 0.1,
            max_share: DEFAULT_MAX_SHARE,
            fold: None,
        }
    }
}

/// The files that sequences of numbers are read from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum ValuesConfig {
    /// Tables, arrays and UCI's vowels, as `candlewick_data::values` reads them.
    #[default]
    Tables,
    /// Pieces of music in the JSON of `candlewick_data::values::notes`: a step has 88 numbers, 1 for a note that sounds and 0 for one that does
    /// not.
    Notes,
    /// Sounds, WAV as `candlewick_data::sound` reads it: a step has a number for each band of a log-mel frame.
    Sound(SoundConfig),
    /// Pictures of one width, as `candlewick_data::image_classes` reads them: a step is a row, its numbers the grey of the pixels, 0 to 1.
    Rows,
    /// Pictures of any size: a step is a pixel, row after row, its number its grey, 0 to 1 (Le et al. 2015).
    Pixels,
    /// Sequences of the adding problem, which are drawn; files of them are tables.
    Adding(AddingConfig),
}

/// The adding problem of `candlewick_data::values::adding`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AddingConfig {
    /// T, the steps of each sequence.
    pub steps: usize,
    /// How many sequences are trained on.
    pub train: usize,
    /// How many are validated on.
    pub dev: usize,
    /// How many are tested on.
    pub test: usize,
    /// What they are drawn from.
    pub seed: u64,
}

impl Default for AddingConfig {
    fn default() -> Self {
        Self { steps: 100, train: 20_000, dev: 1000, test: 2000, seed: 0 }
    }
}

/// How a sound becomes steps, as `candlewick_data::sound::LogMel` does it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SoundConfig {
    /// Samples a second that all sounds have; where it is left out, those of most of the set's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampling_rate: Option<u32>,
    /// The length of a frame in seconds.
    pub window: f64,
    /// From one frame's beginning to the next's in seconds.
    pub hop: f64,
    /// The number of bands.
    pub bands: usize,
    /// Where the lowest band begins, in Hz.
    pub low: f64,
    /// Where the highest band ends, in Hz; half the samples a second where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
}

impl Default for SoundConfig {
    fn default() -> Self {
        let LogMel { window, hop, bands, low, high } = LogMel::default();
        Self { sampling_rate: None, window, hop, bands, low, high }
    }
}

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
    pub(in super::super) fn of(frames: &FramesConfig) -> Self {
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

impl FramesConfig {
    /// Height and width of the frames that a network is given.
    pub(in super::super) fn size(&self) -> (usize, usize) {
        match self {
            Self::Clips(ClipsConfig { height, width, .. }) => (*height, *width),
            Self::Moving(_) => (SIZE as usize, SIZE as usize),
        }
    }
}
