//! What training drives: a task gives batches, a loss and scores; everything else is [`crate::fit`]'s.

use crate::Result;
use candle_core::Tensor;
use candlewick_parameters::{Mode, Parameters};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::path::Path;

/// The file in a model folder that holds the weights.
pub const MODEL_FILE: &str = "model.safetensors";

/// Something to learn: a network with its batches, its loss and its scores.
///
/// [`crate::fit`] drives any task. All randomness of a task comes from the seed that it was built with, the epoch, and the
/// generator in the [`Mode`]; then a run that was killed and resumed equals one that was not, bit for bit.
pub trait Task: Sync {
    /// What the loss is taken of: tensors, or what they are made from.
    type Batch: Send;

    /// The store of the network's parameters.
    fn parameters(&self) -> &Parameters;

    /// How many batches an epoch has.
    fn batches_per_epoch(&self) -> usize;

    /// The batches of a shard of an epoch, counted from 0, without the first `skip`; the order depends on the seed and the epoch only.
    ///
    /// # Errors
    /// When the data cannot be read; an item may be an error too, and ends the run.
    fn batches<'a>(
        &'a self,
        epoch: usize,
        skip: usize,
        shard: Shard,
    ) -> Result<Box<dyn Iterator<Item = Result<Self::Batch>> + 'a>>;

    /// The loss of a batch.
    ///
    /// # Errors
    /// When an operation fails.
    fn loss(&self, batch: &Self::Batch, mode: &mut Mode) -> Result<Loss>;

    /// The scores on the validation set after `epoch` (counted from 0): higher is better, the first is the main one.
    ///
    /// # Errors
    /// When an operation fails or the data cannot be read.
    fn validate(&mut self, epoch: usize) -> Result<Scores>;

    /// [`Task::validate`], where `progress` is told how many items of how many are done: what [`crate::fit`] calls.
    ///
    /// # Errors
    /// As [`Task::validate`] says.
    fn validate_told(&mut self, epoch: usize, progress: &mut dyn FnMut(usize, usize)) -> Result<Scores> {
        let _ = progress;
        self.validate(epoch)
    }

    /// What [`Loss::count`] counts, for people: `words`, `pictures`.
    fn items(&self) -> &'static str {
        "items"
    }

    /// The names of the scores that [`Task::validate`] gives, the main one first, where they are known: a run that asks for another
    /// is then refused before its first step.
    fn score_names(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Writes the model folder: by default the parameters as [`MODEL_FILE`]. The folder exists and is empty.
    ///
    /// # Errors
    /// When a file cannot be written; the message names it.
    fn save(&self, folder: &Path) -> Result<()> {
        Ok(self.parameters().save(folder.join(MODEL_FILE))?)
    }

    /// Takes the weights back from a folder that [`Task::save`] wrote: by default all parameters from [`MODEL_FILE`].
    ///
    /// # Errors
    /// When a file cannot be read or holds another network; the message names it.
    fn load(&mut self, folder: &Path) -> Result<()> {
        Ok(self.parameters().load(folder.join(MODEL_FILE))?)
    }

    /// What the task carries from step to step beside its parameters, for the checkpoint.
    fn state(&self) -> Value {
        Value::Null
    }

    /// Takes back what [`Task::state`] gave.
    ///
    /// # Errors
    /// When the state is not one of this task's.
    fn restore(&mut self, state: Value) -> Result<()> {
        let _ = state;
        Ok(())
    }

    /// Named tensors that the task carries from step to step beside its parameters, such as the state of a text that goes on: the
    /// checkpoint's `task.safetensors`.
    ///
    /// # Errors
    /// When an operation fails.
    fn tensors(&self) -> Result<Vec<(String, Tensor)>> {
        Ok(Vec::new())
    }

    /// Takes back what [`Task::tensors`] gave.
    ///
    /// # Errors
    /// When they are not this task's.
    fn restore_tensors(&mut self, tensors: Vec<(String, Tensor)>) -> Result<()> {
        match tensors.first() {
            None => Ok(()),
            Some((name, _)) => Err(crate::Error::task(format!("carries no tensors, got {name}"))),
        }
    }

    /// What makes this task the one that it is (network, data, batch size): a run is resumed only where it is the same.
    fn config(&self) -> Value {
        Value::Null
    }

    /// What it learns from, for [`crate::Session::data`]: how much there is of it, and a hash that is cheap to make, of file names, sizes
    /// and texts.
    fn data(&self) -> Value {
        Value::Null
    }

    /// The factor on the learning rate of a parameter.
    fn learning_rate_factor(&self, parameter: &str) -> f64 {
        let _ = parameter;
        1.0
    }
}

/// Which part of an epoch's batches is meant: every `of`-th from `rank` on; what does not fill a last round is left out, so that all ranks
/// have the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 0 to below `of`.
    pub rank: usize,
    /// How many shards there are.
    pub of: usize,
}

impl Shard {
    /// All batches.
    pub const WHOLE: Self = Self { rank: 0, of: 1 };

    /// The shard's batches but for its first `skip`, each with its place in the epoch.
    pub fn select<T>(self, batches: Vec<T>, skip: usize) -> impl Iterator<Item = (usize, T)> {
        let of = self.of.max(1);
        let whole = batches.len() / of * of;
        batches.into_iter().enumerate().take(whole).skip(self.rank).step_by(of).skip(skip)
    }
}

/// The loss of one batch.
#[derive(Clone, Debug)]
pub struct Loss {
    /// The scalar that is minimised: a mean over `count` items.
    pub value: Tensor,
    /// Over how many items (words) `value` is a mean: the batch's weight in an accumulated step and in the logs.
    pub count: usize,
    /// The parts that the logs show beside the whole, as scalars.
    pub parts: Vec<(&'static str, Tensor)>,
}

impl Loss {
    /// A loss without parts, the mean over `count` items.
    pub fn new(value: Tensor, count: usize) -> Self {
        Self { value, count, parts: Vec::new() }
    }
}

/// Scores by name, in the order in which the task gave them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores(Vec<(String, f64)>);

impl Scores {
    /// No scores yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a score; a new name goes to the end.
    pub fn insert(&mut self, name: impl Into<String>, value: f64) {
        let name = name.into();
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some(entry) => entry.1 = value,
            None => self.0.push((name, value)),
        }
    }

    /// The score of this name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// All scores in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<N: Into<String>> FromIterator<(N, f64)> for Scores {
    fn from_iter<I: IntoIterator<Item = (N, f64)>>(entries: I) -> Self {
        let mut scores = Self::new();
        entries.into_iter().for_each(|(name, value)| scores.insert(name, value));
        scores
    }
}

impl fmt::Display for Scores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<String> = self.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
        f.write_str(&shown.join(", "))
    }
}

impl Serialize for Scores {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Scores {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct InOrder;
        impl<'de> serde::de::Visitor<'de> for InOrder {
            type Value = Scores;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a map from names to numbers")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> std::result::Result<Scores, A::Error> {
                let mut scores = Scores::new();
                // serde_json writes a number that is not finite as null.
                while let Some((name, value)) = map.next_entry::<String, Option<f64>>()? {
                    scores.insert(name, value.unwrap_or(f64::NAN));
                }
                Ok(scores)
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::Shard;

    #[test]
    fn shards_share_an_epoch_evenly() {
        let of = |rank, skip| Shard { rank, of: 3 }.select((10..18).collect::<Vec<usize>>(), skip).collect::<Vec<_>>();
        assert_eq!([of(0, 0), of(1, 0), of(2, 0)], [[(0, 10), (3, 13)], [(1, 11), (4, 14)], [(2, 12), (5, 15)]]);
        assert_eq!(of(1, 1), [(4, 14)]);
        assert_eq!(Shard::WHOLE.select(vec!['a', 'b'], 1).collect::<Vec<_>>(), [(1, 'b')]);
    }
}
