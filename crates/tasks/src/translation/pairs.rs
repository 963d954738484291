//! Sentences with their translations as a network learns from them.

use super::recipe::DataConfig;
use super::translator::Translator;
use crate::{Error, Result};
use candle_core::Tensor;
use candlewick_data::Split;
use candlewick_data::parallel::{self, LoadOptions, Pair};
use candlewick_parameters::Rng;
use std::path::Path;

/// In the place of a token where there is none to tell.
pub(super) const NONE: i64 = -1;

/// Sentences with their translations, in their parts.
#[derive(Clone, Debug)]
pub struct Pairs {
    /// To train on.
    pub train: Vec<Pair>,
    /// To choose by.
    pub dev: Vec<Pair>,
    /// To judge by; there may be none.
    pub test: Vec<Pair>,
    /// Why there is nothing to judge by, where several parts could be that.
    several: Option<String>,
    /// What a person should know of them, a line each.
    pub notes: Vec<String>,
}

impl Pairs {
    /// Reads the pairs in a folder as `config` says, whose own path is not looked at.
    ///
    /// Where there is no dev part, `dev_share` of the training part, drawn by chance, is it. Where several parts could be the test part, none
    /// is, and a note says so.
    ///
    /// # Errors
    /// One line that names the file and the fault; also when several parts could be the dev part.
    pub fn load(folder: &Path, config: &DataConfig) -> Result<Self> {
        let DataConfig { source, target, encoding, max_share, dev_share, .. } = config;
        let options = LoadOptions { encoding: encoding.clone(), max_share: *max_share, ..LoadOptions::default() };
        let set = parallel::load(folder, source, target, &options)?;
        let mut train = set.split(Split::Train)?.to_vec();
        let dev = match set.parts_of(Split::Dev).as_slice() {
            [_, ..] => set.split(Split::Dev)?.to_vec(),
            [] => {
                let held_out = |pair: &Pair| {
                    let text = format!("{}\n{}", pair.source, pair.target);
                    Rng::derive(0, &text, 0).chance(*dev_share)
                };
                let (dev, rest) = train.into_iter().partition(held_out);
                train = rest;
                dev
            }
        };
        let (test, several) = match set.parts_of(Split::Test).as_slice() {
            [] => (Vec::new(), None),
            _ => match set.split(Split::Test) {
                Ok(test) => (test.to_vec(), None),
                Err(error) => (Vec::new(), Some(error.to_string())),
            },
        };
        let notes = set.skipped.report().into_iter().chain(several.clone()).collect();
        Ok(Self { train, dev, test, several, notes })
    }

    /// The pairs of a split.
    ///
    /// # Errors
    /// When there are none.
    pub fn split(&self, split: Split) -> Result<&[Pair]> {
        let part = match split {
            Split::Train => &self.train,
            Split::Dev => &self.dev,
            Split::Test => &self.test,
        };
        match (part.as_slice(), &self.several) {
            ([], Some(several)) if split == Split::Test => Err(Error::NoData(several.clone())),
            ([], _) => Err(Error::NoData(format!("the {split} split has no pairs; choose another"))),
            (part, _) => Ok(part),
        }
    }
}

/// Pairs to learn from, padded.
pub struct Batch {
    /// What is read (N, S), and how many tokens of each row.
    pub(super) source: Tensor,
    pub(super) source_lengths: Vec<usize>,
    /// What is written, from the start on (N, T), and how many tokens of each row.
    pub(super) words: Tensor,
    pub(super) lengths: Vec<usize>,
    /// The tokens to tell (N, T), the end last.
    pub(super) targets: Tensor,
    /// How many they are.
    pub(super) count: usize,
}

/// The tokens of pairs.
pub(super) struct Tokens {
    source: Vec<Vec<u32>>,
    target: Vec<Vec<u32>>,
    /// By which pairs of like length come together: the target's length before the source's.
    pub keys: Vec<usize>,
    /// How many pairs were longer than is trained on.
    pub left_out: usize,
}

impl Tokens {
    pub fn of(translator: &Translator, pairs: &[Pair], longest: usize) -> Result<Self> {
        let mut tokens = Self { source: Vec::new(), target: Vec::new(), keys: Vec::new(), left_out: 0 };
        for pair in pairs {
            let (source, target) = (translator.read(&pair.source)?, translator.written(&pair.target)?);
            // Start and end are no tokens of the sentence.
            if source.len() > longest + 1 || target.len() > longest + 2 {
                tokens.left_out += 1;
                continue;
            }
            tokens.keys.push(target.len() * (longest + 2) + source.len());
            tokens.source.push(source);
            tokens.target.push(target);
        }
        Ok(tokens)
    }

    pub fn len(&self) -> usize {
        self.source.len()
    }

    /// The pairs at these places as a batch.
    pub fn batch(&self, translator: &Translator, places: &[usize]) -> Result<Batch> {
        let (source, target) = (rows(&self.source, places)?, rows(&self.target, places)?);
        let words: Vec<&[u32]> = target.iter().filter_map(|row| row.split_last().map(|(_, words)| words)).collect();
        let lengths: Vec<usize> = words.iter().map(|row| row.len()).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let mut targets: Vec<i64> = Vec::with_capacity(longest * target.len());
        for (at, row) in target.iter().enumerate() {
            targets.extend(row.iter().skip(1).map(|&id| i64::from(id)));
            targets.resize((at + 1) * longest, NONE);
        }
        Ok(Batch {
            source_lengths: source.iter().map(|row| row.len()).collect(),
            source: translator.padded(&source)?,
            words: translator.padded(&words)?,
            targets: Tensor::from_vec(targets, (target.len(), longest), translator.device())?,
            count: lengths.iter().sum(),
            lengths,
        })
    }
}

/// The rows at these places.
fn rows<'a>(all: &'a [Vec<u32>], places: &[usize]) -> Result<Vec<&'a [u32]>> {
    let row = |&place: &usize| all.get(place).map(Vec::as_slice);
    places.iter().map(row).collect::<Option<_>>().ok_or_else(|| Error::task("a pair is missing from its set"))
}
