//! Decoders of the caller's own, known by their kind as ours are.

use candle_core::{Error, Result};
use candlewick_parameters::{VarBuilder, nearest};
use candlewick_recurrent::decoders::{AnyDecoder, SourceDecoder};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt::Debug;
use std::sync::{PoisonError, RwLock};

/// A decoder that a configuration builds.
pub trait BuildDecoder:
    SourceDecoder<Memory: Send + Sync + 'static, State: Send + Sync + 'static> + Send + Sync + Sized + 'static
{
    /// What a recipe's `[decoder]` can say beside `kind`.
    type Config: Default + Serialize + DeserializeOwned;

    /// A decoder over annotations of `annotation_size` (C) that knows `vocab_size` (V) words.
    ///
    /// # Errors
    /// When the builder has no such parameters, or a setting makes no sense.
    fn new(annotation_size: usize, vocab_size: usize, config: &Self::Config, vb: VarBuilder) -> Result<Self>;
}

/// The kind and the settings of a decoder of the caller's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AddedDecoder {
    kind: String,
    #[serde(flatten)]
    settings: Map<String, Value>,
}

/// A kind of decoder.
#[derive(Clone, Copy)]
struct Row {
    kind: &'static str,
    /// All settings, from those that are given.
    complete: fn(Map<String, Value>) -> serde_json::Result<Value>,
    build: fn(usize, usize, Map<String, Value>, VarBuilder<'_>) -> Result<AnyDecoder>,
}

/// The kinds of this crate.
const OURS: [&str; 3] = ["show_attend_tell", "show_tell", "top_down"];

/// What [`add_decoder`] added; nothing is ever taken out.
static ADDED: RwLock<Vec<Row>> = RwLock::new(Vec::new());

/// Makes a decoder of the caller's own known by its kind: recipes, captioners and checkpoints that say `kind = "…"` then build it as they build
/// the others, and open again the models that it is in.
///
/// It stays known as long as the program runs. `examples/own_decoder.rs` has a decoder in full.
///
/// # Errors
/// When a decoder has this kind already.
pub fn add_decoder<D: BuildDecoder>(kind: &'static str) -> Result<()> {
    let mut added = ADDED.write().unwrap_or_else(PoisonError::into_inner);
    if OURS.into_iter().chain(added.iter().map(|row| row.kind)).any(|known| known == kind) {
        candle_core::bail!("{kind}: there is a decoder of this kind already; take another name")
    }
    added.push(Row {
        kind,
        complete: |settings| serde_json::to_value(read::<D>(settings)?),
        build: |c, v, settings, vb| Ok(AnyDecoder::new(D::new(c, v, &read::<D>(settings).map_err(Error::wrap)?, vb)?)),
    });
    Ok(())
}

fn read<D: BuildDecoder>(settings: Map<String, Value>) -> serde_json::Result<D::Config> {
    serde_json::from_value(Value::Object(settings))
}

/// What to say of a kind that no decoder has.
pub(super) fn unknown(kind: &str) -> String {
    let added = ADDED.read().unwrap_or_else(PoisonError::into_inner);
    let kinds: Vec<&str> = OURS.into_iter().chain(added.iter().map(|row| row.kind)).collect();
    match nearest(kind, &kinds) {
        hint if hint.is_empty() => format!("no decoder has kind {kind:?}; there are {}", kinds.join(", ")),
        hint => format!("no decoder has kind {kind:?}{hint}"),
    }
}

fn find(kind: &str) -> Option<Row> {
    ADDED.read().unwrap_or_else(PoisonError::into_inner).iter().find(|row| row.kind == kind).copied()
}

impl AddedDecoder {
    /// The decoder of this kind with these settings, and those that are not given at their defaults; nothing where no decoder has the kind.
    pub(super) fn read(kind: &str, settings: Map<String, Value>) -> Option<serde_json::Result<Self>> {
        let row = find(kind)?;
        Some((row.complete)(settings).and_then(|all| match all {
            Value::Object(settings) => Ok(Self { kind: kind.to_owned(), settings }),
            _ => Err(serde::de::Error::custom(format!("the configuration of the decoder {kind} has no names"))),
        }))
    }

    /// The same from a configuration.
    pub(super) fn of(kind: &str, config: &impl Serialize) -> Result<Self> {
        let Value::Object(settings) = serde_json::to_value(config).map_err(Error::wrap)? else {
            candle_core::bail!("{kind}: the configuration of a decoder has names")
        };
        match Self::read(kind, settings) {
            Some(decoder) => decoder.map_err(Error::wrap),
            None => candle_core::bail!("{}", unknown(kind)),
        }
    }

    /// The kind.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// All settings by name.
    pub fn settings(&self) -> &Map<String, Value> {
        &self.settings
    }

    pub(super) fn build(&self, annotation_size: usize, vocab_size: usize, vb: VarBuilder) -> Result<AnyDecoder> {
        match find(&self.kind) {
            Some(row) => (row.build)(annotation_size, vocab_size, self.settings.clone(), vb),
            None => candle_core::bail!("{}", unknown(&self.kind)),
        }
    }
}
