//! Batches of captions and of what the decoder looks at.

use crate::{Error, Result};
use candle_core::{Device, Tensor};
use candlewick_data::buckets;
use candlewick_data::text::words::{PAD, WordTokenizer};
use candlewick_vision::EncoderInput;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Pictures or annotations and people's captions of them, on the CPU.
pub struct Batch {
    pub(crate) input: EncoderInput,
    pub(crate) captions: CaptionBatch,
    /// The rows of the pictures in their set, one for each of the input.
    pub(crate) pictures: Vec<usize>,
    /// ε, the probability with which a word that is read becomes the network's own (scheduled sampling).
    pub(crate) own_words: f64,
}

/// Captions for teacher forcing.
pub(crate) struct CaptionBatch {
    /// The row of the input that each is of; nothing where that is the one in its own place.
    pub sources: Option<Vec<u32>>,
    /// The words to read, (N, T), from the start on.
    pub words: Tensor,
    /// The words to predict, (N, T), the end last and padding beyond.
    pub targets: Tensor,
    /// The number of words to predict in each.
    pub lengths: Vec<usize>,
}

/// The captions of a training set as word ids, start and end included.
pub(crate) struct Captions {
    /// All captions, those of a picture side by side.
    all: Vec<(usize, Vec<u32>)>,
    /// Where the captions of each picture that has any lie.
    by_picture: Vec<Range<usize>>,
    /// How many captions have more words than are trained on, and how many have none.
    left_out: [usize; 2],
}

impl Captions {
    /// The captions of each picture that have at least a word and at most `longest`.
    pub fn new(tokenizer: &WordTokenizer, references: &[Vec<String>], longest: usize) -> Result<Self> {
        let (mut all, mut by_picture, mut left_out) = (Vec::new(), Vec::new(), [0, 0]);
        for (picture, captions) in references.iter().enumerate() {
            let first = all.len();
            for caption in captions {
                let ids = tokenizer.encode(caption)?;
                // Start and end are no words of the caption.
                match ids.len() {
                    0..=2 => left_out[1] += 1,
                    length if length - 2 > longest => left_out[0] += 1,
                    _ => all.push((picture, ids)),
                }
            }
            by_picture.extend((all.len() > first).then_some(first..all.len()));
        }
        Ok(Self { all, by_picture, left_out })
    }

    /// How many captions have more words than are trained on, and how many have none.
    pub fn left_out(&self) -> [usize; 2] {
        self.left_out
    }

    /// How many captions have more words than these.
    pub fn longer_than(&self, words: usize) -> usize {
        self.all.iter().filter(|(_, ids)| ids.len() > words.saturating_add(2)).count()
    }

    /// How many captions there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// The rows of each batch of an epoch; with `like_lengths` captions of like length come together.
    pub fn order(&self, batch_by: BatchBy, like_lengths: bool, seed: u64, epoch: usize) -> Vec<Vec<usize>> {
        let lengths: Vec<usize> = match batch_by {
            BatchBy::Captions(_) if like_lengths => self.all.iter().map(|(_, ids)| ids.len()).collect(),
            BatchBy::Captions(_) => vec![0; self.all.len()],
            BatchBy::Pictures(_) => vec![0; self.by_picture.len()],
        };
        buckets::batches(&lengths, batch_by.size(), seed, epoch)
    }

    /// How many batches an epoch has.
    pub fn batches(&self, batch_by: BatchBy) -> usize {
        match batch_by {
            BatchBy::Captions(size) => self.all.len().div_ceil(size),
            BatchBy::Pictures(size) => self.by_picture.len().div_ceil(size),
        }
    }

    /// The rows of a batch as a batch; `input` gives what the network is given for the pictures in these rows.
    pub fn batch(
        &self,
        input: &mut dyn FnMut(&[usize]) -> Result<EncoderInput>,
        batch_by: BatchBy,
        rows: &[usize],
        own_words: f64,
    ) -> Result<Batch> {
        let (chosen, pictures, sources): (Vec<&(usize, Vec<u32>)>, Vec<usize>, Option<Vec<u32>>) = match batch_by {
            BatchBy::Captions(_) => {
                let chosen: Vec<_> = rows.iter().filter_map(|&row| self.all.get(row)).collect();
                let pictures = chosen.iter().map(|(picture, _)| *picture).collect();
                (chosen, pictures, None)
            }
            BatchBy::Pictures(_) => {
                let ranges = || rows.iter().filter_map(|&row| self.by_picture.get(row).cloned());
                let first = |range: Range<usize>| self.all.get(range.start).map(|(picture, _)| *picture);
                let sources = (0u32..).zip(ranges()).flat_map(|(source, range)| range.map(move |_| source)).collect();
                let chosen = ranges().filter_map(|range| self.all.get(range)).flatten().collect();
                (chosen, ranges().filter_map(first).collect(), Some(sources))
            }
        };
        let input = input(&pictures)?;
        Ok(Batch { input, captions: caption_batch(&chosen, sources)?, pictures, own_words })
    }
}

/// What a row of a batch is, and how many rows a batch has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchBy {
    /// A row is a caption.
    Captions(usize),
    /// A row is a picture with all its captions.
    Pictures(usize),
}

impl BatchBy {
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
fn caption_batch(chosen: &[&(usize, Vec<u32>)], sources: Option<Vec<u32>>) -> Result<CaptionBatch> {
    let words: Vec<&[u32]> = chosen.iter().map(|(_, ids)| &ids[..ids.len() - 1]).collect();
    let targets: Vec<&[u32]> = chosen.iter().map(|(_, ids)| &ids[1..]).collect();
    let lengths = targets.iter().map(|ids| ids.len()).collect();
    let device = &Device::Cpu;
    Ok(CaptionBatch { sources, words: padded(&words, device)?, targets: padded(&targets, device)?, lengths })
}

/// The rows as one (N, T) tensor with padding behind the shorter ones.
pub(crate) fn padded(rows: &[&[u32]], device: &Device) -> Result<Tensor> {
    Ok(buckets::padded(rows, PAD, device)?)
}

/// How batches are made and what validation decodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
        let batch_by = BatchBy::new(&config, &captions, None);
        assert_eq!((batch_by, captions.batches(batch_by)), (BatchBy::Pictures(2), 2));
        let mut input = |of: &[usize]| Ok(set.pictures.input(of)?);
        let mut seen = Vec::new();
        for rows in captions.order(batch_by, true, 1, 0) {
            let batch = captions.batch(&mut input, batch_by, &rows, 0.0).unwrap();
            let EncoderInput::Images(images) = batch.input else { panic!("no images") };
            let (sources, targets) =
                (batch.captions.sources.unwrap(), batch.captions.targets.to_vec2::<u32>().unwrap());
            for ((source, target), length) in sources.into_iter().zip(targets).zip(batch.captions.lengths) {
                let text = tokenizer.decode(&target[..length - 1]).unwrap();
                let of = references.iter().position(|captions| captions.contains(&text)).unwrap();
                let EncoderInput::Images(own) = set.pictures.input(&[of]).unwrap() else { panic!("no images") };
                let found = flat(&images.get(source as usize).unwrap());
                assert_eq!(found, flat(&own), "{text}");
                seen.push(text);
            }
        }
        seen.sort();
        assert_eq!(seen, ["a", "a b", "b", "b c", "c", "d", "e a"]);
        // The batch tells which pictures it is of.
        assert_eq!(captions.batch(&mut input, batch_by, &[1, 3], 0.0).unwrap().pictures, [2, 4]);
    }
}
