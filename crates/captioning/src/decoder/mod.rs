//! Decoders that describe pictures, and how a recipe chooses one.

mod any;

pub use any::{AnyDecoder, AnyMemory, AnyState};

use crate::show_attend_tell::{Attention, ShowAttendTell, ShowAttendTellConfig};
use crate::show_tell::{ShowTell, ShowTellConfig};
use crate::top_down::{TopDown, TopDownConfig};
use candle_core::{Result, Tensor};
use candlewick_generation::{Decoder, TeacherForced};
use candlewick_parameters::{Mode, VarBuilder};
use candlewick_vision::Annotations;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// A decoder whose sentences are about what an encoder saw in pictures.
///
/// A new captioner is one file: its formula as a [`Decoder`], its memory here, and a row in [`DecoderConfig`]. [`AnyDecoder`] makes
/// it one of those that a [`crate::Captioner`] can have.
pub trait CaptionDecoder: Decoder {
    /// The memory of what was seen: what is computed of a picture once.
    ///
    /// # Errors
    /// When the annotations' shape is not what the decoder was built for.
    fn memory(&self, seen: &Annotations, mode: &mut Mode) -> Result<Self::Memory>;

    /// Reads people's captions in training, as [`Decoder::teacher_forced`] does.
    ///
    /// A decoder that draws positions at random says here what it drew.
    ///
    /// # Errors
    /// As [`Decoder::teacher_forced`] says.
    fn read(&self, words: &Tensor, lengths: &[usize], memory: &Self::Memory, mode: &mut Mode) -> Result<Read> {
        Ok(Read { forced: self.teacher_forced(words, lengths, memory, mode)?, drawn: None })
    }
}

/// What reading captions gave.
#[derive(Clone, Debug)]
pub struct Read {
    /// Logits and attention weights.
    pub forced: TeacherForced,
    /// The positions that were drawn on the way, if any.
    pub drawn: Option<Drawn>,
}

/// Positions s_t that were drawn from α_t, one for each word that was read.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// log α_t(s_t), (N, T).
    pub log_probability: Tensor,
    /// H(α_t) = −Σ_p α_tp log α_tp, (N, T), in nats.
    pub entropy: Tensor,
}

/// Which decoder a captioner has: a recipe's `[decoder]`, whose `kind` is `show_attend_tell` where it is left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DecoderConfig {
    /// Soft or hard attention over the annotations (Xu et al. 2015).
    ShowAttendTell(ShowAttendTellConfig),
    /// The picture as one vector (Vinyals et al. 2015), read by any recurrent cell.
    ShowTell(ShowTellConfig),
    /// Two LSTMs, one that looks and one that tells (Anderson et al. 2018).
    TopDown(TopDownConfig),
}

/// Whether this is the cell that decoders have where nothing is said; runs of before there was a choice go on.
pub(crate) fn is_lstm(cell: &str) -> bool {
    cell == "lstm"
}

impl Default for DecoderConfig {
    fn default() -> Self {
        Self::ShowAttendTell(ShowAttendTellConfig::default())
    }
}

impl<'de> Deserialize<'de> for DecoderConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        fn options<T: DeserializeOwned, E: serde::de::Error>(options: Map<String, Value>) -> std::result::Result<T, E> {
            serde_json::from_value(Value::Object(options)).map_err(E::custom)
        }
        let mut given = Map::deserialize(deserializer)?;
        let kind = given.remove("kind");
        match kind.as_ref().map_or(Some("show_attend_tell"), Value::as_str) {
            Some("show_attend_tell") => Ok(Self::ShowAttendTell(options(given)?)),
            Some("show_tell") => Ok(Self::ShowTell(options(given)?)),
            Some("top_down") => Ok(Self::TopDown(options(given)?)),
            _ => {
                let kind = kind.unwrap_or_default();
                Err(D::Error::custom(format!(
                    "no decoder has kind {kind}; there are show_attend_tell, show_tell, top_down"
                )))
            }
        }
    }
}

impl DecoderConfig {
    /// Whether the decoder draws what it looks at while it learns.
    pub(crate) fn draws_positions(&self) -> bool {
        matches!(self, Self::ShowAttendTell(ShowAttendTellConfig { attention: Attention::Hard, .. }))
    }

    /// The decoder over annotations of `annotation_size` (C) that knows `vocab_size` (V) words.
    ///
    /// # Errors
    /// When the builder has no such parameters, or a setting makes no sense.
    pub fn build(&self, annotation_size: usize, vocab_size: usize, vb: VarBuilder) -> Result<AnyDecoder> {
        let (c, v) = (annotation_size, vocab_size);
        if let Some((name, _)) = self.sizes().into_iter().find(|(_, size)| *size == 0) {
            candle_core::bail!("decoder.{name} is 0; one is the least")
        }
        Ok(match self {
            Self::ShowAttendTell(config) => AnyDecoder::new(ShowAttendTell::new(c, v, config, vb)?),
            Self::ShowTell(config) => AnyDecoder::new(ShowTell::new(c, v, config, vb)?),
            Self::TopDown(config) => AnyDecoder::new(TopDown::new(c, v, config, vb)?),
        })
    }

    fn sizes(&self) -> Vec<(&'static str, usize)> {
        let (embedding, hidden, attention) = match self {
            Self::ShowAttendTell(config) => (config.embedding_size, config.hidden_size, Some(config.attention_size)),
            Self::ShowTell(config) => (config.embedding_size, config.hidden_size, None),
            Self::TopDown(config) => (config.embedding_size, config.hidden_size, Some(config.attention_size)),
        };
        let attention = attention.map(|size| ("attention_size", size));
        [("embedding_size", embedding), ("hidden_size", hidden)].into_iter().chain(attention).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_kind_chooses_the_decoder_and_may_be_left_out() {
        let read = |text: &str| serde_json::from_str::<DecoderConfig>(text);
        let plain = read(r#"{"hidden_size": 7}"#).unwrap();
        let wanted = ShowAttendTellConfig { hidden_size: 7, ..Default::default() };
        assert_eq!(plain, DecoderConfig::ShowAttendTell(wanted));
        for config in [plain, DecoderConfig::ShowTell(Default::default()), DecoderConfig::TopDown(Default::default())] {
            assert_eq!(read(&serde_json::to_string(&config).unwrap()).unwrap(), config);
        }
        let fault = |text| read(text).unwrap_err().to_string();
        assert!(fault(r#"{"kind": "shout"}"#).contains("\"shout\"; there are show_attend_tell, show_tell, top_down"));
        assert!(fault(r#"{"kind": "show_tell", "gate": true}"#).contains("unknown field `gate`"));
    }
}
