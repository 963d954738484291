//! Batches of captions and of what the decoder looks at.

use crate::{Error, Result};
use candle_core::{Device, Tensor};
use candlewick_data::buckets;
use candlewick_data::text::words::{PAD, WordTokenizer};
use candlewick_vision::EncoderInput;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What the decoder looks at in a batch, on the CPU, and what it is to say of it.
pub struct Batch {
    pub(crate) input: EncoderInput,
    pub(crate) aim: Aim,
}

/// What a batch trains towards.
pub(crate) enum Aim {
    /// To say what people said.
    Told(Told),
    /// To say better things of pictures than others that the network says of them: their rows in the set, and what people say.
    Better(Vec<usize>, Told),
}

/// Captions of people.
pub(crate) struct Told {
    /// The picture of the batch that each is of; nothing where that is the one in its own place.
    pub pictures: Option<Vec<u32>>,
    /// The words to read, (N, T), from the start on.
    pub words: Tensor,
    /// The words to tell, (N, T), the end last and padding beyond.
    pub targets: Tensor,
    /// The number of words to tell in each.
    pub lengths: Vec<usize>,
    /// ε, the probability with which a word that is read becomes the network's own.
    pub own_words: f64,
}

/// The captions of a training set as word ids, start and end included.
pub(crate) struct Captions {
    /// All captions, those of a picture side by side.
    all: Vec<(usize, Vec<u32>)>,
    /// Where the captions of each picture that has any lie.
    by_picture: Vec<Range<usize>>,
}

impl Captions {
    /// The captions of each picture that have at least a word and at most `longest`.
    pub fn new(tokenizer: &WordTokenizer, references: &[Vec<String>], longest: usize) -> Result<Self> {
        let (mut all, mut by_picture) = (Vec::new(), Vec::new());
        for (picture, captions) in references.iter().enumerate() {
            let first = all.len();
            for caption in captions {
                let ids = tokenizer.encode(caption)?;
                // Start and end are no words of the caption.
                if (3..=longest.saturating_add(2)).contains(&ids.len()) {
                    all.push((picture, ids));
                }
            }
            by_picture.extend((all.len() > first).then_some(first..all.len()));
        }
        Ok(Self { all, by_picture })
    }

    /// How many captions there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// The rows of each batch of an epoch; with `like_lengths` captions of like length come together.
    pub fn order(&self, grouping: Grouping, like_lengths: bool, seed: u64, epoch: usize) -> Vec<Vec<usize>> {
        let lengths: Vec<usize> = match grouping {
            Grouping::Captions(_) if like_lengths => self.all.iter().map(|(_, ids)| ids.len()).collect(),
            Grouping::Captions(_) => vec![0; self.all.len()],
            Grouping::Pictures(_) => vec![0; self.by_picture.len()],
        };
        buckets::batches(&lengths, grouping.size(), seed, epoch)
    }

    /// How many batches an epoch has.
    pub fn batches(&self, grouping: Grouping) -> usize {
        match grouping {
            Grouping::Captions(size) => self.all.len().div_ceil(size),
            Grouping::Pictures(size) => self.by_picture.len().div_ceil(size),
        }
    }

    /// The rows of a batch as a batch; `input` gives what the network is given for the pictures in these rows.
    pub fn batch(
        &self,
        input: &mut dyn FnMut(&[usize]) -> Result<EncoderInput>,
        grouping: Grouping,
        rows: &[usize],
        reading: Reading,
    ) -> Result<Batch> {
        match grouping {
            Grouping::Captions(_) => {
                let chosen: Vec<&(usize, Vec<u32>)> = rows.iter().filter_map(|&row| self.all.get(row)).collect();
                let of: Vec<usize> = chosen.iter().map(|(picture, _)| *picture).collect();
                Ok(Batch { input: input(&of)?, aim: Aim::Told(told(&chosen, None, reading)?) })
            }
            Grouping::Pictures(_) => {
                let ranges = || rows.iter().filter_map(|&row| self.by_picture.get(row).cloned());
                let of: Vec<usize> =
                    ranges().filter_map(|range| self.all.get(range.start).map(|(of, _)| *of)).collect();
                let input = input(&of)?;
                let chosen: Vec<&(usize, Vec<u32>)> =
                    ranges().filter_map(|range| self.all.get(range)).flatten().collect();
                let places = (0u32..).zip(ranges()).flat_map(|(place, range)| range.map(move |_| place)).collect();
                let told = told(&chosen, Some(places), reading)?;
                let aim = if reading == Reading::Drawn { Aim::Better(of, told) } else { Aim::Told(told) };
                Ok(Batch { input, aim })
            }
        }
    }
}

/// Whose captions a batch is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reading {
    /// People's, in which each word becomes the network's own with this probability.
    Told { own_words: f64 },
    /// Those that the network will draw.
    Drawn,
}

/// What a row of a batch is, and how many rows a batch has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grouping {
    /// A row is a caption.
    Captions(usize),
    /// A row is a picture with all its captions.
    Pictures(usize),
}

impl Grouping {
    /// Batches of about `config.size` captions; `drawn` captions are drawn of each picture in self-critical training.
    pub fn new(config: &BatchConfig, captions: &Captions, drawn: Option<usize>) -> Self {
        let of_a_picture = || captions.len().div_ceil(captions.by_picture.len().max(1));
        match drawn.or_else(|| config.by_picture.then(of_a_picture)) {
            Some(captions) => Self::Pictures((config.size / captions.max(1)).max(1)),
            None => Self::Captions(config.size.max(1)),
        }
    }

    fn size(self) -> usize {
        match self {
            Self::Captions(size) | Self::Pictures(size) => size,
        }
    }
}

/// Lays out the words of captions.
fn told(chosen: &[&(usize, Vec<u32>)], pictures: Option<Vec<u32>>, reading: Reading) -> Result<Told> {
    let read: Vec<&[u32]> = chosen.iter().map(|(_, ids)| &ids[..ids.len() - 1]).collect();
    let told: Vec<&[u32]> = chosen.iter().map(|(_, ids)| &ids[1..]).collect();
    let lengths = told.iter().map(|ids| ids.len()).collect();
    let device = &Device::Cpu;
    let own_words = if let Reading::Told { own_words } = reading { own_words } else { 0.0 };
    Ok(Told { pictures, words: padded(&read, device)?, targets: padded(&told, device)?, lengths, own_words })
}

/// The rows as one (N, T) tensor with padding behind the shorter ones.
pub(crate) fn padded(rows: &[&[u32]], device: &Device) -> Result<Tensor> {
    Ok(buckets::padded(rows, PAD, device)?)
}

/// How batches are made and what validation decodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchConfig {
    /// N, captions a batch.
    pub size: usize,
    /// Whether all captions of a picture come in one batch, so that the encoder looks at it once an epoch; batches then hold
    /// captions of any lengths, about `size` of them.
    pub by_picture: bool,
    /// Threads that prepare batches ahead.
    pub workers: usize,
    /// Pictures of the dev split that a validation decodes; all by default.
    pub validated: Option<usize>,
    /// Pictures that are captioned together in validation and evaluation.
    pub decoded: usize,
}

impl BatchConfig {
    pub(crate) fn check(&self) -> Result<()> {
        let fault = if self.size == 0 {
            "batches.size is 0; one caption a batch is the least"
        } else if self.size > MOST_ROWS || self.decoded > MOST_ROWS {
            "batches.size and batches.decoded: a hundred thousand are the most"
        } else if self.workers > MOST_WORKERS {
            "batches.workers: 256 are the most"
        } else if self.validated == Some(0) {
            "batches.validated is 0; leave it out to validate on all pictures"
        } else {
            return Ok(());
        };
        Err(Error::Setting(fault.into()))
    }
}

const MOST_ROWS: usize = 100_000;
const MOST_WORKERS: usize = 256;

impl Default for BatchConfig {
    fn default() -> Self {
        Self { size: 32, by_picture: false, workers: 1, validated: None, decoded: 64 }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::dataset::CaptionDataset;
    use candlewick_data::captions::Split;
    use candlewick_data::scenes::Scene;
    use candlewick_encoders::Preprocessing;
    use candlewick_testing::flat;

    #[test]
    fn by_picture_every_caption_comes_once_with_its_own_picture() {
        let scenes = (0..5).map(|index| Scene::generate(1, index, Split::Train)).collect();
        let set = CaptionDataset::scenes(scenes, Preprocessing::unresized());
        // The second picture has no caption that is short enough, and is left out.
        let references: Vec<Vec<String>> = [&["a", "b c"][..], &["a b c d e"], &["d"], &["e a", "b", "c"], &["a b"]]
            .map(|captions| captions.iter().map(|caption| caption.to_string()).collect())
            .to_vec();
        let tokenizer = WordTokenizer::train(references.iter().flatten(), 1).unwrap();
        let captions = Captions::new(&tokenizer, &references, 3).unwrap();
        let config = BatchConfig { size: 4, by_picture: true, ..BatchConfig::default() };
        let grouping = Grouping::new(&config, &captions, None);
        assert_eq!((grouping, captions.batches(grouping)), (Grouping::Pictures(2), 2));
        let mut input = |of: &[usize]| Ok(set.pictures.input(of)?);
        let mut seen = Vec::new();
        for rows in captions.order(grouping, true, 1, 0) {
            let batch = captions.batch(&mut input, grouping, &rows, Reading::Told { own_words: 0.0 }).unwrap();
            let (EncoderInput::Images(images), Aim::Told(told)) = (batch.input, batch.aim) else { panic!("not told") };
            let (places, targets) = (told.pictures.unwrap(), told.targets.to_vec2::<u32>().unwrap());
            for ((place, target), length) in places.into_iter().zip(targets).zip(told.lengths) {
                let text = tokenizer.decode(&target[..length - 1]).unwrap();
                let of = references.iter().position(|captions| captions.contains(&text)).unwrap();
                let EncoderInput::Images(own) = set.pictures.input(&[of]).unwrap() else { panic!("no images") };
                let found = flat(&images.get(place as usize).unwrap());
                assert_eq!(found, flat(&own), "{text}");
                seen.push(text);
            }
        }
        seen.sort();
        assert_eq!(seen, ["a", "a b", "b", "b c", "c", "d", "e a"]);
        // Where captions are drawn, the batch tells which pictures they are of.
        let Aim::Better(of, _) = captions.batch(&mut input, grouping, &[1, 3], Reading::Drawn).unwrap().aim else {
            panic!()
        };
        assert_eq!(of, [2, 4]);
    }
}
