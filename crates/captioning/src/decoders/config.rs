//! How a recipe chooses a decoder.

use super::added::{AddedDecoder, unknown};
use super::top_down::{TopDown, TopDownConfig};
use candle_core::Result;
use candlewick_parameters::VarBuilder;
use candlewick_recurrent::decoders::{
    AnyDecoder, AttentionDecoder, AttentionDecoderConfig, VectorDecoder, VectorDecoderConfig,
};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// Which decoder a captioner has: a recipe's `[decoder]`, whose `kind` is `show_attend_tell` where it is left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum DecoderConfig {
    /// Soft or hard attention over the annotations (Xu et al. 2015).
    ShowAttendTell(AttentionDecoderConfig),
    /// The picture as one vector (Vinyals et al. 2015), read by any recurrent cell.
    ShowTell(VectorDecoderConfig),
    /// Two LSTMs, one that looks and one that tells (Anderson et al. 2018).
    TopDown(TopDownConfig),
    /// One of the caller's own, which [`crate::add_decoder`] made known.
    #[serde(untagged)]
    Added(AddedDecoder),
}

impl Default for DecoderConfig {
    fn default() -> Self {
        Self::ShowAttendTell(AttentionDecoderConfig::default())
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
            Some(name) => match AddedDecoder::read(name, given) {
                Some(decoder) => decoder.map(Self::Added).map_err(D::Error::custom),
                None => Err(D::Error::custom(unknown(name))),
            },
            None => Err(D::Error::custom(format!("kind is {}; wanted a name", kind.unwrap_or_default()))),
        }
    }
}

impl DecoderConfig {
    /// The decoder of a kind that [`crate::add_decoder`] made known, with what can be chosen about it.
    ///
    /// # Errors
    /// When no decoder was added under this kind, or the configuration is not one of it.
    pub fn added(kind: &str, config: &impl Serialize) -> Result<Self> {
        Ok(Self::Added(AddedDecoder::of(kind, config)?))
    }

    /// Whether the decoder draws what it looks at while it learns.
    pub(crate) fn draws_positions(&self) -> bool {
        matches!(self, Self::ShowAttendTell(config) if config.attention.hard().is_some())
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
            Self::ShowAttendTell(config) => AnyDecoder::new(AttentionDecoder::new(c, v, config, vb)?),
            Self::ShowTell(config) => AnyDecoder::new(VectorDecoder::new(c, v, config, vb)?),
            Self::TopDown(config) => AnyDecoder::new(TopDown::new(c, v, config, vb)?),
            Self::Added(decoder) => decoder.build(c, v, vb)?,
        })
    }

    fn sizes(&self) -> Vec<(&'static str, usize)> {
        let (embedding, hidden, attention) = match self {
            Self::ShowAttendTell(config) => (config.embedding_size, config.hidden_size, Some(config.attention_size)),
            Self::ShowTell(config) => (config.embedding_size, config.hidden_size, None),
            Self::TopDown(config) => (config.embedding_size, config.hidden_size, Some(config.attention_size)),
            Self::Added(_) => return vec![],
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
        let wanted = AttentionDecoderConfig { hidden_size: 7, ..Default::default() };
        assert_eq!(plain, DecoderConfig::ShowAttendTell(wanted));
        for config in [plain, DecoderConfig::ShowTell(Default::default()), DecoderConfig::TopDown(Default::default())] {
            assert_eq!(read(&serde_json::to_string(&config).unwrap()).unwrap(), config);
        }
        let fault = |text| read(text).unwrap_err().to_string();
        assert!(fault(r#"{"kind": "shout"}"#).contains("\"shout\"; there are show_attend_tell, show_tell, top_down"));
        assert!(fault(r#"{"kind": "show_tell", "gate": true}"#).contains("unknown field `gate`"));
    }
}
